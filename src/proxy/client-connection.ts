import type { Socket } from 'node:net';
import { type Answer, answerHead, countAnswer, refusalAnswer, timeoutAnswer } from './answers.ts';
import { BodyReader, type Slices } from './body-reader.ts';
import { writeBody } from './body-writer.ts';
import { ByteQueue } from './byte-queue.ts';
import type { Context } from './context.ts';
import { Exchange } from './exchange.ts';
import { kinds } from './field-kinds.ts';
import { forwardRequest, type Peer } from './forward-request.ts';
import { HeadReader, more, refused } from './head-reader.ts';
import { readAheadBytes } from './limits.ts';
import { Refusal, refusals } from './refusal.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';
import { abort } from './sockets.ts';
import type { Timed } from './ticker.ts';
import type { Tunnel } from './tunnel.ts';

/**
 * What is done with arriving bytes: read as a head, read as the body of the exchange, kept until the exchange
 * wants them or is over, carried by the tunnel, or thrown away because the connection is being closed.
 */
type State = 'head' | 'body' | 'wait' | 'tunnel' | 'closing';

/** How long after the client's end of sending it is asked whether it has gone; and how often. */
const probeMs = 400;
const probes = 2;

/** How much longer than `lingerMs` a client that keeps sending is listened to after its answer. */
const lingerFactor = 10;

/** One connection of a client: reads its requests one after the other, and writes what the exchanges give it. */
export class ClientConnection implements Timed {
  deadlineMs: number;
  tunnel: Tunnel | null = null;
  readonly socket: Socket;
  readonly peer: Peer;
  readonly #context: Context;
  readonly #reader: HeadReader;
  readonly #pending = new ByteQueue();
  #state: State = 'head';
  #exchange: Exchange | null = null;
  #body: BodyReader | null = null;
  /** Inside #consume: what becomes possible meanwhile is picked up by its loop. */
  #consuming = false;
  /** The container does not take the body fast enough. */
  #upstreamBlocked = false;
  /** The client does not take what is written fast enough. */
  #clientBlocked = false;
  /** The client has ended its side. */
  #ended = false;
  #probesSent = 0;
  #unsentBytes = 0;
  #lingerUntilMs = 0;

  constructor(context: Context, socket: Socket, peer: Peer) {
    this.#context = context;
    this.socket = socket;
    this.peer = peer;
    this.#reader = new HeadReader(context.requestHead, 'request', context.limits.headBytes);
    this.deadlineMs = context.ticker.nowMs + context.limits.requestHeadMs;
    context.clients.add(this);
    context.ticker.add(this);
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('drain', () => this.#guard(() => this.#onDrain()));
    socket.on('end', () => this.#guard(() => this.#onEnd()));
    socket.on('error', () => {});
    socket.on('close', (hadError) => this.#guard(() => this.#onClose(hadError)));
  }

  // For the exchange.

  /** The exchange is ready for its request's body. */
  takeBody(): void {
    this.#state = 'body';
    this.#setDeadline(this.#context.limits.stalledBodyMs);
    this.#pump();
  }

  /** The exchange waits for its container. */
  hold(timeMs: number): void {
    this.#setDeadline(timeMs);
  }

  writeHead(head: string): void {
    this.socket.write(head, 'latin1');
  }

  /** As writeBody of body-writer.ts; false: the client does not read, and `clientDrained` will follow. */
  writeBody(head: string, chunked: boolean, bytes: Buffer, slices: Slices, last: boolean): boolean {
    const flowing = writeBody(this.socket, head, chunked, bytes, slices, last);
    if (!flowing && !this.#clientBlocked) {
      this.#clientBlocked = true;
      this.#watchUnsent();
    }
    return flowing;
  }

  writeAnswer(answer: Answer, request: RequestHead | null, goesOn: boolean): void {
    const body = request?.method === 'HEAD' ? '' : answer.body;
    this.socket.write(answerHead(answer, goesOn, request?.minorVersion === 0) + body);
  }

  upstreamDrained(): void {
    this.#upstreamBlocked = false;
    if (this.#state === 'body') this.#setDeadline(this.#context.limits.stalledBodyMs);
    this.#updateFlow();
  }

  /** The exchange is over: the next one may follow, or the connection is closed, or is gone, or is a tunnel. */
  exchangeOver(outcome: 'next' | 'close' | 'gone' | 'tunnel'): void {
    this.#exchange = null;
    this.#body = null;
    this.#upstreamBlocked = false;
    if (outcome === 'next') {
      this.#state = 'head';
      this.#probesSent = 0;
      if (!this.#clientBlocked) this.#setDeadline(this.#context.limits.idleMs);
      this.#pump();
    } else if (outcome === 'close') {
      this.close();
    } else if (outcome === 'gone') {
      this.abort();
    } else {
      this.#state = 'tunnel';
      this.deadlineMs = Number.POSITIVE_INFINITY;
    }
  }

  /** Hands the tunnel what the client sent early. */
  enterTunnel(): void {
    this.socket.resume();
    if (this.#pending.length > 0) this.tunnel!.fromClient(this.#pending.take());
    if (this.#ended) this.tunnel!.clientEnded();
  }

  abort(): void {
    this.#state = 'closing';
    this.#pending.clear();
    abort(this.socket);
  }

  /** Closes after what is written has gone out, listening on for a while: to close at once would reset. */
  close(): void {
    this.#state = 'closing';
    this.#pending.clear();
    this.#reader.reset();
    this.socket.end();
    this.#lingerUntilMs = this.#context.ticker.nowMs + this.#context.limits.lingerMs * lingerFactor;
    this.#setDeadline(this.#context.limits.lingerMs);
    this.#updateFlow();
  }

  /** No further requests: closes the connection now if nothing is under way on it. */
  drain(): void {
    if (this.#state === 'head' && !this.#reader.started) this.close();
  }

  /** Ends it at once, whatever is under way. */
  destroy(): void {
    if (this.tunnel !== null) this.tunnel.abort();
    else if (this.#exchange !== null) this.#exchange.clientGone();
    else this.abort();
  }

  onDeadline(): void {
    if (this.#clientBlocked || (this.#state === 'closing' && this.socket.writableLength > 0)) {
      // A slow reader is fine as long as it reads.
      if (this.socket.writableLength < this.#unsentBytes) {
        this.#watchUnsent();
        return;
      }
      const exchange = this.#exchange;
      if (exchange !== null) exchange.clientGone();
      else this.abort();
      return;
    }
    switch (this.#state) {
      case 'head':
        if (this.#reader.started) this.#refuse(timeoutAnswer());
        else this.close();
        break;
      case 'body':
        this.#exchange!.clientFault(refusals.bodyTimeout);
        break;
      case 'wait':
        if (this.#exchange?.isHeld) this.#exchange.holdTimedOut();
        else this.#probe();
        break;
      default:
        this.socket.destroy();
    }
  }

  #onData(chunk: Buffer): void {
    try {
      if (this.#state === 'tunnel') {
        this.tunnel!.fromClient(chunk);
      } else if (this.#state === 'closing') {
        const { nowMs } = this.#context.ticker;
        if (nowMs < this.#lingerUntilMs) this.#setDeadline(this.#context.limits.lingerMs);
      } else if (this.#pending.length > 0) {
        this.#keep(chunk, 0);
      } else {
        this.#consume(chunk);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Reads on in what was kept, if the state allows. */
  #pump(): void {
    if (this.#consuming) return;
    if (this.#pending.length > 0) this.#consume(this.#pending.take());
    else this.#exchange?.flushRequest();
    if (this.#pending.length === 0) this.#rest();
    this.#updateFlow();
  }

  #consume(chunk: Buffer): void {
    this.#consuming = true;
    let at = 0;
    try {
      while (at < chunk.length) {
        if (this.#state === 'head' && !this.#clientBlocked) at = this.#readHead(chunk, at);
        else if (this.#state === 'body') at = this.#readBody(chunk, at);
        else break;
      }
    } finally {
      this.#consuming = false;
    }
    if (at < chunk.length) {
      if (this.#state === 'tunnel') this.tunnel!.fromClient(chunk.subarray(at));
      else if (this.#state !== 'closing') this.#keep(chunk, at);
    }
    this.#exchange?.flushRequest();
  }

  #readHead(chunk: Buffer, at: number): number {
    const wasStarted = this.#reader.started;
    const next = this.#reader.read(chunk, at);
    if (next === more) {
      if (!wasStarted) this.#setDeadline(this.#context.limits.requestHeadMs);
      return chunk.length;
    }
    if (next === refused) {
      this.#refuse(refusalAnswer(this.#reader.refusal!, ''));
      return chunk.length;
    }
    const { head } = this.#reader;
    const request = readRequestHead(head, this.#context.limits);
    if (request instanceof Refusal) {
      this.#refuse(refusalAnswer(request, acceptOf(head)));
      return chunk.length;
    }
    this.#state = 'wait';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (request.framing !== 'none') {
      this.#body = new BodyReader(request.framing, request.lengthBytes, this.#context.limits);
    }
    this.#exchange = new Exchange(this.#context, this, request, forwardRequest(request, head, this.peer));
    this.#exchange.start();
    return next;
  }

  #readBody(chunk: Buffer, at: number): number {
    const exchange = this.#exchange!;
    const body = this.#body!;
    const { slices, limits } = this.#context;
    const next = body.read(chunk, at, slices);
    if (next === refused) {
      exchange.clientFault(refusals.chunk);
      return chunk.length;
    }
    if (limits.bodyBytes > 0 && exchange.bodyBytes + slices.bytes > limits.bodyBytes) {
      exchange.clientFault(refusals.bodyTooLarge);
      return chunk.length;
    }
    exchange.noteFromClient(next - at);
    if (body.done) {
      this.#state = 'wait';
      this.deadlineMs = Number.POSITIVE_INFINITY;
    }
    if (!exchange.requestBody(chunk, slices, body.done)) {
      this.#upstreamBlocked = true;
      // The container's deadline runs now, not the client's.
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.#updateFlow();
    } else if (!body.done) {
      this.#setDeadline(limits.stalledBodyMs);
    }
    return next;
  }

  #keep(chunk: Buffer, at: number): void {
    this.#pending.append(chunk, at, chunk.length);
    this.#updateFlow();
  }

  /** Reads from the socket or not: not while the container is behind, or enough is kept. */
  #updateFlow(): void {
    const paused = this.#upstreamBlocked || this.#pending.length >= readAheadBytes;
    if (paused === this.socket.isPaused()) return;
    if (paused) this.socket.pause();
    else this.socket.resume();
  }

  #onDrain(): void {
    if (this.#state === 'tunnel') {
      this.tunnel!.clientDrained();
      return;
    }
    if (!this.#clientBlocked) return;
    this.#clientBlocked = false;
    const exchange = this.#exchange;
    if (exchange !== null) {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      if (this.#state === 'body') this.#setDeadline(this.#context.limits.stalledBodyMs);
      if (this.#ended) this.#setDeadline(probeMs);
      exchange.clientDrained();
    } else if (this.#state === 'head') {
      this.#setDeadline(this.#context.limits.idleMs);
      this.#pump();
    }
  }

  #onEnd(): void {
    this.#ended = true;
    if (this.#state === 'tunnel') {
      this.tunnel!.clientEnded();
      return;
    }
    const exchange = this.#exchange;
    if (this.#state === 'closing') {
      // Both sides are done; Node closes the socket once ours is flushed.
    } else if (exchange === null) {
      this.#rest();
    } else if (!exchange.requestDone && this.#pending.length < this.#body!.remainingBytes) {
      if (this.#state === 'body' || Number.isFinite(this.#body!.remainingBytes)) exchange.clientGone();
    } else if (!exchange.isHeld && !this.#clientBlocked) {
      this.#setDeadline(probeMs);
    }
  }

  /** Between two requests: nothing more will come of a client that has ended, or that we no longer serve. */
  #rest(): void {
    if (this.#clientBlocked || this.#state !== 'head') return;
    if (this.#ended && this.#reader.started) this.abort();
    else if (this.#ended || (this.#context.draining && !this.#reader.started)) this.close();
  }

  /**
   * A client that has ended its side may have gone, or just have nothing more to say. Before the response has
   * begun, interim responses find out: the system of one that has gone answers them with a reset, which the
   * next write meets. Within a response its bytes do; if none come for so long, the client counts as gone,
   * since a container would otherwise keep a quiet stream open for nobody.
   */
  #probe(): void {
    const exchange = this.#exchange;
    if (exchange === null || !this.#ended) {
      this.#setDeadline(Number.POSITIVE_INFINITY);
      return;
    }
    if (exchange.answered) {
      if (exchange.quietForMs >= probeMs) {
        exchange.clientGone();
        return;
      }
      this.#setDeadline(probeMs);
      return;
    }
    if (exchange.request.minorVersion === 1 && this.#probesSent < probes) {
      this.#probesSent++;
      this.writeHead('HTTP/1.1 102 Processing\r\n\r\n');
    }
    this.#setDeadline(probeMs);
  }

  #onClose(hadError: boolean): void {
    this.#context.clients.delete(this);
    this.#context.ticker.delete(this);
    this.#state = 'closing';
    if (this.tunnel !== null) this.tunnel.clientClosed(hadError);
    this.#exchange?.clientGone();
  }

  /** Answers a request that did not become an exchange. */
  #refuse(answer: Answer): void {
    countAnswer(this.#context.ownAnswers, answer);
    this.writeAnswer(answer, null, false);
    this.close();
  }

  #watchUnsent(): void {
    this.#unsentBytes = this.socket.writableLength;
    this.#setDeadline(this.#context.limits.stalledBodyMs);
  }

  #setDeadline(timeMs: number): void {
    this.deadlineMs = this.#context.ticker.nowMs + timeMs;
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A mistake of ours costs this connection, and no other. */
  #failed(error: unknown): void {
    this.#context.log.error({ err: error }, 'serving a connection failed; it is closed');
    try {
      this.#exchange?.clientGone();
    } finally {
      this.socket.destroy();
    }
  }
}

function acceptOf(head: HeadReader['head']): string {
  for (let field = 0; field < head.count; field++)
    if (head.kind(field) === kinds.accept) return head.value(field);
  return '';
}

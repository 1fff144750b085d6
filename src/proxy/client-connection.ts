import type { Socket } from 'node:net';
import { type Answer, countAnswer, timeoutAnswer } from './answers.ts';
import { ByteQueue } from './byte-queue.ts';
import { ClientWriter } from './client-writer.ts';
import type { Context } from './context.ts';
import { Exchange } from './exchange.ts';
import type { Peer } from './forward-request.ts';
import { more, refused } from './head-reader.ts';
import type { Inlet } from './inlet.ts';
import { readAheadBytes } from './limits.ts';
import { refusals } from './refusal.ts';
import { RequestReader } from './request-reader.ts';
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

/** One connection of a client: reads its requests one after the other, and lends itself to their exchanges. */
export class ClientConnection implements Timed {
  deadlineMs = Number.POSITIVE_INFINITY;
  tunnel: Tunnel | null = null;
  readonly socket: Socket;
  readonly peer: Peer;
  readonly writer: ClientWriter;
  readonly #context: Context;
  readonly #reader: RequestReader;
  readonly #pending = new ByteQueue();
  #state: State = 'head';
  #exchange: Exchange | null = null;
  /** Inside #consume: what becomes possible meanwhile is picked up by its loop. */
  #consuming = false;
  /** The container does not take the body fast enough. */
  #upstreamBlocked = false;
  /** The client has ended its side. */
  #ended = false;
  #probesSent = 0;
  #holdUntilMs = 0;
  #lingerUntilMs = 0;

  constructor(context: Context, inlet: Inlet, peer: Peer) {
    this.#context = context;
    this.peer = peer;
    const socket = inlet((chunk) => this.#onData(chunk));
    this.socket = socket;
    this.#reader = new RequestReader(context, peer);
    this.writer = new ClientWriter(socket, () => this.#setDeadline(context.limits.stalledBodyMs));
    this.#setDeadline(context.limits.requestHeadMs);
    context.clients.add(this);
    context.ticker.add(this);
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

  /** The exchange waits for its container, for so long at most. */
  hold(timeMs: number): void {
    this.#setDeadline(timeMs);
    this.#holdUntilMs = this.deadlineMs;
  }

  /** The exchange waits no longer: the container has deadlines of its own. */
  holdOver(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#ended) this.#setDeadline(probeMs);
  }

  upstreamDrained(): void {
    this.#upstreamBlocked = false;
    if (this.#state === 'body') this.#setDeadline(this.#context.limits.stalledBodyMs);
    this.#updateFlow();
  }

  /** The exchange is over: the next one may follow, or the connection is closed, or is gone, or is a tunnel. */
  exchangeOver(outcome: 'next' | 'close' | 'gone' | 'tunnel'): void {
    this.#exchange = null;
    this.#upstreamBlocked = false;
    if (outcome === 'next') {
      this.#state = 'head';
      this.#probesSent = 0;
      if (!this.writer.blocked) this.#setDeadline(this.#context.limits.idleMs);
      this.#pump();
    } else if (outcome === 'close') {
      this.#close();
    } else if (outcome === 'gone') {
      this.#abort();
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

  // For the proxy.

  /** No further requests: closes the connection now if nothing is under way on it. */
  drain(): void {
    if (this.#state === 'head' && !this.#reader.headStarted) this.#close();
  }

  /** Ends it at once, whatever is under way. */
  destroy(): void {
    if (this.tunnel !== null) this.tunnel.abort();
    else if (this.#exchange !== null) this.#exchange.clientGone();
    else this.#abort();
  }

  onDeadline(nowMs: number): void {
    // After the end no drain comes, so `blocked` says nothing any more.
    if (this.#state === 'closing' ? this.writer.unsent : this.writer.blocked) {
      if (this.writer.progressed()) this.#setDeadline(this.#context.limits.stalledBodyMs);
      else this.destroy();
      return;
    }
    switch (this.#state) {
      case 'head':
        if (this.#reader.headStarted) this.#refuse(timeoutAnswer());
        else this.#close();
        break;
      case 'body':
        this.#exchange!.clientFault(refusals.bodyTimeout);
        break;
      case 'wait':
        if (this.#exchange!.isHeld && nowMs >= this.#holdUntilMs) this.#exchange!.holdTimedOut();
        else this.#probe(this.#exchange!);
        break;
      default:
        this.socket.destroy();
    }
  }

  // What the socket says.

  #onData(chunk: Buffer): void {
    try {
      if (this.#state === 'tunnel') {
        this.tunnel!.fromClient(chunk);
      } else if (this.#state === 'closing') {
        if (this.#context.ticker.nowMs < this.#lingerUntilMs)
          this.#setDeadline(this.#context.limits.lingerMs);
      } else if (this.#pending.length > 0) {
        this.#keep(chunk, 0);
      } else {
        this.#consume(chunk);
      }
    } catch (error) {
      this.#failed(error);
    }
  }

  #onDrain(): void {
    const { blocked } = this.writer;
    this.writer.drained();
    if (this.#state === 'tunnel') {
      this.tunnel!.clientDrained();
      return;
    }
    if (!blocked) return;
    const exchange = this.#exchange;
    if (exchange !== null) {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      if (this.#state === 'body') this.#setDeadline(this.#context.limits.stalledBodyMs);
      else if (this.#ended) this.#setDeadline(probeMs);
      exchange.clientDrained();
    } else if (this.#state === 'head') {
      this.#setDeadline(this.#context.limits.idleMs);
      this.#pump();
    }
  }

  #onEnd(): void {
    this.#ended = true;
    const exchange = this.#exchange;
    if (this.#state === 'tunnel') {
      this.tunnel!.clientEnded();
    } else if (exchange === null) {
      this.#rest();
    } else if (!exchange.requestDone && this.#breaksOff()) {
      exchange.clientGone();
    } else if (!this.writer.blocked) {
      this.deadlineMs = Math.min(this.deadlineMs, this.#context.ticker.nowMs + probeMs);
    }
  }

  #onClose(hadError: boolean): void {
    this.#context.clients.delete(this);
    this.#context.ticker.delete(this);
    this.#state = 'closing';
    this.tunnel?.clientClosed(hadError);
    this.#exchange?.clientGone();
  }

  // Reading.

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
        // A client that does not read its answers gets no further ones made.
        if (this.#state === 'head' && !this.writer.blocked) at = this.#readHead(chunk, at);
        else if (this.#state === 'body') at = this.#readBody(chunk, at);
        else break;
      }
    } finally {
      this.#consuming = false;
    }
    if (at < chunk.length && this.#state !== 'closing') this.#keep(chunk, at);
    this.#exchange?.flushRequest();
  }

  #readHead(chunk: Buffer, at: number): number {
    const wasStarted = this.#reader.headStarted;
    const next = this.#reader.readHead(chunk, at);
    if (next === more) {
      if (!wasStarted) this.#setDeadline(this.#context.limits.requestHeadMs);
      return chunk.length;
    }
    if (next === refused) {
      this.#refuse(this.#reader.answer!);
      return chunk.length;
    }
    this.#state = 'wait';
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#exchange = new Exchange(this.#context, this, this.#reader.arrived!);
    this.#exchange.start();
    return next;
  }

  #readBody(chunk: Buffer, at: number): number {
    const exchange = this.#exchange!;
    const next = this.#reader.readBody(chunk, at);
    if (next === refused) {
      exchange.clientFault(this.#reader.refusal);
      return chunk.length;
    }
    const { bodyDone } = this.#reader;
    if (bodyDone) {
      this.#state = 'wait';
      this.deadlineMs = Number.POSITIVE_INFINITY;
    }
    if (!exchange.requestBody(chunk, this.#context.slices, bodyDone)) {
      this.#upstreamBlocked = true;
      // The container's deadline runs now, not the client's.
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.#updateFlow();
    } else if (!bodyDone) {
      this.#setDeadline(this.#context.limits.stalledBodyMs);
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

  // Ending.

  /** Between two requests: nothing more will come of a client that has ended, or that we no longer serve. */
  #rest(): void {
    if (this.writer.blocked || this.#state !== 'head') return;
    if (this.#ended && this.#reader.headStarted) this.#abort();
    else if (this.#ended || (this.#context.draining && !this.#reader.headStarted)) this.#close();
  }

  /** Whether a client that has ended left its request unfinished. A kept chunked body only shows when it is read. */
  #breaksOff(): boolean {
    const { bodyRemainingBytes } = this.#reader;
    return (
      this.#state === 'body' ||
      (Number.isFinite(bodyRemainingBytes) && this.#pending.length < bodyRemainingBytes)
    );
  }

  /**
   * A client that has ended its side may have gone, or just have nothing more to say. Before the response has
   * begun, interim responses find out: the system of one that has gone answers them with a reset, which the
   * next write meets. Within a response its bytes do; if none come for so long, the client counts as gone,
   * since a container would otherwise keep a quiet stream open for nobody.
   */
  #probe(exchange: Exchange): void {
    this.#setDeadline(probeMs);
    if (exchange.answered) {
      if (exchange.quietForMs >= probeMs) exchange.clientGone();
    } else if (exchange.request.minorVersion === 1 && this.#probesSent < probes) {
      this.#probesSent++;
      this.writer.writeHead('HTTP/1.1 102 Processing\r\n\r\n');
    }
  }

  /** Answers a request that did not become an exchange. */
  #refuse(answer: Answer): void {
    countAnswer(this.#context.ownAnswers, answer);
    this.writer.writeAnswer(answer, null, false);
    this.#close();
  }

  /** Closes after what is written has gone out, listening on for a while: to close at once would reset. */
  #close(): void {
    const { lingerMs, stalledBodyMs } = this.#context.limits;
    this.#state = 'closing';
    this.#pending.clear();
    this.#reader.reset();
    this.socket.end();
    this.writer.progressed();
    this.#lingerUntilMs = this.#context.ticker.nowMs + lingerMs * lingerFactor;
    this.#setDeadline(this.writer.unsent ? stalledBodyMs : lingerMs);
    this.#updateFlow();
  }

  #abort(): void {
    this.#state = 'closing';
    this.#pending.clear();
    abort(this.socket);
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

import { connect, type Socket } from 'node:net';
import { BodyReader, type Slices } from './body-reader.ts';
import type { ContainerTraffic } from './containers.ts';
import type { Context } from './context.ts';
import type { Exchange } from './exchange.ts';
import { HeadReader, more, refused } from './head-reader.ts';
import { Outlet } from './outlet.ts';
import { Refusal } from './refusal.ts';
import { readResponseHead } from './response-head.ts';
import { abort } from './sockets.ts';
import type { Ticker, Timed } from './ticker.ts';
import type { Tunnel } from './tunnel.ts';
import type { Route } from './waist.ts';

/** More interim responses than that before the final one are no answer but a flood. */
const maxInterim = 16;

/** Why no response, or no complete one, came from a container. */
export type UpstreamFault = 'unreachable' | 'closed' | 'invalid' | 'slow';

/** One connection to one container: reads the responses on it for the exchange that it is lent to. */
export class UpstreamConnection implements Timed {
  deadlineMs: number;
  /** Whether the current exchange is not its first. */
  reused = false;
  idleSinceMs = 0;
  /** Whether a byte of the current response has arrived. */
  heard = false;
  readonly socket: Socket;
  readonly container: ContainerTraffic;
  readonly #context: Context;
  readonly #ticker: Ticker;
  readonly #upstream: NonNullable<Route['upstream']>;
  readonly #reader: HeadReader;
  readonly #outlet: Outlet;
  #exchange: Exchange | null = null;
  #tunnel: Tunnel | null = null;
  #body: BodyReader | null = null;
  #keepAlive = false;
  /** Whether the end of the connection is the end of the body that is being read. */
  #endsWithConnection = false;
  #interim = 0;
  #connected = false;
  #blocked = false;

  constructor(context: Context, container: ContainerTraffic, upstream: NonNullable<Route['upstream']>) {
    this.#context = context;
    this.#ticker = context.ticker;
    this.container = container;
    this.#upstream = upstream;
    this.#reader = new HeadReader(context.responseHead, 'response', context.limits.headBytes);
    this.deadlineMs = this.#ticker.nowMs + context.limits.connectMs;
    this.socket = connect({
      host: upstream.address,
      port: upstream.port,
      noDelay: true,
      allowHalfOpen: true,
      // All connections read into one buffer, which is used up before the next read: it costs neither a buffer
      // for each piece nor the streams' queue. What is to be kept is copied.
      onread: { buffer: context.readBuffer, callback: (bytes, buffer) => this.#onRead(bytes, buffer) },
    });
    this.#outlet = new Outlet(this.socket);
    this.socket.on('connect', () => {
      this.#connected = true;
      this.arm();
    });
    this.socket.on('drain', () => this.#onDrain());
    this.socket.on('end', () => this.#onEnd());
    this.socket.on('error', () => {});
    this.socket.on('close', (hadError) => this.#onClose(hadError));
    this.#ticker.add(this);
  }

  leadsTo(upstream: NonNullable<Route['upstream']>): boolean {
    return (
      this.#upstream.port === upstream.port &&
      this.#upstream.address === upstream.address &&
      !this.socket.destroyed
    );
  }

  /** Lends the connection to an exchange, until its response ends or `detach`. */
  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#body = null;
    this.#interim = 0;
    this.heard = false;
    this.arm();
  }

  /** Sets the deadline for what is awaited now; a tunnel keeps its own. */
  arm(): void {
    if (!this.#connected || this.#tunnel !== null) return;
    const { limits } = this.#context;
    let timeMs = 0;
    if (this.#blocked) timeMs = limits.stalledBodyMs;
    else if (this.#exchange === null) timeMs = limits.upstreamIdleMs;
    else if (this.socket.isPaused() || !this.#exchange.requestDone) timeMs = 0;
    else timeMs = this.#body === null ? limits.responseHeadMs : limits.quietResponseMs;
    this.deadlineMs = timeMs === 0 ? Number.POSITIVE_INFINITY : this.#ticker.nowMs + timeMs;
  }

  /** Writes a piece of a tunnel's bytes; false: the container does not read. */
  writePiece(chunk: Buffer): boolean {
    return this.#outlet.writePiece(chunk, 0, chunk.length);
  }

  writeHead(head: string): void {
    this.socket.write(head, 'latin1');
  }

  /** As Outlet's; false: the container does not read, and `upstreamDrained` will follow. */
  writeBody(head: string, chunked: boolean, bytes: Buffer, slices: Slices, last: boolean): boolean {
    const flowing = this.#outlet.writeBody(head, chunked, bytes, slices, last);
    if (last) this.#outlet.release();
    if (!flowing) {
      this.#blocked = true;
      this.arm();
    }
    return flowing;
  }

  pauseReading(): void {
    this.socket.pause();
    this.arm();
  }

  resumeReading(): void {
    this.socket.resume();
    this.arm();
  }

  /** Takes the exchange away from the connection, which is of no further use. */
  detach(): void {
    this.#exchange = null;
    abort(this.socket);
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The container is to go: ends what is under way on the connection. */
  release(): void {
    if (this.#tunnel !== null) this.#tunnel.abort();
    else if (this.#exchange !== null) this.#exchange.containerGone();
    else this.socket.destroy();
  }

  onDeadline(): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.socket.destroy();
      return;
    }
    this.detach();
    exchange.upstreamFailed(this.#connected ? 'slow' : 'unreachable');
  }

  #onRead(bytes: number, buffer: Uint8Array): boolean {
    try {
      this.#read((buffer as Buffer).subarray(0, bytes));
    } catch (error) {
      this.#context.log.error({ err: error, id: this.container.id }, 'reading a response failed');
      const exchange = this.#exchange;
      this.detach();
      exchange?.upstreamFailed('invalid');
    }
    return true;
  }

  #read(chunk: Buffer): void {
    if (this.#tunnel !== null) {
      this.#tunnel.fromContainer(chunk);
      return;
    }
    const exchange = this.#exchange;
    // Nobody asked: whatever it is, the next request must not get it for an answer.
    if (exchange === null) {
      this.socket.destroy();
      return;
    }
    const { activity } = this.container;
    activity.bytesFromContainer += chunk.length;
    activity.lastByteMonoMs = this.#ticker.nowMs;
    this.heard = true;
    const bodyStart = this.#body === null ? this.#readHead(exchange, chunk) : 0;
    if (this.#body === null) return;
    const { slices } = this.#context;
    const end = this.#body.read(chunk, bodyStart, slices);
    if (end === refused) {
      this.#invalid(exchange, 'Its chunked body is not valid.');
      return;
    }
    const { done } = this.#body;
    exchange.responseBody(chunk, slices, done);
    if (done) this.#finish(exchange, end === chunk.length);
    else if (this.#context.limits.quietResponseMs > 0) this.arm();
  }

  /** Reads heads until the final one is complete, and returns where its body begins. */
  #readHead(exchange: Exchange, chunk: Buffer): number {
    let at = 0;
    while (this.#body === null && at < chunk.length) {
      at = this.#reader.read(chunk, at);
      if (at === more) break;
      if (at === refused) {
        this.#invalid(exchange, this.#reader.refusal!.detail);
        break;
      }
      const { head } = this.#reader;
      const response = readResponseHead(head, exchange.request.method);
      if (response instanceof Refusal) {
        this.#invalid(exchange, response.detail);
        break;
      }
      if (response.status === 101) {
        this.#switch(exchange, exchange.switchProtocols(response, head), chunk.subarray(at));
        break;
      }
      if (response.status >= 200) {
        this.#body = new BodyReader(response.framing, response.lengthBytes, this.#context.limits);
        this.#keepAlive = response.keepAlive;
        this.#endsWithConnection = response.framing === 'close';
        exchange.responseHead(response, head);
      } else if (++this.#interim > maxInterim) {
        this.#invalid(exchange, 'There are too many interim responses.');
        break;
      } else {
        exchange.interim(response, head);
      }
    }
    return at;
  }

  #switch(exchange: Exchange, tunnel: Tunnel | null, early: Buffer): void {
    if (tunnel === null) {
      this.#invalid(exchange, 'It switches protocols without being asked.');
      return;
    }
    this.#exchange = null;
    this.#tunnel = tunnel;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    tunnel.begin(early);
  }

  /** The response is complete; `clean`: with nothing after it. */
  #finish(exchange: Exchange, clean: boolean): void {
    this.#exchange = null;
    this.#body = null;
    this.#endsWithConnection = false;
    if (clean && this.#keepAlive && exchange.requestDone && !this.#blocked && !this.socket.isPaused()) {
      this.idleSinceMs = this.#ticker.nowMs;
      this.arm();
      this.container.giveBack(this);
    } else {
      this.socket.destroy();
    }
    exchange.responseEnd();
  }

  #invalid(exchange: Exchange, detail: string): void {
    this.#context.log.warn(
      { id: this.container.id, detail },
      'a container sent a response that is not valid',
    );
    this.detach();
    exchange.upstreamFailed('invalid');
  }

  #onDrain(): void {
    this.#blocked = false;
    this.#outlet.release();
    this.arm();
    if (this.#tunnel !== null) this.#tunnel.containerDrained();
    else this.#exchange?.upstreamDrained();
  }

  #onEnd(): void {
    if (this.#tunnel !== null) {
      this.#tunnel.containerEnded();
      return;
    }
    const exchange = this.#exchange;
    if (exchange !== null && this.#endsWithConnection) {
      this.#context.slices.clear();
      exchange.responseBody(nothing, this.#context.slices, true);
      this.#finish(exchange, false);
      return;
    }
    this.socket.destroy();
    if (exchange !== null) {
      this.#exchange = null;
      exchange.upstreamFailed('closed');
    }
  }

  #onClose(hadError: boolean): void {
    this.#ticker.delete(this);
    this.container.connectionClosed(this);
    this.#tunnel?.containerClosed(hadError);
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.upstreamFailed(this.#connected ? 'closed' : 'unreachable');
  }
}

const nothing = Buffer.alloc(0);

import type { ClientConnection } from './client-connection.ts';
import type { ContainerTraffic } from './containers.ts';
import type { Context } from './context.ts';
import { abort } from './sockets.ts';
import type { Timed } from './ticker.ts';
import type { UpstreamConnection } from './upstream-connection.ts';

/**
 * Two connections that carry each other's bytes, after a 101. An end on one side is an end on the other, a
 * reset a reset; it is over when both sockets are closed.
 */
export class Tunnel implements Timed {
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #context: Context;
  readonly #traffic: ContainerTraffic;
  readonly #client: ClientConnection;
  readonly #upstream: UpstreamConnection;
  #halfClosed = false;
  #open = 2;

  constructor(
    context: Context,
    traffic: ContainerTraffic,
    client: ClientConnection,
    upstream: UpstreamConnection,
  ) {
    this.#context = context;
    this.#traffic = traffic;
    this.#client = client;
    this.#upstream = upstream;
    traffic.tunnels.add(this);
    traffic.activity.tunnelOpened();
    context.counts.openTunnels++;
    context.ticker.add(this);
    this.#arm();
  }

  /** Starts with what the container sent right behind its 101, then with what the client sent early. */
  begin(early: Buffer): void {
    if (early.length > 0) this.fromContainer(early);
    this.#client.enterTunnel();
  }

  fromClient(chunk: Buffer): void {
    const { activity } = this.#traffic;
    activity.bytesFromClient += chunk.length;
    this.#noteByte();
    if (!this.#upstream.socket.write(chunk)) this.#client.socket.pause();
  }

  fromContainer(chunk: Buffer): void {
    const { activity } = this.#traffic;
    activity.bytesFromContainer += chunk.length;
    this.#noteByte();
    // The chunk is in the buffer that all connections to containers share.
    if (!this.#client.socket.write(Buffer.from(chunk))) this.#upstream.socket.pause();
  }

  clientDrained(): void {
    this.#upstream.socket.resume();
    this.#arm();
  }

  containerDrained(): void {
    this.#client.socket.resume();
    this.#arm();
  }

  clientEnded(): void {
    this.#upstream.socket.end();
    this.#halfClose();
  }

  containerEnded(): void {
    this.#client.socket.end();
    this.#halfClose();
  }

  clientClosed(hadError: boolean): void {
    if (hadError) abort(this.#upstream.socket);
    else this.#upstream.socket.destroySoon();
    this.#closed();
  }

  containerClosed(hadError: boolean): void {
    if (hadError) abort(this.#client.socket);
    else this.#client.socket.destroySoon();
    this.#closed();
  }

  /** Ends both sides at once. */
  abort(): void {
    abort(this.#client.socket);
    abort(this.#upstream.socket);
  }

  onDeadline(): void {
    this.abort();
  }

  #noteByte(): void {
    this.#traffic.activity.lastByteMonoMs = this.#context.ticker.nowMs;
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) this.#arm();
  }

  #halfClose(): void {
    this.#halfClosed = true;
    this.#arm();
  }

  /** A tunnel may be quiet for as long as it likes, unless it is half closed: then nobody may be there any more. */
  #arm(): void {
    const { tunnelIdleMs, stalledBodyMs } = this.#context.limits;
    const idleMs =
      this.#halfClosed && (tunnelIdleMs === 0 || tunnelIdleMs > stalledBodyMs) ? stalledBodyMs : tunnelIdleMs;
    this.deadlineMs = idleMs === 0 ? Number.POSITIVE_INFINITY : this.#context.ticker.nowMs + idleMs;
  }

  #closed(): void {
    if (--this.#open > 0) {
      this.#halfClose();
      return;
    }
    this.#context.ticker.delete(this);
    this.#context.counts.openTunnels--;
    this.#traffic.activity.tunnelClosed();
    this.#traffic.tunnelClosed(this);
  }
}

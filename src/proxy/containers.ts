import { Activity } from './activity.ts';
import type { Context } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { Tunnel } from './tunnel.ts';
import { UpstreamConnection } from './upstream-connection.ts';
import { type Route, WakeError } from './waist.ts';

type Upstream = NonNullable<Route['upstream']>;

/** How long an unused connection is good for a request that cannot be repeated if the container just closed it. */
const recentMs = 1000;

/** How long visitors are told why a container could not be woken. */
const problemMs = 30_000;

/** Everything that the proxy holds of containers, by id: never by address, which others get later (rule 5). */
export class Containers {
  readonly #byId = new Map<string, ContainerTraffic>();

  of(context: Context, id: string): ContainerTraffic {
    let traffic = this.#byId.get(id);
    if (traffic === undefined) {
      traffic = new ContainerTraffic(context, id);
      this.#byId.set(id, traffic);
    }
    return traffic;
  }

  get(id: string): ContainerTraffic | undefined {
    return this.#byId.get(id);
  }

  /** Hands what happened to the core, and forgets containers of which nothing is open. */
  flush(): void {
    for (const traffic of this.#byId.values()) this.#flush(traffic);
  }

  /** Ends everything of the container; resolves when every socket of it is closed. */
  async release(id: string): Promise<void> {
    const traffic = this.#byId.get(id);
    if (traffic === undefined) return;
    await traffic.release();
    this.#flush(traffic);
  }

  /** Ends everything; resolves when it is closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#byId.keys()].map((id) => this.release(id)));
  }

  #flush(traffic: ContainerTraffic): void {
    traffic.noteActivity();
    if (traffic.isUnused && this.#byId.get(traffic.id) === traffic) this.#byId.delete(traffic.id);
  }
}

/** One container's connections, used and unused, its tunnels, held requests and activity. */
export class ContainerTraffic {
  readonly id: string;
  readonly activity = new Activity();
  readonly held = new Set<Exchange>();
  readonly tunnels = new Set<Tunnel>();
  readonly #context: Context;
  readonly #connections = new Set<UpstreamConnection>();
  readonly #idle: UpstreamConnection[] = [];
  #released = false;
  #waking = false;
  /** Why the last wake failed, for the page of whoever waits; forgotten after a while. */
  #problem: { readonly message: string; readonly untilMs: number } | null = null;
  #waiters: (() => void)[] = [];

  constructor(context: Context, id: string) {
    this.#context = context;
    this.id = id;
  }

  get isUnused(): boolean {
    return (
      this.#connections.size === 0 &&
      this.tunnels.size === 0 &&
      this.held.size === 0 &&
      this.activity.openRequests === 0 &&
      !this.#waking &&
      this.wakeProblem === null
    );
  }

  /** Why the container could not be woken just now; null where that is not known to be so. */
  get wakeProblem(): string | null {
    if (this.#problem !== null && this.#problem.untilMs < this.#context.ticker.nowMs) this.#problem = null;
    return this.#problem?.message ?? null;
  }

  /**
   * A connection to the container: an unused one, unless `fresh` is asked for, or a new one. `repeatable`:
   * whether the request can be sent again should the container have closed an unused connection just now.
   * Null where a limit is reached.
   */
  acquire(upstream: Upstream, fresh: boolean, repeatable: boolean): UpstreamConnection | null {
    if (this.#released) return null;
    const { limits, ticker, counts } = this.#context;
    const full =
      this.#connections.size >= limits.upstreamConnectionsPerContainer ||
      counts.upstreamConnections >= limits.upstreamConnections;
    while (!fresh && this.#idle.length > 0) {
      const connection = this.#idle[this.#idle.length - 1]!;
      if (!connection.leadsTo(upstream)) {
        connection.destroy();
        this.#idle.pop();
        continue;
      }
      if (!repeatable && !full && ticker.nowMs - connection.idleSinceMs > recentMs) break;
      this.#idle.pop();
      connection.reused = true;
      return connection;
    }
    if (full) return null;
    const connection = new UpstreamConnection(this.#context, this, upstream);
    this.#connections.add(connection);
    counts.upstreamConnections++;
    return connection;
  }

  /** Takes back a connection on which request and response are complete. */
  giveBack(connection: UpstreamConnection): void {
    if (this.#released || this.#idle.length >= this.#context.limits.idleUpstreamConnections) {
      connection.destroy();
    } else {
      this.#idle.push(connection);
    }
  }

  /** To be called once for each connection, when its socket is closed. */
  connectionClosed(connection: UpstreamConnection): void {
    const place = this.#idle.indexOf(connection);
    if (place >= 0) this.#idle.splice(place, 1);
    if (this.#connections.delete(connection)) this.#context.counts.upstreamConnections--;
    this.#settle();
  }

  tunnelClosed(tunnel: Tunnel): void {
    this.tunnels.delete(tunnel);
    this.#settle();
  }

  /** Asks the core to wake the container without anybody's request waiting for it; one ask at a time. */
  wakeInBackground(): void {
    if (this.#waking) return;
    this.#waking = true;
    const { waist, log, ticker } = this.#context;
    new Promise((resolve) => resolve(waist.wake(this.id, new AbortController().signal))).then(
      () => {
        this.#waking = false;
        this.#problem = null;
      },
      (error: unknown) => {
        this.#waking = false;
        const message = error instanceof WakeError ? error.message : 'It could not be started.';
        this.#problem = { message, untilMs: ticker.nowMs + problemMs };
        log.warn({ id: this.id, err: error }, 'a container that a visitor waits for could not be woken');
      },
    );
  }

  release(): Promise<void> {
    this.#released = true;
    for (const exchange of [...this.held]) exchange.containerGone();
    for (const connection of [...this.#connections]) connection.release();
    return this.#allClosed(() => this.#connections.size === 0 && this.tunnels.size === 0);
  }

  /** Ends what is open now; what is held for the container stays, and opens connections of its own later. */
  quiesce(): Promise<void> {
    const tunnels = [...this.tunnels];
    const connections = [...this.#connections];
    for (const tunnel of tunnels) tunnel.abort();
    for (const connection of connections) connection.release();
    return this.#allClosed(
      () => !tunnels.some((t) => this.tunnels.has(t)) && !connections.some((c) => this.#connections.has(c)),
    );
  }

  noteActivity(): void {
    const delta = this.activity.takeDelta();
    if (delta !== null) this.#context.waist.noteActivity(this.id, delta);
  }

  async #allClosed(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #settle(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}

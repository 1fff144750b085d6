import type { Container } from './container.ts';
import type { Given, SpawnRequest } from './spawner.ts';
import type { QueuePlace } from './start-queue.ts';

export interface ContainerChanges {
  /** Milliseconds since 1970. */
  readonly expiresAtMs?: number;
  /** Labels to set; null takes one away. */
  readonly labels?: Readonly<Record<string, string | null>>;
}

/** What interfaces can ask of the core. Every failure is a SpawnerError. */
export interface Commands {
  /**
   * Gives the user a container. Resolves when the acknowledgement is committed: with a ready container, or with
   * `early` as soon as it is admitted, `ready` then tells the rest.
   */
  request(request: SpawnRequest): Promise<Given>;
  /** The same for callers that want to know only of the ready container. */
  spawn(request: SpawnRequest): Promise<Container>;
  /** Resolves when the engine has confirmed the removal. Gives the place in the queue up, where it still waits. */
  stop(id: string): Promise<void>;
  /** Resolves with the ready container, woken where it was asleep. */
  wake(id: string): Promise<Container>;
  /** Resolves when the container is stopped or paused, as its entry's `on_idle` says; else stopped. */
  sleep(id: string): Promise<void>;
  /** Moves the deadline to `expiresAtMs`, milliseconds since 1970, within `max_lifetime`. */
  extend(id: string, expiresAtMs: number): Container;
  /** Counts as a use of the container: its idle time begins anew. */
  heartbeat(id: string): Container;
  /** Moves the deadline as `extend` does, and changes labels where the entry allows it: both, or none of it. */
  change(id: string, changes: ContainerChanges): Container;
  get(id: string): Container | undefined;
  /** All that anybody may know of: warm ones are nobody's business. */
  all(): Iterable<Container>;
  /** The user's newest container that is not stopping. */
  newestOf(user: string): Container | undefined;
  /** Where a queued container stands. */
  queuePlace(id: string): QueuePlace | null;
}

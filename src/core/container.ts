import type { ContainerSpec, LifecycleSpec, PortSpec, ReadySpec } from './image-entry.ts';

/** Where a container is in its life. Forward only, but for ready <-> asleep; `gone` is the end. */
export type Phase = 'queued' | 'creating' | 'starting' | 'ready' | 'asleep' | 'stopping' | 'gone';

/** Why a container is gone (or on its way there, while `stopping`). */
export type GoneReason = 'asked' | 'expired' | 'idle' | 'exited' | 'failed' | 'lost';

/** The one table of allowed transitions. */
export const transitions: Readonly<Record<Phase, readonly Phase[]>> = {
  queued: ['creating', 'stopping', 'gone'],
  creating: ['starting', 'stopping', 'gone'],
  starting: ['ready', 'stopping', 'gone'],
  ready: ['asleep', 'stopping', 'gone'],
  asleep: ['ready', 'stopping', 'gone'],
  stopping: ['gone'],
  gone: [],
};

/** A port of a container, bound to a host port. */
export interface PortBinding extends PortSpec {
  /** On 127.0.0.1, from the configured range; reserved as long as the container has a place. */
  readonly hostPort: number;
}

/** Where the service reaches a container's web server. */
export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** What is fixed at a container's birth. It is committed to the ledger before the engine is asked. */
export interface Birth {
  /** The public name: a DNS label of hexadecimal digits. Never changes. */
  readonly id: string;
  readonly imageKey: string;
  /** null: users are off. */
  readonly user: string | null;
  /** Wall clock, milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly ports: readonly PortBinding[];
  readonly configHash: string;
}

/** A birth with everything that is needed to create the container again: placeholders are filled. */
export interface Specification extends Birth {
  readonly spec: ContainerSpec;
  readonly ready: ReadySpec;
  readonly lifecycle: LifecycleSpec;
  /** What callers noted on it, for themselves: the engine never sees it, where `spec.labels` are. */
  readonly labels: Labels;
}

export type Labels = Readonly<Record<string, string>>;

/** One running instance of an image entry, as the registry holds it. Only the registry writes to it. */
export interface Container extends Specification {
  readonly phase: Phase;
  /** Set from `stopping` on. */
  readonly reason: GoneReason | null;
  /** The engine's own name for it; null until the engine confirmed the creation. */
  readonly ref: string | null;
  /**
   * When the last call of ours that changed it in the engine had ended, on the monotonic clock: a list that was
   * asked for before does not show it as it is.
   */
  readonly changedMonoMs: number;
  readonly upstream: Upstream | null;
  /** Whether a caller was told of it (rule 2). */
  readonly acknowledged: boolean;
  readonly readyAtMs: number | null;
  /** The deadline on the monotonic clock, which no jump of the wall clock moves (rule 8). */
  readonly expiresAtMonoMs: number;
  /** Since when it can be used, on the monotonic clock: its idle time begins no earlier. */
  readonly usedSinceMonoMs: number;
  /**
   * Until when, on the monotonic clock, the engine may still carry out a stop of ours that it was not heard of
   * any more: it goes on with one though its caller has gone.
   */
  readonly stopsUntilMonoMs: number;
  /** While `asleep`: what the engine is being asked for. */
  readonly moving: 'falling-asleep' | 'waking' | null;
  /** Whether it is kept ready for somebody, and nobody's yet. It has no route then. */
  readonly warm: boolean;
}

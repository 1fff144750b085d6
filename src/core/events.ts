import type { GoneReason } from './container.ts';

/** The kinds of events, each declared once; the reference page is made from here. */
export const eventKinds = {
  queued: 'a container was asked for; it waits for the engine',
  creating: 'the engine is creating it',
  pulling: 'its image is being fetched; `data` has `current_bytes` and `total_bytes`',
  starting: 'it runs; its web server does not answer yet',
  ready: 'its web server answers',
  claimed: 'a warm container was given to a user',
  expiring: 'its deadline is near; `data` has `expires_at_ms`',
  extended: 'its deadline was moved; `data` has `expires_at_ms`',
  labelled: 'its labels were changed',
  asleep: 'it was not used, and was stopped or paused; `data` has `mode`',
  waking: 'it is being continued',
  awake: 'it answers again',
  stopping: 'it is being removed; `data` has `reason`',
  gone: 'the engine has confirmed its removal; `data` has `reason`',
} as const;

export type EventKind = keyof typeof eventKinds;

/** Something that happened to a container, as the ledger keeps it. */
export interface SpawnerEvent {
  /** Goes up with every event, over restarts too; null for progress that is told but not kept (`pulling`). */
  readonly id: number | null;
  readonly atMs: number;
  readonly containerId: string;
  readonly imageKey: string;
  readonly user: string | null;
  readonly kind: EventKind;
  /** `warm` is true as long as the container is kept warm: then the event is nobody's business. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** A container that has ended: who, what, when, how long, why. */
export interface HistoryEntry {
  readonly id: string;
  readonly imageKey: string;
  readonly user: string | null;
  readonly createdAtMs: number;
  /** null: it never was ready. */
  readonly readyAtMs: number | null;
  readonly endedAtMs: number;
  readonly reason: GoneReason;
}

/** Tells everybody who listens of every event, in their order; the one source for API, waiting page and logs. */
export interface EventBus {
  publish(event: SpawnerEvent): void;
  /** Returns the function that ends it. A listener that throws is a defect, and is not called again. */
  subscribe(listener: (event: SpawnerEvent) => void): () => void;
}

export function createEventBus(onDefect: (error: unknown) => void): EventBus {
  const listeners = new Set<(event: SpawnerEvent) => void>();
  return {
    publish(event) {
      for (const listener of listeners) {
        try {
          listener(event);
        } catch (error) {
          listeners.delete(listener);
          onDefect(error);
        }
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

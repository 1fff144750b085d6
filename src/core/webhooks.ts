import type { EventKind, SpawnerEvent } from './events.ts';

/** Somebody who is told of events, as the configuration names them. */
export interface WebhookTarget {
  readonly url: string;
  readonly secret: string;
  /** What it is told of; null: of everything that is kept. */
  readonly events: readonly EventKind[] | null;
}

/**
 * What the ledger keeps for webhooks: for each target which events were taken into its lines, and what waits in
 * them. Targets go by a key of the caller's. Synchronous and committed on return; throws LedgerError.
 */
export interface WebhookLedger {
  /**
   * From now on there are these targets. A new one is told of what happens from now on; one that is missing is
   * forgotten with all that waited for it. Gives how many events that were.
   */
  setTargets(keys: readonly string[]): number;
  /**
   * Takes the next events, at most `limit`, into the lines of the targets that want them. Events of containers
   * that are kept warm for nobody are left out.
   */
  take(wanted: readonly Wanted[], limit: number): Taken;
  /** What waits for a target after an event, in the order of events, at most `limit`. */
  waiting(key: string, afterEventId: number, limit: number): WaitingDelivery[];
  /** The event of a delivery; null where it does not wait any more. */
  event(key: string, eventId: number): SpawnerEvent | null;
  delivered(key: string, eventId: number): void;
  /** `notBeforeMs`: when to try again, wall clock. */
  failed(
    key: string,
    eventId: number,
    failure: { readonly error: string; readonly notBeforeMs: number },
  ): void;
  /** Gives a delivery up; it is kept to be shown. */
  bury(key: string, eventId: number, failure: { readonly error: string; readonly atMs: number }): void;
  /** What was given up, newest first. */
  dead(limit: number): BuriedDelivery[];
}

export interface Wanted {
  readonly key: string;
  readonly kinds: readonly EventKind[];
  /** Set where too much waits already: events are given up at once, with this as the reason. */
  readonly refusal: { readonly error: string; readonly atMs: number } | null;
}

export interface Taken {
  readonly waiting: WaitingDelivery[];
  /** How many were given up at once, for the keys with a `refusal`. */
  readonly refused: ReadonlyMap<string, number>;
  /** Whether there are further events. */
  readonly more: boolean;
}

export interface WaitingDelivery {
  readonly key: string;
  readonly eventId: number;
  readonly containerId: string;
  /** When the event happened, wall clock. */
  readonly atMs: number;
  readonly attempts: number;
  readonly notBeforeMs: number;
}

export interface BuriedDelivery {
  readonly key: string;
  readonly event: SpawnerEvent;
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly error: string;
  readonly deadAtMs: number;
}

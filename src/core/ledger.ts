import type { GoneReason, Labels, PortBinding, Specification } from './container.ts';
import type { EventKind, HistoryEntry, SpawnerEvent } from './events.ts';
import type { TokenLedger } from './tokens.ts';
import type { WebhookLedger } from './webhooks.ts';

/**
 * What must survive a restart and cannot live in the engine, since labels never change after creation. Calls
 * are synchronous, and committed when they return, together with the event that tells of them. They throw
 * LedgerError where nothing could be committed, for example on a full disk; nothing has changed then.
 */
export interface Ledger {
  /** This ledger's UUID: every container and network we make carries it. */
  readonly identity: string;
  /** Its own UUID and those it has adopted: containers that carry one of them are ours. */
  identities(): ReadonlySet<string>;
  /** From now on containers of that ledger are ours too (`--adopt`). */
  adopt(identity: string): void;
  /** Called after each commit that wrote an event. */
  onEvent(listener: (event: SpawnerEvent) => void): void;

  /** Everything that is not gone, oldest first. */
  list(): LedgerEntry[];
  /** Commits a specification before the engine is asked (rule 2): `queued`. */
  add(specification: Specification, options: AddOptions): void;
  /** Commits other host ports, after somebody else was found to hold those of `add`. */
  rebind(id: string, ports: readonly PortBinding[]): void;
  /** Commits that its web server answered for the first time, and, unless it is warm, that a caller is told. */
  becomeReady(id: string, readyAtMs: number): void;
  /** Commits whose a warm container is; it is not acknowledged yet: `claimed`. */
  claim(id: string, claim: Claim): void;
  /** Commits that a caller is about to be told of the container. */
  acknowledge(id: string): void;
  /** Commits that it is about to be put to sleep: `asleep`. */
  fallAsleep(id: string, mode: 'stop' | 'pause'): void;
  /** Commits that it answers again: `awake`. */
  awake(id: string): void;
  /** Commits a later deadline: `extended`. */
  extend(id: string, expiresAtMs: number): void;
  /** Commits what callers noted on it, in the place of what they had: `labelled`. */
  label(id: string, labels: Labels): void;
  /** Commits that the container is on its way out: a restart finishes the removal, never serves it: `stopping`. */
  condemn(id: string, reason: GoneReason): void;
  /** Commits that the engine has confirmed the removal, and writes its history: `gone`. */
  forget(id: string, reason: GoneReason): void;
  /** Writes an event that changes nothing else. */
  note(id: string, kind: EventKind, data?: Readonly<Record<string, unknown>>): void;

  /** Commits that this key stands for a container that was there before the request. */
  remember(idempotency: IdempotencyKey, containerId: string): void;
  /** The request that first came with this key, unless it failed or is older than a day. */
  idempotent(key: string): IdempotentRequest | null;
  /** Events with an id above `afterId`, in order, at most `limit`. */
  events(afterId: number, limit: number): SpawnerEvent[];
  /** The id of the newest event; 0 where there was none yet. */
  newestEvent(): number;
  /** Containers that have ended, newest first. */
  history(filter: HistoryFilter): HistoryEntry[];
  /** How a container ended; null where that is not known, or not any more. */
  ended(id: string): HistoryEntry | null;
  /** Drops what is older than it need be. */
  prune(keep: { readonly historyMs: number; readonly events: number }): void;

  /** The tokens of the API. */
  readonly tokens: TokenLedger;

  /** What waits for webhooks. */
  readonly webhooks: WebhookLedger;

  close(): void;
}

export interface HistoryFilter {
  /** Only theirs. */
  readonly users?: readonly string[];
  readonly imageKey?: string;
  /** Only what comes after this one in the order of the list. */
  readonly after?: { readonly endedAtMs: number; readonly id: string };
  readonly limit: number;
}

export interface AddOptions {
  readonly acknowledged: boolean;
  readonly warm: boolean;
  readonly idempotency: IdempotencyKey | null;
}

/** What a caller sends along so that the same request, sent again, gives the same container. */
export interface IdempotencyKey {
  readonly key: string;
  /** Tells the request from another one with the same key. */
  readonly fingerprint: string;
}

export interface IdempotentRequest {
  readonly fingerprint: string;
  readonly containerId: string;
}

/** What becomes known of a warm container when somebody gets it. */
export interface Claim {
  readonly user: string | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly labels: Labels;
  readonly idempotency: IdempotencyKey | null;
}

export interface LedgerEntry extends Specification {
  readonly acknowledged: boolean;
  /** Set once condemned. */
  readonly condemned: GoneReason | null;
  readonly readyAtMs: number | null;
  readonly asleep: 'stop' | 'pause' | null;
  /** Made to be kept warm, and not claimed. */
  readonly warm: boolean;
}

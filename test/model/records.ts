import type { GoneReason } from '../../src/core/container.ts';
import type { EventKind, SpawnerEvent } from '../../src/core/events.ts';
import { idleMs, lifetimeMs } from './entries.ts';

/** What the world outside the service knows of one container: what callers were told, and what was done to it. */
export interface ContainerRecord {
  readonly id: string;
  readonly imageKey: string;
  /** Set once a caller was told of it. */
  told: { readonly user: string | null; expiresAtMs: number } | null;
  wasWarm: boolean;
  wasReady: boolean;
  /** It is on its way out, or gone. */
  ended: GoneReason | null;
  gone: boolean;
  lastKind: EventKind | null;
  /** Between these it has to end; they differ where a restart of the service met a wall clock that had jumped. */
  deadline: { earliestMs: number; latestMs: number };
  createdAtMs: number;
  lastUseMs: number;
  openRequests: number;
  openTunnels: number;
  stopAsked: boolean;
  sleepAsked: boolean;
  /** Somebody removed, stopped, paused or restarted it behind the service's back. */
  touched: boolean;
  /** Something went wrong with a call about it, or it lived through a restart of the engine. */
  faulted: boolean;
}

export function createRecords(nowMs: () => number) {
  const byId = new Map<string, ContainerRecord>();

  function of(event: Pick<SpawnerEvent, 'containerId' | 'imageKey' | 'atMs'>): ContainerRecord {
    const known = byId.get(event.containerId);
    if (known) return known;
    const record: ContainerRecord = {
      ...{ id: event.containerId, imageKey: event.imageKey, told: null, wasWarm: false, wasReady: false },
      ...{ ended: null, gone: false, lastKind: null, createdAtMs: event.atMs, lastUseMs: nowMs() },
      ...{
        openRequests: 0,
        openTunnels: 0,
        stopAsked: false,
        sleepAsked: false,
        touched: false,
        faulted: false,
      },
      deadline: { earliestMs: nowMs() + lifetimeMs, latestMs: nowMs() + lifetimeMs },
    };
    byId.set(record.id, record);
    return record;
  }

  return {
    of,
    get: (id: string) => byId.get(id),
    all: () => [...byId.values()],
    living: () => [...byId.values()].filter((record) => !record.gone),
    /** Told of to somebody, and not on its way out. */
    served: () => [...byId.values()].filter((record) => record.told !== null && record.ended === null),
  };
}

export type Records = ReturnType<typeof createRecords>;

/** Takes an event in; returns what is wrong with it, or null. */
export function follow(record: ContainerRecord, event: SpawnerEvent, nowMs: number): string | null {
  const { lastKind } = record;
  const isProgress = (progress as readonly string[]).includes(event.kind);
  if (isProgress) record.lastKind = event.kind;
  switch (event.kind) {
    case 'ready':
      record.wasReady = true;
      record.lastUseMs = nowMs;
      break;
    case 'claimed':
      record.wasWarm = true;
      record.createdAtMs = event.atMs;
      record.deadline = { earliestMs: nowMs + lifetimeMs, latestMs: nowMs + lifetimeMs };
      record.lastUseMs = nowMs;
      break;
    case 'awake':
      record.lastUseMs = nowMs;
      break;
    case 'gone':
      record.gone = true;
      break;
  }
  if (!isProgress) return lastKind === 'gone' ? `an event "${event.kind}" after its end` : null;
  const allowed = lastKind === null ? ['queued'] : after[lastKind as Progress];
  return (allowed as readonly string[]).includes(event.kind) ? null : `"${event.kind}" after "${lastKind}"`;
}

const progress = [
  ...(['queued', 'creating', 'starting', 'ready', 'claimed'] as const),
  ...(['asleep', 'waking', 'awake', 'stopping', 'gone'] as const),
];
type Progress = (typeof progress)[number];

/**
 * What may come after an event. A crash may come between any two of them: an acknowledged start begins again, and
 * what was waking is asleep. The engine's restart makes a container sleep with no event: it wakes all the same.
 */
const after: Readonly<Record<Progress, readonly Progress[]>> = {
  queued: ['creating', 'stopping'],
  creating: ['creating', 'starting', 'stopping'],
  starting: ['creating', 'ready', 'stopping'],
  ready: ['claimed', 'asleep', 'waking', 'stopping'],
  claimed: ['asleep', 'waking', 'stopping'],
  asleep: ['waking', 'stopping'],
  waking: ['asleep', 'waking', 'awake', 'stopping'],
  awake: ['asleep', 'waking', 'stopping'],
  stopping: ['gone'],
  gone: [],
};

/** Whether a container that somebody was told of may end for this reason, now. */
export function mayEnd(
  record: ContainerRecord,
  reason: GoneReason,
  nowMs: number,
  replaced: boolean,
): boolean {
  switch (reason) {
    case 'asked':
      return record.stopAsked || replaced;
    case 'expired':
      return nowMs >= record.deadline.earliestMs - 1;
    case 'idle':
      return record.imageKey === 'idles' && isIdle(record, nowMs);
    case 'exited':
    case 'lost':
      return record.touched;
    case 'failed':
      return !record.wasReady && (record.faulted || record.touched);
  }
}

export function isIdle(record: ContainerRecord, nowMs: number): boolean {
  return record.openRequests === 0 && record.openTunnels === 0 && nowMs >= record.lastUseMs + idleMs - 1;
}

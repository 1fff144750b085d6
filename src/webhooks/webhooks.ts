import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../core/clock.ts';
import { type EventBus, type EventKind, eventKinds, type SpawnerEvent } from '../core/events.ts';
import type { Log } from '../core/log.ts';
import type { Wanted, WebhookLedger, WebhookTarget } from '../core/webhooks.ts';
import { defaultBackOff } from './back-off.ts';
import { createTarget, type Delivering, keyOf, type Target, type WebhookLimits } from './target.ts';

export type { WebhookLimits, WebhookTarget };

export interface WebhookOptions {
  readonly targets: readonly WebhookTarget[];
  readonly instance: string;
  /** The address of a container as a browser reaches it. */
  readonly urlOf: (id: string) => string;
  readonly events: Pick<EventBus, 'subscribe'>;
  readonly ledger: WebhookLedger;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<WebhookLimits>;
  /** From 0 to 1; spreads attempts. */
  readonly random?: () => number;
}

/** A delivery that was given up. */
export interface DeadDelivery {
  /** The origin of the target's URL: the rest may be a secret. */
  readonly target: string;
  readonly event: SpawnerEvent;
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly error: string;
  readonly deadAtMs: number;
}

/** What happened with one target since the start of the process, and what waits for it now. */
export interface TargetFigures {
  readonly target: string;
  readonly waiting: number;
  readonly delivered: number;
  readonly failed: number;
  readonly dead: number;
}

/**
 * Tells the configured targets of events: each event at least once, those of one container in their order, until
 * the target takes it or a day has passed. What waits is in the ledger, so a restart continues.
 */
export interface Webhooks {
  /**
   * From now on there are these targets. A new one is told of what happens from now on; one that is left out is
   * forgotten with all that waited for it. Rejects with LedgerError; the targets are then as before.
   */
  setTargets(targets: readonly WebhookTarget[]): Promise<void>;
  /** What was given up, newest first, of the last 10,000. */
  listDead(limit: number): DeadDelivery[];
  figures(): TargetFigures[];
  /** Ends attempts under way; what was not answered is delivered again after the next start. */
  close(): Promise<void>;
}

/** Begins with what an earlier process left. Throws LedgerError where the ledger cannot be written. */
export function createWebhooks(options: WebhookOptions): Webhooks {
  const { ledger, clock, log } = options;
  const limits: WebhookLimits = { ...defaultLimits, ...options.limits };
  const delivering: Delivering = {
    ...options,
    sender: options,
    random: options.random ?? Math.random,
    limits,
  };
  let active = new Map<string, Active>();
  /** Targets whose lines are still to be filled with what waited before; key -> the last event that was. */
  const backlogs = new Map<string, number>();
  let cancelTake: (() => void) | null = null;
  let changing: Promise<void> = Promise.resolve();
  let closed = false;

  /** A turn later: all events of one turn are taken in one commit. */
  function takeSoon(): void {
    if (!closed && active.size > 0) cancelTake ??= clock.after(0, take);
  }

  function take(): void {
    cancelTake = null;
    try {
      // First what came first: lines keep the order of events.
      if (fillFromBacklog()) {
        takeSoon();
        return;
      }
      const { waiting, refused, more } = ledger.take([...active.values()].map(wantedBy), takenAtOnce);
      for (const delivery of waiting) active.get(delivery.key)?.target.add(delivery);
      for (const [key, count] of refused) active.get(key)?.target.refused(count);
      if (more) takeSoon();
    } catch (error) {
      // The next event tries again; nothing is lost, the ledger knows how far it was.
      log.error({ err: error }, 'the ledger cannot be written; webhooks are not told of events for now');
    }
  }

  /** One page of one target's backlog, as it would block the event loop as a whole; false: there was none. */
  function fillFromBacklog(): boolean {
    const next = backlogs.entries().next();
    if (next.done) return false;
    const [key, afterEventId] = next.value;
    const page = active.has(key) ? ledger.waiting(key, afterEventId, takenAtOnce) : [];
    for (const delivery of page) active.get(key)!.target.add(delivery);
    if (page.length === takenAtOnce) backlogs.set(key, page.at(-1)!.eventId);
    else backlogs.delete(key);
    return true;
  }

  function wantedBy({ configured, target }: Active): Wanted {
    const full = target.waiting >= limits.waiting;
    const error = `${limits.waiting} events wait for this target already`;
    return {
      key: target.key,
      kinds: configured.events ?? keptKinds,
      refusal: full ? { error, atMs: Math.floor(clock.wallMs()) } : null,
    };
  }

  function remember(targets: readonly WebhookTarget[]): void {
    const dropped = ledger.setTargets(targets.map(keyOf));
    if (dropped > 0) log.warn({ dropped }, 'webhooks are not configured any more; what waited is dropped');
  }

  function begin(targets: readonly WebhookTarget[]): void {
    for (const configured of targets) {
      const target = createTarget(configured, delivering);
      active.set(target.key, { configured, target });
      backlogs.set(target.key, 0);
    }
    takeSoon();
  }

  async function change(targets: readonly WebhookTarget[]): Promise<void> {
    if (closed) return;
    remember(targets);
    const isKept = ({ configured }: Active) => targets.some((each) => isDeepStrictEqual(each, configured));
    const ended = [...active.values()].filter((each) => !isKept(each));
    active = new Map([...active].filter(([, each]) => isKept(each)));
    await Promise.all(ended.map(({ target }) => target.close()));
    if (!closed) begin(targets.filter((each) => !active.has(keyOf(each))));
  }

  remember(options.targets);
  begin(options.targets);
  const unsubscribe = options.events.subscribe((event) => {
    if (event.id !== null) takeSoon();
  });

  return {
    setTargets(targets) {
      const done = changing.then(() => change(targets));
      changing = done.catch(() => {});
      return done;
    },
    listDead: (limit) =>
      ledger.dead(limit).flatMap(({ key, ...dead }) => {
        const target = active.get(key)?.target.origin;
        return target === undefined ? [] : [{ target, ...dead }];
      }),
    figures: () =>
      [...active.values()].map(({ target: { origin, waiting, counts } }) => ({
        target: origin,
        waiting,
        ...counts,
      })),
    async close() {
      closed = true;
      unsubscribe();
      cancelTake?.();
      await Promise.all([...active.values()].map(({ target }) => target.close()));
      await changing;
    },
  };
}

interface Active {
  readonly configured: WebhookTarget;
  readonly target: Target;
}

const defaultLimits: WebhookLimits = { ...defaultBackOff, timeoutMs: 10_000, parallel: 8, waiting: 50_000 };

/** Events that are taken into the lines at once, which blocks the event loop. */
const takenAtOnce = 500;

/** Progress is told, but not kept, and so cannot be delivered for certain. */
const keptKinds = (Object.keys(eventKinds) as EventKind[]).filter((kind) => kind !== 'pulling');

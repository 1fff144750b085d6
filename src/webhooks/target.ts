import { createHash } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { createDeadlines } from '../core/deadlines.ts';
import type { Log } from '../core/log.ts';
import type { WaitingDelivery, WebhookLedger, WebhookTarget } from '../core/webhooks.ts';
import { type BackOff, pauseAfter } from './back-off.ts';
import { messageOf, type Sender } from './message.ts';
import { type Outcome, post } from './post.ts';
import { signatureField, signatureOf } from './signature.ts';

/** What the deliveries to all targets share. */
export interface Delivering {
  readonly ledger: WebhookLedger;
  readonly sender: Sender;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly limits: WebhookLimits;
}

export interface WebhookLimits extends BackOff {
  /** How long a receiver may take until the head of its answer. */
  readonly timeoutMs: number;
  /** Requests to one target at once; at most half of them, and one at least, are further attempts. */
  readonly parallel: number;
  /** How many events may wait for one target; further ones are given up at once. */
  readonly waiting: number;
}

/** The deliveries to one target, each container's in the order of its events. */
export interface Target {
  readonly key: string;
  /** The origin of its URL: the rest may be a secret. */
  readonly origin: string;
  readonly waiting: number;
  readonly counts: { delivered: number; failed: number; dead: number };
  add(delivery: WaitingDelivery): void;
  /** Events were given up because too many wait. */
  refused(count: number): void;
  /** Ends attempts under way, which then count for nothing. Resolves when they have ended. */
  close(): Promise<void>;
}

/** The deliveries of one container that wait; only the first of them is ever tried. */
interface Line {
  readonly deliveries: WaitingDelivery[];
  /** Failed attempts at the first one. */
  attempts: number;
}

/** Under which key the ledger knows a target. A new secret or other events do not make it another target. */
export function keyOf({ url }: Pick<WebhookTarget, 'url'>): string {
  return createHash('sha256').update(url).digest('hex').slice(0, 32);
}

export function createTarget(configured: WebhookTarget, delivering: Delivering): Target {
  const { ledger, sender, clock, random, limits } = delivering;
  const key = keyOf(configured);
  const { origin } = new URL(configured.url);
  const log = aboutHealth(delivering.log, origin);
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  const lines = new Map<string, Line>();
  /** Containers whose turn it is: those never tried, and those whose pause is over. */
  const fresh: string[] = [];
  const due: string[] = [];
  const pauses = createDeadlines(clock, (containerId) => {
    due.push(containerId);
    pump();
  });
  const counts = { delivered: 0, failed: 0, dead: 0 };
  let waiting = 0;
  let retrying = 0;

  function pump(): void {
    while (!closing.signal.aborted && running.size < limits.parallel) {
      // Receivers that hang over some containers' events must not take all the room from the others.
      const mayRetry = retrying < Math.max(1, Math.floor(limits.parallel / 2));
      const containerId = fresh.shift() ?? (mayRetry ? due.shift() : undefined);
      if (containerId === undefined) return;
      const line = lines.get(containerId)!;
      const isRetry = line.attempts > 0;
      if (isRetry) retrying++;
      const attempt = deliver(containerId, line).finally(() => {
        running.delete(attempt);
        if (isRetry) retrying--;
        pump();
      });
      running.add(attempt);
    }
  }

  async function deliver(containerId: string, line: Line): Promise<void> {
    const { eventId, atMs } = line.deliveries[0]!;
    try {
      const event = ledger.event(key, eventId);
      if (event === null) return next(containerId, line);
      const body = messageOf(event, sender);
      const outcome = await post(
        configured.url,
        {
          body,
          fields: {
            'User-Agent': 'docker-spawner',
            'Docker-Spawner-Event': event.kind,
            [signatureField]: signatureOf(configured.secret, body, clock.wallMs()),
          },
        },
        AbortSignal.any([clock.timeout(limits.timeoutMs), closing.signal]),
      );
      if (outcome.ok) {
        ledger.delivered(key, eventId);
        counts.delivered++;
        log.delivered();
        next(containerId, line);
      } else if (!closing.signal.aborted) {
        // An attempt that we broke off says nothing of the receiver.
        failed(containerId, line, atMs, outcome);
      }
    } catch (error) {
      // The ledger cannot be written: what was delivered will be again, in order.
      log.ledgerFailed(error);
      line.attempts++;
      const failure = { attempts: line.attempts, ageMs: 0, retryAfterMs: null };
      pauses.set(containerId, clock.monoMs() + (pauseAfter(limits, failure, random()) ?? limits.longestMs));
    }
  }

  function failed(containerId: string, line: Line, atMs: number, outcome: Outcome & { ok: false }): void {
    const { eventId } = line.deliveries[0]!;
    const { error, retryAfterMs } = outcome;
    counts.failed++;
    line.attempts++;
    const nowMs = clock.wallMs();
    const failure = { attempts: line.attempts, ageMs: nowMs - atMs, retryAfterMs };
    const pauseMs = pauseAfter(limits, failure, random());
    if (pauseMs === null) {
      ledger.bury(key, eventId, { error, atMs: nowMs });
      counts.dead++;
      log.buried({ eventId, id: containerId, attempts: line.attempts, error });
      next(containerId, line);
      return;
    }
    ledger.failed(key, eventId, { error, notBeforeMs: nowMs + pauseMs });
    log.failed({ eventId, id: containerId, attempts: line.attempts, error });
    pauses.set(containerId, clock.monoMs() + pauseMs);
  }

  /** The first delivery of the line is settled. */
  function next(containerId: string, line: Line): void {
    line.deliveries.shift();
    line.attempts = 0;
    waiting--;
    if (line.deliveries.length === 0) lines.delete(containerId);
    else begin(containerId, line);
  }

  /** The first delivery of the line may be tried, as soon as an earlier process's pause is over. */
  function begin(containerId: string, line: Line): void {
    const { attempts, notBeforeMs } = line.deliveries[0]!;
    line.attempts = attempts;
    if (attempts === 0) {
      fresh.push(containerId);
      return;
    }
    // The wall clock may have jumped since.
    const pauseMs = Math.min(Math.max(notBeforeMs - clock.wallMs(), 0), limits.longestMs);
    pauses.set(containerId, clock.monoMs() + pauseMs);
  }

  return {
    key,
    origin,
    get waiting() {
      return waiting;
    },
    counts,
    add(delivery) {
      waiting++;
      const line = lines.get(delivery.containerId);
      if (line) {
        line.deliveries.push(delivery);
        return;
      }
      const first: Line = { deliveries: [delivery], attempts: 0 };
      lines.set(delivery.containerId, first);
      begin(delivery.containerId, first);
      pump();
    },
    refused(count) {
      counts.dead += count;
      if (count > 0) log.refused(count);
    },
    async close() {
      closing.abort();
      pauses.close();
      await Promise.all(running);
    },
  };
}

/** Tells the log when a target begins to fail, and when it is well again, not of each attempt. */
function aboutHealth(log: Log, target: string) {
  let failing = false;
  return {
    delivered() {
      if (failing) log.info({ target }, 'a webhook takes events again');
      failing = false;
    },
    failed(fields: object) {
      if (failing) log.debug({ target, ...fields }, 'an event could not be delivered');
      else log.warn({ target, ...fields }, 'a webhook does not take an event; it is tried again');
      failing = true;
    },
    buried(fields: object) {
      log.warn({ target, ...fields }, 'an event was not delivered to a webhook, and is given up');
    },
    refused(count: number) {
      log.warn({ target, count }, 'too many events wait for a webhook; further ones are given up');
    },
    ledgerFailed(error: unknown) {
      log.error({ target, err: error }, 'the ledger cannot be written; an event will be delivered again');
    },
  };
}

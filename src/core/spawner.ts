import { type AdmissionDecision, decideAdmission, type OnUserLimit } from './admission.ts';
import { queued, specify } from './birth.ts';
import type { Container } from './container.ts';
import { fromEngineError } from './engine-calls.ts';
import { ledgerFailed, SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';
import type { IdempotencyKey, IdempotentRequest } from './ledger.ts';
import type { Parts } from './parts.ts';
import type { Remover } from './remover.ts';
import type { Starter } from './starter.ts';
import type { Waker } from './waker.ts';
import type { WarmPool } from './warm-pool.ts';
import { checkWishes, fingerprintOf, type Wishes } from './wishes.ts';

/** What a spawn is decided by; from the configuration. */
export interface SpawnOptions {
  readonly withUsers: boolean;
  readonly userLimit: number;
  readonly onUserLimit: OnUserLimit;
  readonly maxContainers: number;
  readonly queueLength: number;
  readonly hexSize: number;
}

export interface SpawnRequest {
  readonly imageKey: string;
  readonly user: string | null;
  readonly wishes?: Wishes;
  readonly idempotencyKey?: string;
  /** Whether the caller is told at once, and not when the container is ready. */
  readonly early?: boolean;
}

/** A container that was given to a caller. Whoever has it may be told of it: that is committed. */
export interface Given {
  readonly container: Container;
  /** Settles when it is ready, or with a SpawnerError when it will not be. */
  readonly ready: Promise<Container>;
}

export interface Spawner {
  /**
   * Resolves when the container is admitted (`early`), else when it is ready. Whether the caller is still there
   * does not matter: a spawn is completed or rolled back (rule 9).
   */
  spawn(request: SpawnRequest): Promise<Given>;
}

export function createSpawner(
  parts: Parts,
  options: SpawnOptions,
  using: {
    readonly remover: Remover;
    readonly starter: Starter;
    readonly waker: Waker;
    readonly pool: WarmPool;
  },
): Spawner {
  const { registry, ledger, ports, queue, starts, clock, closing } = parts;
  const { remover, starter, waker, pool } = using;
  const replacing = new Map<string, Promise<unknown>>();
  /** Calls with a key that have not been committed yet. */
  const keys = new Map<string, { readonly fingerprint: string; readonly given: Promise<Given> }>();

  async function spawn(request: SpawnRequest): Promise<Given> {
    const entry = parts.images.get(request.imageKey);
    if (!entry) {
      throw new SpawnerError(
        'unknown_image',
        'there is no image entry with this key; container_images has the keys',
      );
    }
    const user = options.withUsers ? request.user : null;
    const { wishes = {}, early = false, idempotencyKey: key } = request;
    checkWishes(entry, wishes);
    const work = (idempotency: IdempotencyKey | null) => inTurn({ entry, user, wishes, early, idempotency });
    const given = await (key === undefined
      ? work(null)
      : once({ key, fingerprint: fingerprintOf(entry.key, user, wishes) }, work));
    if (early && !isBeingClaimed(given.container.id)) acknowledge(given.container.id);
    else await given.ready;
    return { ...given, container: registry.get(given.container.id) ?? given.container };
  }

  /** Nobody is told of a warm container before its claim is known to have gone well (rule 6). */
  function isBeingClaimed(id: string): boolean {
    const container = registry.get(id);
    return container !== undefined && container.readyAtMs !== null && !container.acknowledged;
  }

  /** Whoever is told early may be told of a start that began for one who waits: that is committed first (rule 2). */
  function acknowledge(id: string): void {
    const container = registry.get(id);
    if (!container || container.phase === 'stopping') {
      throw new SpawnerError('stopped_early', 'the container was stopped before it was ready');
    }
    if (container.acknowledged) return;
    try {
      ledger.acknowledge(id);
    } catch (error) {
      throw ledgerFailed(error);
    }
    registry.amend(id, { acknowledged: true });
  }

  /** The same key gives the same container, while the first call runs and for a day after it. */
  async function once(
    idempotency: IdempotencyKey,
    work: (idempotency: IdempotencyKey) => Promise<Given>,
  ): Promise<Given> {
    const { key, fingerprint } = idempotency;
    const committed = committedBefore(key);
    const running = keys.get(key);
    if ((running ?? committed ?? idempotency).fingerprint !== fingerprint) {
      throw new SpawnerError(
        'key_reused',
        'this Idempotency-Key came with another request before; use a new one',
      );
    }
    // First: a claim that is committed may fail yet, and another container be taken.
    if (running) return running.given;
    if (committed) return again(committed.containerId);
    const given = work(idempotency).finally(() => keys.delete(key));
    keys.set(key, { fingerprint, given });
    return given;
  }

  function committedBefore(key: string): IdempotentRequest | null {
    try {
      return ledger.idempotent(key);
    } catch (error) {
      throw ledgerFailed(error);
    }
  }

  function again(id: string): Given {
    const container = registry.get(id);
    if (!container || container.phase === 'stopping') {
      throw new SpawnerError(
        'container_gone',
        'the container of this Idempotency-Key has ended; use a new key',
      );
    }
    return give(container);
  }

  function give(container: Container): Given {
    const start = starts.get(container.id);
    if (start) return { container, ready: start.done };
    return { container, ready: handled(waker.wake(container.id)) };
  }

  async function inTurn(order: Order): Promise<Given> {
    const { user } = order;
    const work = () => admit(order);
    if (user === null || options.onUserLimit !== 'replace') return work();
    // One after the other: two that replace at once would each take away what the other one starts.
    const turn = (replacing.get(user) ?? Promise.resolve()).then(work, work);
    const over = turn.then((given) => given.ready);
    over.catch(() => {});
    replacing.set(user, over);
    void over
      .catch(() => {})
      .finally(() => {
        if (replacing.get(user) === over) replacing.delete(user);
      });
    return turn;
  }

  async function admit(order: Order): Promise<Given> {
    for (;;) {
      if (closing.aborted)
        throw new SpawnerError('shutting_down', 'the service is about to stop', { retryAfterS: 5 });
      const decision = decide(order);
      switch (decision.kind) {
        case 'claim': {
          const { user, wishes, idempotency } = order;
          const claimed = await pool.claim(decision.container, user, wishes, idempotency);
          // One that failed is gone; the next one may do, or a cold start.
          if (claimed) return { container: claimed, ready: Promise.resolve(claimed) };
          break;
        }
        case 'admit':
          return begin(order);
        case 'refuse':
          throw decision.error;
        case 'reuse':
          remember(order.idempotency, decision.container);
          return give(decision.container);
        case 'make-room':
          await remover.remove(decision.container.id, decision.reason).catch((error) => {
            throw fromEngineError(error);
          });
      }
    }
  }

  function remember(idempotency: IdempotencyKey | null, { id }: Container): void {
    if (!idempotency) return;
    try {
      ledger.remember(idempotency, id);
    } catch (error) {
      throw ledgerFailed(error);
    }
  }

  function decide({ entry, user, wishes }: Order): AdmissionDecision {
    return decideAdmission(entry, {
      ofUser: user === null ? [] : registry.ofUser(user),
      ofEntry: registry.countOfImage(entry.key),
      // A warm one was born with the entry's environment.
      warmOfEntry: wishes.environment === undefined ? pool.ready(entry.key) : undefined,
      spareWarm: pool.spare(entry),
      placesTaken: registry.size,
      freePorts: ports.free,
      waiting: queue.waiting,
      ...options,
    });
  }

  /** No await between the decision and the reservation (rule 1); committed before the engine is asked (rule 2). */
  function begin({ entry, user, wishes, early, idempotency }: Order): Given {
    const specification = specify(parts, entry, user, options.hexSize, wishes);
    try {
      ledger.add(specification, { acknowledged: early, warm: false, idempotency });
    } catch (error) {
      for (const { hostPort } of specification.ports) ports.release(hostPort);
      throw ledgerFailed(error);
    }
    const expiresAtMonoMs = clock.monoMs() + specification.expiresAtMs - specification.createdAtMs;
    registry.add(queued(specification, { acknowledged: early, warm: false, expiresAtMonoMs }));
    const { done } = starter.start(specification.id);
    return { container: registry.get(specification.id)!, ready: done };
  }

  return { spawn };
}

/** A spawn on its way. */
interface Order {
  readonly entry: ImageEntry;
  readonly user: string | null;
  readonly wishes: Wishes;
  readonly early: boolean;
  readonly idempotency: IdempotencyKey | null;
}

/** A promise that nobody may wait for. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

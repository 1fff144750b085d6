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
    const work = (idempotency: IdempotencyKey | null) =>
      inTurn(entry, user, request.early ?? false, idempotency);
    const given = await (request.idempotencyKey === undefined
      ? work(null)
      : once({ key: request.idempotencyKey, fingerprint: JSON.stringify([entry.key, user]) }, work));
    if (request.early && !isBeingClaimed(given.container.id)) acknowledge(given.container.id);
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

  async function inTurn(
    entry: ImageEntry,
    user: string | null,
    early: boolean,
    idempotency: IdempotencyKey | null,
  ): Promise<Given> {
    const work = () => admit(entry, user, early, idempotency);
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

  async function admit(
    entry: ImageEntry,
    user: string | null,
    early: boolean,
    idempotency: IdempotencyKey | null,
  ): Promise<Given> {
    for (;;) {
      if (closing.aborted)
        throw new SpawnerError('shutting_down', 'the service is about to stop', { retryAfterS: 5 });
      const decision = decide(entry, user);
      switch (decision.kind) {
        case 'claim': {
          const claimed = await pool.claim(decision.container, user, idempotency);
          // One that failed is gone; the next one may do, or a cold start.
          if (claimed) return { container: claimed, ready: Promise.resolve(claimed) };
          break;
        }
        case 'admit':
          return begin(entry, user, early, idempotency);
        case 'refuse':
          throw decision.error;
        case 'reuse':
          remember(idempotency, decision.container);
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

  function decide(entry: ImageEntry, user: string | null): AdmissionDecision {
    return decideAdmission(entry, {
      ofUser: user === null ? [] : registry.ofUser(user),
      ofEntry: registry.countOfImage(entry.key),
      warmOfEntry: pool.ready(entry.key),
      spareWarm: pool.spare(entry),
      placesTaken: registry.size,
      freePorts: ports.free,
      waiting: queue.waiting,
      ...options,
    });
  }

  /** No await between the decision and the reservation (rule 1); committed before the engine is asked (rule 2). */
  function begin(
    entry: ImageEntry,
    user: string | null,
    early: boolean,
    idempotency: IdempotencyKey | null,
  ): Given {
    const specification = specify(parts, entry, user, options.hexSize);
    try {
      ledger.add(specification, { acknowledged: early, warm: false, idempotency });
    } catch (error) {
      for (const { hostPort } of specification.ports) ports.release(hostPort);
      throw ledgerFailed(error);
    }
    const expiresAtMonoMs = clock.monoMs() + entry.lifetimeMs;
    registry.add(queued(specification, { acknowledged: early, warm: false, expiresAtMonoMs }));
    const { done } = starter.start(specification.id);
    return { container: registry.get(specification.id)!, ready: done };
  }

  return { spawn };
}

/** A promise that nobody may wait for. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

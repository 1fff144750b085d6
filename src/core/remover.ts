import type { Container, GoneReason } from './container.ts';
import { deadline, engineDeadlinesMs } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import { refsOf } from './leftovers.ts';
import type { Parts } from './parts.ts';

/** Takes containers away, for whatever reason, and does not give up. */
export interface Remover {
  /**
   * Condemns the container and resolves when the engine has confirmed the removal and its connections are
   * closed; at once for an id that is gone. Rejects where this attempt failed: the container stays `stopping`,
   * keeps its place, and is tried again in the background.
   */
  remove(id: string, reason: GoneReason): Promise<void>;
  /** Tries everything that waits for another attempt now: the engine is back. */
  retryNow(): void;
  close(): void;
}

/** `onUncertain`: a container whose creation had an unknown outcome was taken for gone; look again later. */
export function createRemover(parts: Parts, onUncertain: (id: string) => void): Remover {
  const { registry, ledger, engine, traffic, ports, starts, clock, log, closing } = parts;
  const attempts = new Map<string, Promise<void>>();
  const retries = new Map<string, { cancel: () => void; failures: number }>();

  function remove(id: string, reason: GoneReason): Promise<void> {
    const container = registry.get(id);
    if (!container) return Promise.resolve();
    if (container.phase !== 'stopping') condemn(container, reason);
    return attempt(id);
  }

  /** Committed first: after a crash the removal is finished, the container never served again. */
  function condemn(container: Container, reason: GoneReason): void {
    // Where nothing can be committed the removal goes on: a restart would find it missing, and forget it.
    commit(container.id, () => ledger.condemn(container.id, reason));
    registry.move(container.id, 'stopping', { reason });
    log.info({ id: container.id, reason }, 'stopping');
    starts
      .get(container.id)
      ?.abort(new SpawnerError('stopped_early', `the container was stopped before it was ready (${reason})`));
  }

  function attempt(id: string): Promise<void> {
    const running = attempts.get(id);
    if (running) return running;
    retries.get(id)?.cancel();
    const work = takeAway(id).then(
      () => void retries.delete(id),
      (error) => {
        if (!closing.aborted) tryAgainLater(id, error);
        throw error;
      },
    );
    const tracked = work.finally(() => attempts.delete(id));
    tracked.catch(() => {});
    attempts.set(id, tracked);
    return tracked;
  }

  async function takeAway(id: string): Promise<void> {
    await starts.get(id)?.created;
    const container = registry.get(id)!;
    const refs = container.ref === null ? await refsOf(parts, id) : [container.ref];
    const graceMs = container.acknowledged ? container.spec.stopGracePeriodMs : null;
    const signal = deadline(clock, engineDeadlinesMs.remove + (graceMs ?? 0), closing);
    await Promise.all([traffic.release(id), ...refs.map((ref) => engine.remove(ref, { graceMs }, signal))]);
    commit(id, () => ledger.forget(id, container.reason ?? 'failed'));
    registry.move(id, 'gone');
    for (const port of container.ports) ports.release(port.hostPort);
    log.info({ id, reason: container.reason }, 'gone');
    if (container.ref === null) onUncertain(id);
  }

  function commit(id: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      log.error({ id, err: error }, 'the ledger cannot be written; the removal goes on');
    }
  }

  function tryAgainLater(id: string, error: unknown): void {
    const failures = (retries.get(id)?.failures ?? 0) + 1;
    const pauseMs = Math.min(1000 * 2 ** (failures - 1), 30_000);
    log.warn({ id, err: error, retryInMs: pauseMs }, 'removal failed; it will be tried again');
    const cancel = clock.after(pauseMs, () => void attempt(id).catch(() => {}));
    retries.set(id, { cancel, failures });
  }

  return {
    remove,
    retryNow() {
      for (const id of retries.keys()) attempt(id).catch(() => {});
    },
    close() {
      for (const retry of retries.values()) retry.cancel();
    },
  };
}

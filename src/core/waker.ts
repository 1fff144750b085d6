import type { Container } from './container.ts';
import { EngineError } from './engine.ts';
import { deadline, engineDeadlinesMs, fromEngineError } from './engine-calls.ts';
import { ledgerFailed, SpawnerError } from './errors.ts';
import type { Parts } from './parts.ts';
import { untilReady } from './readiness.ts';
import { untilAbort } from './starts.ts';

/** Puts containers to sleep and wakes them; an asleep one keeps id, URL, user, place, port and volumes. */
export interface Waker {
  /**
   * Resolves with the ready container: at once, when its start is done, or after it was woken; however many ask,
   * it is woken once. Rejects with SpawnerError; the container then stays asleep.
   */
  wake(id: string): Promise<Container>;
  /**
   * Resolves when the container is stopped or paused. From the call on requests to it are held, and the first one
   * wakes it. Rejects with SpawnerError, `wrong_phase` for one that is not ready.
   */
  sleep(id: string, mode: 'stop' | 'pause'): Promise<void>;
  /** Puts a container that stopped without having ended back to work, under the same id and deadline. */
  revive(id: string): void;
}

export function createWaker(parts: Parts): Waker {
  const { registry, ledger, engine, traffic, reach, starts, clock, log, closing } = parts;
  const sleeps = new Map<string, Promise<void>>();

  async function wake(id: string): Promise<Container> {
    const container = registry.get(id);
    if (!container || container.phase === 'stopping' || container.warm) {
      throw new SpawnerError('unknown_container', 'there is no container with this id');
    }
    // First: one that is being claimed is ready, and nobody's yet.
    const start = starts.get(id);
    if (start) return start.done;
    if (container.phase === 'ready') return container;
    return starts.begin(id, (signal, markCreated) => awaken(id, signal, markCreated)).done;
  }

  /** The signal fires when the container is condemned: its port may soon be another's. */
  async function awaken(id: string, signal: AbortSignal, markCreated: () => void): Promise<Container> {
    // Where it is still falling asleep, the engine must have done with that first.
    await untilAbort(sleeps.get(id) ?? Promise.resolve(), signal).catch(() => {});
    const container = registry.get(id);
    if (container?.phase !== 'asleep') throw stopped();
    registry.amend(id, { moving: 'waking' });
    try {
      note(id, 'waking');
      const limit = deadline(clock, engineDeadlinesMs.wake, signal, closing);
      const awake = await engine.wake(container.ref!, limit).finally(markCreated);
      const changedMonoMs = clock.monoMs();
      const target = { upstream: awake.upstream!, host: parts.hostOf(id), ready: container.ready };
      if (!(await untilReady(target, { clock, reach }, AbortSignal.any([signal, closing])))) {
        throw new SpawnerError(
          'not_ready',
          'the container was started again, but its web server does not answer',
        );
      }
      signal.throwIfAborted();
      ledger.awake(id);
      log.info({ id }, 'awake');
      const usedSinceMonoMs = clock.monoMs();
      const { upstream } = awake;
      return registry.move(id, 'ready', { moving: null, upstream, changedMonoMs, usedSinceMonoMs });
    } catch (error) {
      rest(id);
      // Removed while it woke: what the engine says of that is no failure of the engine.
      if (registry.get(id)?.phase !== 'asleep' && !signal.aborted) throw stopped();
      throw asWakeFailure(signal.aborted ? signal.reason : error, container);
    }
  }

  async function sleep(id: string, mode: 'stop' | 'pause'): Promise<void> {
    const running = sleeps.get(id);
    if (running) return running;
    const container = registry.get(id);
    if (container?.phase !== 'ready' || container.warm || !container.acknowledged) {
      throw new SpawnerError('wrong_phase', 'only a container that is ready can be put to sleep');
    }
    // Committed before the engine is told, or a crash would read it as an exit (rule 2).
    try {
      ledger.fallAsleep(id, mode);
    } catch (error) {
      throw ledgerFailed(error);
    }
    registry.move(id, 'asleep', { moving: 'falling-asleep', upstream: null });
    log.info({ id, mode }, 'asleep');
    const work = settle(container, mode).finally(() => sleeps.delete(id));
    sleeps.set(id, work);
    return work;
  }

  async function settle(container: Container, mode: 'stop' | 'pause'): Promise<void> {
    const { id, ref } = container;
    try {
      // First the tunnels: the kernel goes on accepting for a paused container, and nobody would answer.
      await traffic.quiesce(id);
      const graceMs = mode === 'stop' ? graceOf(container) : null;
      const limit = deadline(clock, engineDeadlinesMs.wake + (graceMs ?? 0), closing);
      await engine.sleep(ref!, { mode, graceMs }, limit);
    } catch (error) {
      // It stays asleep for us: the next request wakes it, whatever the engine has done, or does yet.
      if (mode === 'stop' && registry.get(id)) {
        registry.amend(id, { stopsUntilMonoMs: clock.monoMs() + unheardStopMs(container) });
      }
      log.warn({ id, err: error }, 'the engine did not put the container to sleep');
      throw fromEngineError(error);
    } finally {
      rest(id);
    }
  }

  /** Nothing more is asked of the engine for one that is asleep. */
  function rest(id: string): void {
    if (registry.get(id)?.phase !== 'asleep') return;
    registry.amend(id, { moving: null, changedMonoMs: clock.monoMs() });
  }

  /** An event that cannot be written must not keep a container from waking. */
  function note(id: string, kind: 'waking'): void {
    try {
      ledger.note(id, kind);
    } catch (error) {
      log.error({ id, err: error }, 'the ledger cannot be written');
    }
  }

  return {
    wake,
    sleep,
    revive(id) {
      const container = registry.get(id);
      if (!container) return;
      if (container.phase === 'ready') registry.move(id, 'asleep', { upstream: null });
      wake(id).catch((error) => log.warn({ id, err: error }, 'could not start the container again'));
    },
  };
}

/** For how long the engine may go on with a stop after its caller has lost sight of it. */
export function unheardStopMs(container: Pick<Container, 'spec'>): number {
  return graceOf(container) + 15_000;
}

function graceOf({ spec }: Pick<Container, 'spec'>): number {
  return spec.stopGracePeriodMs ?? stopGraceMs;
}

/** How long a container that goes to sleep may take to stop by itself, unless its entry says otherwise. */
const stopGraceMs = 10_000;

function stopped(): SpawnerError {
  return new SpawnerError('stopped_early', 'the container was stopped before it was ready');
}

function asWakeFailure(error: unknown, container: Container): SpawnerError {
  if (error instanceof EngineError && error.kind === 'port_taken') {
    const port = container.ports[0]!.hostPort;
    return new SpawnerError(
      'port_lost',
      `another program has taken port ${port}, which belongs to this sleeping container; it is tried again`,
      { retryAfterS: 5, cause: error },
    );
  }
  return fromEngineError(error);
}

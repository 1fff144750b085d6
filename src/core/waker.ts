import type { Container } from './container.ts';
import { deadline, engineDeadlinesMs, fromEngineError } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import type { Parts } from './parts.ts';
import { untilReady } from './readiness.ts';

export interface Waker {
  /**
   * Resolves with the ready container: at once, when its start is done, or after it was woken; however many ask,
   * it is woken once. Rejects with SpawnerError; the container then stays asleep.
   */
  wake(id: string): Promise<Container>;
  /** Puts a container that stopped without having ended back to work, under the same id and deadline. */
  revive(id: string): void;
}

export function createWaker(parts: Parts): Waker {
  const { registry, engine, reach, starts, clock, log, closing } = parts;
  const wakings = new Map<string, Promise<Container>>();

  async function wake(id: string): Promise<Container> {
    const container = registry.get(id);
    if (!container || container.phase === 'stopping') {
      throw new SpawnerError('unknown_container', 'there is no container with this id');
    }
    if (container.phase === 'ready') return container;
    const start = starts.get(id);
    if (start) return start.done;
    const running = wakings.get(id);
    if (running) return running;
    const waking = work(container).finally(() => wakings.delete(id));
    wakings.set(id, waking);
    return waking;
  }

  async function work(container: Container): Promise<Container> {
    const { id } = container;
    registry.amend(id, { waking: true });
    try {
      const limit = deadline(engineDeadlinesMs.wake, closing);
      const awake = await engine.wake(container.ref!, limit);
      const target = { upstream: awake.upstream!, host: parts.hostOf(id), ready: container.ready };
      if (!(await untilReady(target, { clock, reach }, closing))) {
        throw new SpawnerError(
          'not_ready',
          'the container was started again, but its web server does not answer',
        );
      }
      if (registry.get(id)?.phase !== 'asleep') {
        throw new SpawnerError('stopped_early', 'the container was stopped before it was ready');
      }
      log.info({ id }, 'awake');
      return registry.move(id, 'ready', { waking: false, upstream: awake.upstream });
    } catch (error) {
      if (registry.get(id)?.phase === 'asleep') registry.amend(id, { waking: false });
      throw fromEngineError(error);
    }
  }

  return {
    wake,
    revive(id) {
      const container = registry.get(id);
      if (!container) return;
      if (container.phase === 'ready') registry.move(id, 'asleep', { upstream: null });
      wake(id).catch((error) => log.warn({ id, err: error }, 'could not start the container again'));
    },
  };
}

import type { Container } from './container.ts';
import type { ContainerStats, EngineInfo, LogQuery } from './engine.ts';
import { deadline, engineDeadlinesMs, fromEngineError } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import type { HistoryEntry, SpawnerEvent } from './events.ts';
import type { ImageEntry } from './image-entry.ts';
import type { HistoryFilter } from './ledger.ts';
import type { Lifetimes } from './lifetimes.ts';
import type { Parts } from './parts.ts';
import type { QueuePlace } from './start-queue.ts';

/** What interfaces can see of the core, beside containers. Every failure is a SpawnerError. */
export interface Views {
  /** Whether the engine answers; rejects with `engine_unavailable`. Many who ask at once ask it once. */
  engine(): Promise<EngineInfo>;
  images(): Iterable<ImageView>;
  /** A user's containers that are not gone, oldest first. */
  ofUser(user: string): readonly Container[];
  /** When the container will count as idle, milliseconds since 1970; null: not as it is used now. */
  idleAtMs(container: Container): number | null;
  queue(): QueueView;
  /** Events with an id above `afterId`, in order, at most `limit`. */
  events(afterId: number, limit: number): SpawnerEvent[];
  /** The id of the newest event; 0 where there was none yet. */
  newestEvent(): number;
  /** Calls `listener` with every event from now on; returns the function that ends it. */
  onEvent(listener: (event: SpawnerEvent) => void): () => void;
  history(filter: HistoryFilter): HistoryEntry[];
  /** How a container ended; null where that is not known, or not any more. */
  ended(id: string): HistoryEntry | null;
  /**
   * What the container wrote, piece by piece, each of which waits until `onText` has done with the one before.
   * Resolves at the end of it; rejects with `unknown_container`, and `wrong_phase` before it runs.
   */
  logs(
    id: string,
    query: LogQuery,
    onText: (text: string) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void>;
  /** What the container uses at this moment; rejects as `logs` does. */
  stats(id: string, signal: AbortSignal): Promise<ContainerStats>;
}

export interface ImageView {
  readonly entry: ImageEntry;
  /** How many warm ones could be given away at once. */
  readonly warmReady: number;
}

export interface QueueView {
  /** Starts that have the engine's attention. */
  readonly running: number;
  readonly waiting: number;
  /** Those that wait, in the order of their turns, warm ones left out. */
  order(): Iterable<QueuePlace & { readonly container: Container }>;
}

export function createViews(parts: Parts, lifetimes: Pick<Lifetimes, 'idleAtMonoMs'>): Views {
  const { registry, ledger, engine, queue, events, images, clock, closing } = parts;
  let checking: Promise<EngineInfo> | null = null;

  function runningRef(id: string): string {
    const container = registry.get(id);
    if (!container || container.warm) {
      throw new SpawnerError('unknown_container', 'there is no container with this id');
    }
    if (container.ref === null) {
      throw new SpawnerError('wrong_phase', `the container is ${container.phase}; it does not run yet`);
    }
    return container.ref;
  }

  async function asked<T>(id: string, call: (ref: string) => Promise<T>): Promise<T> {
    const ref = runningRef(id);
    try {
      return await call(ref);
    } catch (error) {
      // It went while the engine was asked; or the engine failed.
      runningRef(id);
      throw fromEngineError(error);
    }
  }

  return {
    engine() {
      checking ??= engine
        .check(deadline(clock, engineDeadlinesMs.check, closing))
        .catch((error) => {
          throw fromEngineError(error);
        })
        .finally(() => {
          checking = null;
        });
      return checking;
    },
    *images() {
      for (const entry of images.values()) {
        const ready = registry.warmOf(entry.key).filter((c) => c.phase === 'ready');
        yield { entry, warmReady: ready.length };
      }
    },
    ofUser: registry.ofUser,
    idleAtMs(container) {
      const at = lifetimes.idleAtMonoMs(container);
      return at === null ? null : Math.round(clock.wallMs() + at - clock.monoMs());
    },
    queue: () => ({
      running: queue.running,
      waiting: queue.waiting,
      *order() {
        for (const { id, position, estimatedMs } of queue.order()) {
          const container = registry.get(id);
          if (container && !container.warm) yield { container, position, estimatedMs };
        }
      },
    }),
    events: ledger.events,
    newestEvent: ledger.newestEvent,
    onEvent: events.subscribe,
    history: ledger.history,
    ended: ledger.ended,
    logs: (id, query, onText, signal) =>
      asked(id, (ref) => {
        const limits = [signal, closing];
        const limit = query.follow
          ? AbortSignal.any(limits)
          : deadline(clock, engineDeadlinesMs.allLogs, ...limits);
        return engine.logs(ref, query, onText, limit);
      }),
    stats: (id, signal) =>
      asked(id, (ref) => engine.stats(ref, deadline(clock, engineDeadlinesMs.stats, signal, closing))),
  };
}

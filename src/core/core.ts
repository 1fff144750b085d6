import { type ActivityDelta, createActivityBook, nothingPassed } from './activity.ts';
import type { Clock } from './clock.ts';
import type { Commands } from './commands.ts';
import type { Container } from './container.ts';
import type { Engine } from './engine.ts';
import { fromEngineError, whileEngineAnswers } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import { createEventBus, type EventBus } from './events.ts';
import type { ImageEntry } from './image-entry.ts';
import type { Ledger } from './ledger.ts';
import { createLifetimes } from './lifetimes.ts';
import type { Log } from './log.ts';
import type { Overview } from './overview.ts';
import type { Parts } from './parts.ts';
import { createPortPool } from './ports.ts';
import type { Reach } from './reach.ts';
import { createReconciler } from './reconciler.ts';
import { recover } from './recovery.ts';
import { createRegistry } from './registry.ts';
import { createRemover } from './remover.ts';
import type { RouteTable, Traffic } from './route.ts';
import { createSpawner, type SpawnOptions } from './spawner.ts';
import { createStartQueue } from './start-queue.ts';
import { createStarter } from './starter.ts';
import { createStarts } from './starts.ts';
import { createViews, type Views } from './views.ts';
import { createWaker } from './waker.ts';
import { createWarmPool } from './warm-pool.ts';
import { mergedLabels } from './wishes.ts';

/** The settings the core decides by, and what it acts through. */
export interface CoreOptions extends SpawnOptions {
  readonly instance: string;
  readonly domain: string;
  /** The address of a container as a browser reaches it, without a slash at the end. */
  readonly urlOf: (id: string) => string;
  readonly images: ReadonlyMap<string, ImageEntry>;
  readonly portStart: number;
  readonly maxParallelStarts: number;
  readonly sweepEveryMs: number;
  readonly historyMs: number;
  /** Take over containers that another ledger knows. */
  readonly adopt: boolean;
  readonly engine: Engine;
  readonly ledger: Ledger;
  readonly traffic: Traffic;
  readonly reach: Reach;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Core {
  readonly commands: Commands;
  readonly views: Views;
  readonly routes: RouteTable;
  readonly events: EventBus;
  readonly overview: Overview;
  /** Takes in what passed between a container and its visitors; nothing, for one that is gone. */
  noteActivity(id: string, delta: ActivityDelta): void;
  /** Rebuilds the state; interfaces may open once it has resolved. Rejects with RecoveryError or EngineError. */
  start(): Promise<void>;
  /** From now on these entries and limits count; containers that live keep theirs. */
  reload(changes: Reloadable): void;
  /** Ends what runs in the service; the containers live on. */
  close(): void;
}

/** What can change while the service runs. */
export type Reloadable = Pick<CoreOptions, 'images' | 'userLimit' | 'onUserLimit' | 'queueLength'>;

export function createCore(options: CoreOptions): Core {
  const { ledger, clock, log } = options;
  // Ours, since a reload changes them in place: everybody looks at them when they decide.
  const images = new Map(options.images);
  const limits = { ...options };
  const closing = new AbortController();
  const hostOf = (id: string) => `${id}.${options.domain}`;
  const registry = createRegistry(hostOf);
  const activity = createActivityBook();
  const events = createEventBus((error) => log.error({ err: error }, 'a listener of events failed'));
  ledger.onEvent(events.publish);
  const parts: Parts = {
    ...options,
    images,
    registry,
    activity,
    events,
    hostOf,
    ports: createPortPool(options.portStart, options.maxContainers),
    starts: createStarts(),
    queue: createStartQueue(clock, options.maxParallelStarts),
    closing: closing.signal,
  };
  const remover = createRemover(parts, (id) => reconciler.lookLater(id));
  const waker = createWaker(parts);
  const starter = createStarter(parts, remover, (id) => reconciler.look(id));
  const pool = createWarmPool(parts, options, remover, starter);
  const spawner = createSpawner(parts, limits, { remover, starter, waker, pool });
  const reconciler = createReconciler(parts, remover, waker, pool.recycle, {
    ...options,
    afterSweep: () => {
      pool.fill();
      prune();
    },
  });
  const lifetimes = createLifetimes(parts, remover, waker, pool);
  registry.subscribe(({ after }) => {
    if (after.phase !== 'gone') return;
    activity.forget(after.id);
    pool.fill();
  });

  function prune(): void {
    try {
      ledger.prune({ historyMs: options.historyMs, events: eventsKept });
    } catch (error) {
      log.warn({ err: error }, 'could not drop old history');
    }
  }

  return {
    commands: {
      request: spawner.spawn,
      spawn: async (request) => (await spawner.spawn({ ...request, early: false })).container,
      async stop(id) {
        known(id);
        await whileEngineAnswers(parts, remover.remove(id, 'asked')).catch((error) => {
          throw fromEngineError(error);
        });
      },
      wake: waker.wake,
      async sleep(id) {
        const { onIdle } = known(id).lifecycle;
        await waker.sleep(id, onIdle === 'pause' ? 'pause' : 'stop');
      },
      extend: lifetimes.extend,
      heartbeat(id) {
        const container = known(id);
        activity.note(id, { ...nothingPassed, lastByteMonoMs: clock.monoMs() });
        lifetimes.used(id);
        return container;
      },
      change(id, { expiresAtMs, labels: wanted }) {
        const container = known(id);
        const labels = wanted && mergedLabels(container, images.get(container.imageKey), wanted);
        // The deadline first, since it may be refused.
        if (expiresAtMs !== undefined) lifetimes.extend(id, expiresAtMs);
        if (!labels) return known(id);
        ledger.label(id, labels);
        return registry.amend(id, { labels });
      },
      get: (id) => visible(registry.get(id)),
      *all() {
        for (const container of registry.all()) if (!container.warm) yield container;
      },
      newestOf: (user) => registry.ofUser(user).findLast((c) => c.phase !== 'stopping'),
      queuePlace: parts.queue.place,
    },
    views: createViews(parts, lifetimes),
    routes: registry.routes,
    events,
    overview: {
      all: registry.all,
      get: registry.get,
      get waiting() {
        return parts.queue.waiting;
      },
      get starting() {
        return parts.queue.running;
      },
      maxContainers: options.maxContainers,
    },
    noteActivity(id, delta) {
      if (!registry.get(id)) return;
      activity.note(id, delta);
      lifetimes.used(id);
    },
    async start() {
      await recover(parts, remover, reconciler, starter, options);
      reconciler.start();
      pool.fill();
    },
    reload({ images: entries, ...changes }) {
      images.clear();
      for (const [key, entry] of entries) images.set(key, entry);
      Object.assign(limits, changes);
      pool.fill();
    },
    close() {
      closing.abort(new SpawnerError('shutting_down', 'the service is about to stop'));
      lifetimes.close();
      pool.close();
      remover.close();
      reconciler.close();
    },
  };

  function known(id: string): Container {
    const container = visible(registry.get(id));
    if (!container) throw new SpawnerError('unknown_container', 'there is no container with this id');
    return container;
  }
}

function visible(container: Container | undefined): Container | undefined {
  return container?.warm ? undefined : container;
}

/** How many events the ledger keeps: what a listener that comes back can catch up on. */
const eventsKept = 10_000;

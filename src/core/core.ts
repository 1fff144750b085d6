import { type ActivityDelta, createActivityBook } from './activity.ts';
import type { Clock } from './clock.ts';
import type { Commands } from './commands.ts';
import type { Container } from './container.ts';
import { createDeadlines } from './deadlines.ts';
import type { Engine } from './engine.ts';
import { fromEngineError, whileEngineAnswers } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import type { Parts } from './parts.ts';
import { createPortPool } from './ports.ts';
import type { Reach } from './reach.ts';
import { createReconciler } from './reconciler.ts';
import { type RecoveryOptions, recover } from './recovery.ts';
import { createRegistry } from './registry.ts';
import { createRemover } from './remover.ts';
import type { RouteTable, Traffic } from './route.ts';
import { createSpawner, type SpawnOptions } from './spawner.ts';
import { createStarts } from './starts.ts';
import { createWaker } from './waker.ts';

/** The settings the core decides by, and what it acts through. */
export interface CoreOptions extends SpawnOptions, RecoveryOptions {
  readonly portStart: number;
  readonly sweepEveryMs: number;
  readonly engine: Engine;
  readonly ledger: Ledger;
  readonly traffic: Traffic;
  readonly reach: Reach;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Core {
  readonly commands: Commands;
  readonly routes: RouteTable;
  /** Resolves when the container is ready; see Waker. */
  wake(id: string): Promise<Container>;
  /** Takes in what passed between a container and its visitors; nothing, for one that is gone. */
  noteActivity(id: string, delta: ActivityDelta): void;
  /** Rebuilds the state; interfaces may open once it has resolved. Rejects with RecoveryError or EngineError. */
  start(): Promise<void>;
  /** Ends what runs in the service; the containers live on. */
  close(): void;
}

export function createCore(options: CoreOptions): Core {
  const { engine, ledger, traffic, reach, clock, log } = options;
  const closing = new AbortController();
  const hostOf = (id: string) => `${id}.${options.domain}`;
  const registry = createRegistry(hostOf);
  const parts: Parts = {
    registry,
    ledger,
    engine,
    traffic,
    reach,
    clock,
    log,
    hostOf,
    ports: createPortPool(options.portStart, options.maxContainers),
    starts: createStarts(),
    closing: closing.signal,
  };
  const remover = createRemover(parts, (id) => reconciler.lookLater(id));
  const waker = createWaker(parts);
  const reconciler = createReconciler(parts, remover, waker, options);
  const spawner = createSpawner(parts, options, remover, reconciler.look, waker.wake);
  const deadlines = createDeadlines(clock, (id) => {
    remover.remove(id, 'expired').catch(() => {});
  });
  const activity = createActivityBook();
  registry.subscribe(({ after }) => {
    if (after.phase === 'gone') activity.forget(after.id);
    if (after.phase === 'stopping' || after.phase === 'gone') deadlines.delete(after.id);
    else deadlines.set(after.id, after.expiresAtMonoMs);
  });

  return {
    commands: {
      spawn: spawner.spawn,
      async stop(id) {
        if (!registry.get(id))
          throw new SpawnerError('unknown_container', 'there is no container with this id');
        await whileEngineAnswers(engine, remover.remove(id, 'asked'), closing.signal).catch((error) => {
          throw fromEngineError(error);
        });
      },
      newestOf: (user) => registry.ofUser(user).findLast((c) => c.phase !== 'stopping'),
    },
    routes: registry.routes,
    wake: waker.wake,
    noteActivity(id, delta) {
      if (registry.get(id)) activity.note(id, delta);
    },
    async start() {
      await recover(parts, remover, reconciler, options);
      reconciler.start();
    },
    close() {
      closing.abort(new SpawnerError('shutting_down', 'the service is about to stop'));
      deadlines.close();
      remover.close();
      reconciler.close();
    },
  };
}

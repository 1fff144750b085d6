import { createDeeds } from './deeds.ts';
import type { Moment } from './engine.ts';
import type { Settings } from './life.ts';
import { conclude } from './run.ts';
import type { Step } from './steps.ts';
import { createWorld, type World } from './world.ts';

/** Something that the service does, with what has to be there before. */
export interface Flow {
  readonly settings?: Partial<Settings>;
  /** What is there when it begins. */
  readonly given: readonly Step[];
  /** What is done; the service is killed at each of its calls in turn. */
  readonly done: readonly Step[];
}

/** A moment at which the service is killed: at which of its calls to the engine and to the ledger, and how. */
export interface CrashPoint {
  readonly call: number;
  readonly what: string;
  readonly when: Moment;
  /** How long until it is started again. */
  readonly downMs: number;
}

const settings: Settings = {
  ...{ withUsers: true, userLimit: 1, onUserLimit: 'reject', maxContainers: 6 },
  ...{ maxParallelStarts: 4, queueLength: 100, warmCount: 0 },
};

/** Every moment at which a flow can be killed: found by running it once, and counting its calls. */
export async function crashPointsOf(flow: Flow): Promise<CrashPoint[]> {
  const calls: { what: string; when: Moment }[] = [];
  const problems = await inWorld(flow, async (world, carryOut) => {
    world.onStep = (what, when) => void calls.push({ what, when });
    await carryOut(flow.done);
  });
  if (problems.length > 0) throw new Error(`without a crash: ${problems.join('\n')}`);
  return calls.flatMap(({ what, when }, call) =>
    // A call that is on its way has its effect before the next life looks, or after.
    (when === 'sent' ? [0, 500] : [100]).map((downMs) => ({ call, what, when, downMs })),
  );
}

/** Runs the flow, kills the service there, starts it again; resolves with the rules that broke. */
export function crashAt(flow: Flow, { call, downMs }: CrashPoint): Promise<readonly string[]> {
  return inWorld(flow, async (world, carryOut) => {
    let left = call;
    world.onStep = (_what, _when, life) => {
      if (left-- > 0) return;
      world.onStep = () => {};
      life.kill();
      world.waiting.clear();
      world.clock.after(downMs, () => world.life === life && world.boot());
    };
    await carryOut(flow.done);
  });
}

async function inWorld(
  flow: Flow,
  work: (world: World, carryOut: (steps: readonly Step[]) => Promise<void>) => Promise<void>,
): Promise<readonly string[]> {
  const world = createWorld({ ...settings, ...flow.settings }, 1);
  world.engine.faults.carriesOn = 'always';
  try {
    world.boot();
    await world.clock.advance(100);
    const deeds = createDeeds(world);
    const carryOut = async (steps: readonly Step[]) => {
      for (const step of steps) {
        await deeds.carryOut(step);
        await world.clock.advance(0);
      }
    };
    await carryOut(flow.given);
    await work(world, carryOut);
    await conclude(world, deeds);
    return world.problems;
  } finally {
    world.close();
  }
}

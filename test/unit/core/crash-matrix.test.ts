import { describe, expect, test } from 'vitest';
import { crashAt, crashPointsOf, type Flow } from '../../model/crash.ts';
import type { Step } from '../../model/steps.ts';

const spawn = (changes: Partial<Extract<Step, { do: 'spawn' }>> = {}): Step => ({
  ...{ do: 'spawn', user: 'ann', image: 'plain', early: false, key: 'k1' },
  ...changes,
});
const wait = (ms: number): Step => ({ do: 'wait', ms });
const ready = [spawn(), wait(800)];
const asleep = [spawn({ image: 'stops' }), wait(800), { do: 'sleep', pick: 0 }, wait(500)] as const;
const kill: Step = { do: 'kill', downMs: 50, reconfigured: false };
const settled = wait(1500);

const flows: Record<string, Flow> = {
  'a spawn': { given: [], done: [spawn(), settled] },
  'a spawn that is told early': { given: [], done: [spawn({ early: true }), settled] },
  'two spawns at once': { given: [], done: [spawn(), spawn({ user: 'bob', key: null }), settled] },
  'a spawn in the place of another': {
    settings: { onUserLimit: 'replace' },
    given: ready,
    done: [spawn({ key: 'k2' }), settled],
  },
  'a stop': { given: ready, done: [{ do: 'stop', pick: 0 }, settled] },
  'a stop in the middle of a start': {
    given: [spawn(), wait(120)],
    done: [{ do: 'stop', pick: 0 }, settled],
  },
  'a claim': {
    settings: { warmCount: 1 },
    given: [wait(1500)],
    done: [spawn({ image: 'warm' }), settled],
  },
  'a claim with on_claim': {
    settings: { warmCount: 1 },
    given: [wait(1500)],
    done: [spawn({ image: 'told' }), settled],
  },
  'falling asleep': {
    given: [spawn({ image: 'stops' }), wait(800)],
    done: [{ do: 'sleep', pick: 0 }, settled],
  },
  'being paused': {
    given: [spawn({ image: 'pauses' }), wait(800)],
    done: [{ do: 'sleep', pick: 0 }, settled],
  },
  waking: { given: asleep, done: [{ do: 'wake', pick: 0 }, settled] },
  'an extension': { given: ready, done: [{ do: 'extend', pick: 0, byMs: 30_000 }, settled] },
  'the end of a life': { given: [...ready, wait(58_500)], done: [wait(2500)] },
  'a recovery after a crash in the middle of everything': {
    settings: { warmCount: 1, maxContainers: 8 },
    given: [
      ...[wait(1500), ...asleep],
      ...[spawn({ user: 'bob', key: 'k2' }), wait(800)],
      ...[{ do: 'stop', pick: 3 } as const, spawn({ user: 'cy', early: true, key: 'k3' }), wait(90)],
    ],
    done: [kill, settled],
  },
};

describe('a crash at every step of', () => {
  test.each(Object.entries(flows))(
    '%s breaks no rule',
    async (_name, flow) => {
      const points = await crashPointsOf(flow);
      expect(points.length).toBeGreaterThan(1);
      for (const point of points) {
        const problems = await crashAt(flow, point);
        expect(problems, `killed at ${JSON.stringify(point)}`).toEqual([]);
      }
    },
    120_000,
  );
});

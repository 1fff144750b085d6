import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runScenario } from '../model/run.ts';
import { type Scenario, type Step, scenarios } from '../model/steps.ts';

/** Set to look at a failure again. */
const seed = Number(process.env.MODEL_SEED ?? Date.now() % 2 ** 31);

test(`whatever happens, every rule of the life cycle holds (300 runs, MODEL_SEED=${seed})`, async () => {
  const property = fc.asyncProperty(scenarios(60), async (scenario) => {
    const problems = await runScenario(scenario);
    if (problems.length > 0) throw new Error(problems.join('\n'));
  });
  await fc.assert(property, {
    seed,
    numRuns: 300,
    interruptAfterTimeLimit: 240_000,
    markInterruptAsFailure: true,
  });
}, 600_000);

describe('what the model found once holds now', () => {
  const settings: Scenario['settings'] = {
    withUsers: true,
    userLimit: 1,
    onUserLimit: 'reject',
    maxContainers: 3,
    maxParallelStarts: 1,
    queueLength: 100,
    warmCount: 0,
  };
  const spawn = (changes: Partial<Extract<Step, { do: 'spawn' }>>): Step => ({
    ...{ do: 'spawn', user: 'ann', image: 'plain', early: false, key: null },
    ...changes,
  });
  const found: Record<string, { settings?: Partial<Scenario['settings']>; seed?: number; steps: Step[] }> = {
    'a creation of before a crash that the engine carries out late does not end what was acknowledged': {
      steps: [
        { do: 'fault', fault: { verb: 'create', kind: 'late', ms: 20 } },
        spawn({ early: true }),
        { do: 'wait', ms: 1 },
        { do: 'kill', downMs: 0, reconfigured: false },
        { do: 'wait', ms: 500 },
      ],
    },
    'the key of a request that was given what its user had belongs to that request': {
      settings: { onUserLimit: 'reuse' },
      steps: [
        spawn({}),
        { do: 'wait', ms: 500 },
        spawn({ key: 'k1' }),
        { do: 'wait', ms: 10 },
        spawn({ user: 'bob', key: 'k1' }),
        { do: 'wait', ms: 500 },
      ],
    },
    'a list that is older than a start says nothing of it': {
      settings: { warmCount: 2 },
      seed: 49152,
      steps: [
        spawn({ user: 'cy', image: 'warm', early: true }),
        { do: 'wait', ms: 1 },
        spawn({ user: 'ann' }),
      ],
    },
  };
  test.each(Object.entries(found))('%s', async (_name, { steps, ...changes }) => {
    const whole = { ...settings, ...changes.settings };
    expect(await runScenario({ seed: changes.seed ?? 0, settings: whole, steps })).toEqual([]);
  });
});

import fc from 'fast-check';
import type { Moment } from './engine.ts';
import { type ImageKey, imageKeys } from './entries.ts';
import type { Fault } from './faults.ts';
import type { Settings } from './life.ts';

/** One thing that happens. `pick` chooses one of those that live, whichever they are. */
export type Step =
  | {
      readonly do: 'spawn';
      readonly user: string;
      readonly image: ImageKey;
      readonly early: boolean;
      readonly key: string | null;
    }
  | { readonly do: 'stop' | 'sleep' | 'wake'; readonly pick: number }
  | { readonly do: 'extend'; readonly pick: number; readonly byMs: number }
  | { readonly do: 'use'; readonly pick: number; readonly what: 'request' | 'tunnel' | 'end' | 'bytes' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'kill' | 'close'; readonly downMs: number; readonly reconfigured: boolean }
  | { readonly do: 'kill-at'; readonly calls: number; readonly when: Moment }
  | { readonly do: 'fault'; readonly fault: Fault }
  | { readonly do: 'engine'; readonly what: 'away' | 'back' | 'restart' | 'break' }
  | { readonly do: 'events'; readonly what: 'told' | 'lost' | 'doubled' | 'late' }
  | { readonly do: 'jump'; readonly byMs: number }
  | {
      readonly do: 'hand';
      readonly pick: number;
      readonly what: 'remove' | 'stop' | 'pause' | 'restart' | 'start';
    }
  | { readonly do: 'stranger'; readonly port: number; readonly comes: boolean }
  | { readonly do: 'foreign'; readonly what: 'unlabelled' | 'neighbour' };

export interface Scenario {
  readonly seed: number;
  readonly settings: Settings;
  readonly steps: readonly Step[];
}

export function scenarios(maxSteps: number): fc.Arbitrary<Scenario> {
  return fc.record({
    seed: fc.nat(0xffff),
    settings,
    steps: fc.array(step, { minLength: 3, maxLength: maxSteps, size: 'max' }),
  });
}

const settings: fc.Arbitrary<Settings> = fc.record({
  withUsers: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
  userLimit: fc.integer({ min: 1, max: 2 }),
  onUserLimit: fc.constantFrom('reject', 'reuse', 'replace'),
  maxContainers: fc.integer({ min: 2, max: 8 }),
  maxParallelStarts: fc.integer({ min: 1, max: 3 }),
  queueLength: fc.constantFrom(1, 3, 100),
  warmCount: fc.integer({ min: 0, max: 2 }),
});

const pick = fc.nat(7);
const pauseMs = fc.oneof(
  { weight: 5, arbitrary: fc.nat(50) },
  { weight: 5, arbitrary: fc.nat(600) },
  { weight: 2, arbitrary: fc.nat(5000) },
  { weight: 1, arbitrary: fc.nat(40_000) },
);

const fault: fc.Arbitrary<Fault> = fc.record({
  verb: fc.constantFrom(
    'check',
    'list',
    'create',
    'start',
    'remove',
    'sleep',
    'wake',
    'exec',
    'rename',
    'logs',
  ),
  kind: fc.constantFrom('refuse', 'botch', 'drop', 'lose', 'hang', 'late', 'mute', 'slow', 'stale'),
  ms: fc.oneof(fc.nat(500), fc.nat(10_000)),
});

const down = { downMs: fc.oneof(fc.nat(500), fc.nat(20_000)), reconfigured: fc.nat(5).map((n) => n === 0) };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constant('spawn' as const),
      user: fc.constantFrom('ann', 'bob', 'cy'),
      image: fc.constantFrom(...imageKeys),
      early: fc.boolean(),
      key: fc.option(fc.constantFrom('k1', 'k2', 'k3'), { freq: 3 }),
    }),
  },
  { weight: 24, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: pauseMs }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constantFrom('stop', 'sleep', 'sleep', 'wake'), pick }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('extend' as const),
      pick,
      byMs: fc.integer({ min: -1000, max: 70_000 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('use' as const),
      pick,
      what: fc.constantFrom('request', 'tunnel', 'end', 'bytes'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('kill', 'kill', 'close'), ...down }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('kill-at' as const),
      calls: fc.nat(20),
      when: fc.constantFrom('before', 'sent', 'after'),
    }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('fault' as const), fault }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('engine' as const),
      what: fc.constantFrom('away', 'back', 'back', 'restart', 'break'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('events' as const),
      what: fc.constantFrom('told', 'lost', 'doubled', 'late'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('jump' as const),
      byMs: fc.integer({ min: -7_200_000, max: 7_200_000 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('hand' as const),
      pick,
      what: fc.constantFrom('remove', 'stop', 'pause', 'restart', 'start'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('stranger' as const), port: fc.nat(7), comes: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('foreign' as const),
      what: fc.constantFrom('unlabelled', 'neighbour'),
    }),
  },
);

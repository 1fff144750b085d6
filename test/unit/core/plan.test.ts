import { describe, expect, test } from 'vitest';
import type { EngineContainer } from '../../../src/core/engine.ts';
import { encodeLabels } from '../../../src/core/labels.ts';
import { type Known, type Observation, plan } from '../../../src/core/plan.ts';
import { entry } from '../../support/core-harness.ts';

const identities = new Set(['ours', 'adopted']);

function known(...list: Partial<Known>[]) {
  if (list.length === 0) return known({});
  const map = new Map(
    list.map((k) => {
      const full: Known = {
        id: 'a',
        phase: 'ready',
        ref: 'ref-a',
        moving: null,
        warm: false,
        spec: entry('web').spec,
        changedMonoMs: 0,
        stopsUntilMonoMs: Number.NEGATIVE_INFINITY,
        ...k,
      };
      return [full.id, full] as const;
    }),
  );
  return { get: (id: string) => map.get(id), all: () => map.values() };
}

function seen(id: string, changes: Partial<EngineContainer> & { ledger?: string } = {}): EngineContainer {
  const { ledger = 'ours', ...rest } = changes;
  const birth = {
    id,
    imageKey: 'web',
    user: null,
    createdAtMs: 0,
    expiresAtMs: 1000,
    ports: [{ name: 'web', port: 80, protocol: 'http' as const, hostPort: 9000 }],
    configHash: 'h',
  };
  const labels = encodeLabels({ instance: 'i', ledger }, birth);
  return {
    ref: `ref-${id}`,
    name: id,
    image: 'web',
    labels,
    state: 'running',
    exit: null,
    upstream: null,
    ...rest,
  };
}

function observe(containers: EngineContainer[], changes: Partial<Observation> = {}): Observation {
  return { containers, scope: null, askedAtMonoMs: 100, unwatched: false, ...changes };
}

describe('the plan', () => {
  test('is empty when all is as it should be', () => {
    const phases = ['ready', 'starting', 'creating', 'stopping'] as const;
    for (const phase of phases) {
      expect(plan(known({ phase }), observe([seen('a')]), identities)).toEqual([]);
    }
  });

  test('discards ours that nobody knows, and a double of one that is known', () => {
    expect(plan(known({ id: 'a' }), observe([seen('a'), seen('b')]), identities)).toEqual([
      { do: 'discard', id: 'b', ref: 'ref-b' },
    ]);
    expect(plan(known(), observe([seen('a'), seen('a', { ref: 'other' })]), identities)).toEqual([
      { do: 'discard', id: 'a', ref: 'other' },
    ]);
  });

  test('keeps what an adopted ledger made, and leaves what a stranger made', () => {
    expect(plan(known(), observe([seen('a', { ledger: 'adopted' })]), identities)).toEqual([]);
    expect(plan(known(), observe([seen('a'), seen('b', { ledger: 'theirs' })]), identities)).toEqual([
      { do: 'leave', ref: 'ref-b', name: 'b' },
    ]);
  });

  test('leaves a container whose labels make no sense', () => {
    const broken = { ...seen('b'), labels: { ...seen('b').labels, 'docker-spawner.ports': 'nonsense' } };
    expect(plan(known(), observe([seen('a'), broken]), identities)).toMatchObject([{ do: 'leave' }]);
  });

  test('counts a missing container as lost, but for one that came into being after the question', () => {
    expect(plan(known(), observe([]), identities)).toEqual([{ do: 'end', id: 'a', reason: 'lost' }]);
    expect(plan(known({ changedMonoMs: 100 }), observe([]), identities)).toEqual([]);
    expect(plan(known({ phase: 'starting' }), observe([]), identities)).toEqual([
      { do: 'fail-start', id: 'a', reason: 'lost' },
    ]);
    expect(plan(known({ phase: 'creating', ref: null }), observe([]), identities)).toEqual([]);
  });

  test('concludes nothing from a list that was asked for before the last change of ours had ended', () => {
    const states = [
      [{ phase: 'starting' }, 'created'],
      [{ phase: 'ready' }, 'exited'],
      [{ phase: 'asleep' }, 'running'],
    ] as const;
    for (const [changes, state] of states) {
      const old = observe([seen('a', { state })], { askedAtMonoMs: 100 });
      expect(plan(known({ ...changes, changedMonoMs: 101 }), old, identities)).toEqual([]);
      expect(plan(known({ ...changes, changedMonoMs: 99 }), old, identities)).toHaveLength(1);
    }
  });

  test('revives what a stop of ours that came late has stopped, as long as one may come', () => {
    const exited = [seen('a', { state: 'exited', exit: { code: 143, outOfMemory: false } })];
    const asked = observe(exited, { askedAtMonoMs: 100 });
    expect(plan(known({ stopsUntilMonoMs: 100 }), asked, identities)).toEqual([{ do: 'revive', id: 'a' }]);
    expect(plan(known({ stopsUntilMonoMs: 99 }), asked, identities)).toMatchObject([{ do: 'end' }]);
  });

  test('concludes nothing about others from an answer about one', () => {
    const two = known({ id: 'a' }, { id: 'b', ref: 'ref-b' });
    expect(plan(two, observe([seen('a')], { scope: 'a' }), identities)).toEqual([]);
    expect(plan(two, observe([], { scope: 'a' }), identities)).toEqual([
      { do: 'end', id: 'a', reason: 'lost' },
    ]);
  });

  test('ends what exited in sight, and revives what exited out of sight', () => {
    const exited = [seen('a', { state: 'exited', exit: { code: 0, outOfMemory: false } })];
    expect(plan(known(), observe(exited), identities)).toEqual([{ do: 'end', id: 'a', reason: 'exited' }]);
    expect(plan(known(), observe(exited, { unwatched: true }), identities)).toEqual([
      { do: 'revive', id: 'a' },
    ]);
  });

  test('revives what was paused by hand, and what was woken by hand', () => {
    expect(plan(known(), observe([seen('a', { state: 'paused' })]), identities)).toEqual([
      { do: 'revive', id: 'a' },
    ]);
    const asleep = known({ phase: 'asleep' });
    expect(plan(asleep, observe([seen('a')]), identities)).toEqual([{ do: 'revive', id: 'a' }]);
    expect(plan(known({ phase: 'asleep', moving: 'waking' }), observe([seen('a')]), identities)).toEqual([]);
  });
});

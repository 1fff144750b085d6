import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { type Engine, EngineError } from '../../../src/core/engine.ts';
import { traced } from '../../../src/core/trace.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { createMemoryEngine } from '../../support/memory-engine.ts';
import { MemoryMachine } from '../../support/memory-machine.ts';
import { readSamples, sumOf } from '../../support/samples.ts';

const signal = new AbortController().signal;

function rig() {
  const machine = new MemoryMachine();
  const lines: Record<string, unknown>[] = [];
  const keep = (fields: object, message: string) => void lines.push({ ...fields, message });
  const metrics = createMetrics({
    version: '1.2.3',
    images: () => new Map(),
    clock: systemClock,
    log: { debug: keep, info() {}, warn() {}, error() {} },
  });
  onTestFinished(async () => {
    metrics.close();
    await machine.close();
  });
  const engine = createMemoryEngine({ machine, owner: { instance: 'test', identity: () => 'uuid' } });
  const samples = async () => readSamples(await metrics.text());
  return { machine, lines, metrics, engine, samples };
}

test('a measured engine does what the engine does, and has all of its verbs', async () => {
  const { metrics, engine } = rig();
  const measured = metrics.measured(engine);
  expect(Object.keys(measured)).toEqual(Object.keys(engine));
  expect(await measured.check(signal)).toEqual({ name: 'memory', version: '1.0' });
  expect(await measured.list({ id: 'nobody' }, signal)).toEqual([]);
});

test('calls are counted and timed by verb, failures by why', async () => {
  const { machine, metrics, engine, samples } = rig();
  const measured = metrics.measured(engine);
  await measured.check(signal);
  machine.failNext('check', new EngineError('unreachable', 'away'));
  await expect(measured.check(signal)).rejects.toThrow('away');
  await expect(measured.check(AbortSignal.abort())).rejects.toMatchObject({ kind: 'aborted' });
  const now = await samples();
  expect(sumOf(now, 'docker_spawner_engine_calls_total', { verb: 'check' })).toBe(3);
  expect(sumOf(now, 'docker_spawner_engine_errors_total', { verb: 'check', kind: 'unreachable' })).toBe(1);
  expect(sumOf(now, 'docker_spawner_engine_errors_total', { verb: 'check', kind: 'aborted' })).toBe(1);
  expect(sumOf(now, 'docker_spawner_engine_call_duration_seconds_count', { verb: 'check' })).toBe(3);
  expect(sumOf(now, 'docker_spawner_engine_calls_total', { verb: 'wake' })).toBe(0);
});

test('a stream is counted, but not timed', async () => {
  const { metrics, engine, samples } = rig();
  const over = new AbortController();
  await metrics.measured(engine).watch((event) => event.kind === 'open' && over.abort(), over.signal);
  const now = await samples();
  expect(sumOf(now, 'docker_spawner_engine_calls_total', { verb: 'watch' })).toBe(1);
  expect(sumOf(now, 'docker_spawner_engine_call_duration_seconds_count', { verb: 'watch' })).toBeNull();
});

test('a defect is no reason that would make a series of its own', async () => {
  const { metrics, engine, samples } = rig();
  const broken: Engine = {
    ...engine,
    async check() {
      throw new TypeError('a text with anything in it');
    },
  };
  await expect(metrics.measured(broken).check(signal)).rejects.toThrow(TypeError);
  expect(sumOf(await samples(), 'docker_spawner_engine_errors_total', { kind: 'other' })).toBe(1);
});

test('a call is told to the log with its verb, its time, its failure, and the request that it belongs to', async () => {
  const { machine, lines, metrics, engine } = rig();
  const measured = metrics.measured(engine);
  machine.failNext('check', new EngineError('unreachable', 'away'));
  await traced('abc', () => measured.check(signal).catch(() => {}));
  await measured.check(signal);
  const ms = expect.any(Number);
  expect(lines).toEqual([
    { requestId: 'abc', verb: 'check', ms, failure: 'unreachable', message: 'engine call' },
    { verb: 'check', ms, message: 'engine call' },
  ]);
});

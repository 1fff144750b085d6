import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import type { CoreOptions } from '../../../src/core/core.ts';
import { EngineError } from '../../../src/core/engine.ts';
import { createMetrics, type MetricSources } from '../../../src/metrics/metrics.ts';
import { entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';
import { readSamples, type Sample, sumOf } from '../../support/samples.ts';

/** A core whose life is measured. */
async function rig(options: Partial<CoreOptions> = {}, sources: Partial<MetricSources> = {}) {
  const harness = await startCore({ userLimit: 10, ...options });
  const images = options.images ?? new Map([['web', entry('web')]]);
  const metrics = createMetrics({
    version: '1.2.3',
    images: () => images,
    clock: systemClock,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  metrics.follow({ events: harness.core.events, overview: harness.core.overview, ...sources });
  onTestFinished(async () => {
    metrics.close();
    await harness[Symbol.asyncDispose]();
  });
  const samples = async () => readSamples(await metrics.text());
  const sum = async (name: string, labels: Record<string, string> = {}) =>
    sumOf(await samples(), `docker_spawner_${name}`, labels);
  return { ...harness, metrics, samples, sum };
}

const spawnOf = (imageKey: string, user = 'ada') => ({ imageKey, user });

test('the format is the one that Prometheus reads, and every series is there from the start', async () => {
  const { metrics, sum } = await rig();
  expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await sum('info', { version: '1.2.3', node: process.version })).toBe(1);
  expect(await sum('spawns_total', { image: 'web', result: 'failed' })).toBe(0);
  expect(await sum('containers', { image: 'web', phase: 'ready' })).toBe(0);
  expect(await sum('places_limit')).toBe(20);
});

test('containers are counted by image and phase, until they are gone', async () => {
  const { core, sum } = await rig();
  const { id } = await core.commands.spawn(spawnOf('web'));
  const asleep = await core.commands.spawn(spawnOf('web'));
  await core.commands.sleep(asleep.id);
  expect(await sum('containers', { image: 'web', phase: 'ready' })).toBe(1);
  expect(await sum('containers', { image: 'web', phase: 'asleep' })).toBe(1);
  await core.commands.stop(id);
  expect(await sum('containers', { phase: 'ready' })).toBe(0);
  expect(await sum('containers')).toBe(1);
  expect(await sum('containers_ended_total', { image: 'web', reason: 'asked' })).toBe(1);
});

test('a spawn is timed as a whole and by phase', async () => {
  const { core, sum } = await rig();
  await core.commands.spawn(spawnOf('web'));
  expect(await sum('spawns_total', { image: 'web', result: 'ready' })).toBe(1);
  expect(await sum('spawn_duration_seconds_count', { image: 'web' })).toBe(1);
  let phasesTook = 0;
  for (const phase of ['queued', 'creating', 'starting']) {
    expect(await sum('spawn_phase_duration_seconds_count', { phase })).toBe(1);
    phasesTook += (await sum('spawn_phase_duration_seconds_sum', { phase }))!;
  }
  expect(phasesTook).toBeCloseTo((await sum('spawn_duration_seconds_sum'))!, 6);
});

test('a spawn that fails, and one that is stopped before it is ready, are told apart', async () => {
  const { core, machine, sum } = await rig();
  machine.failNext('create', new EngineError('failed', 'no'));
  await expect(core.commands.spawn(spawnOf('web'))).rejects.toThrow('no');
  await eventually(async () => expect(await sum('spawns_total', { result: 'failed' })).toBe(1));

  const held = machine.hold('create');
  const { container, ready } = await core.commands.request({ ...spawnOf('web'), early: true });
  ready.catch(() => {});
  await eventually(() => expect(held.waiting()).toBe(1));
  const stopped = core.commands.stop(container.id);
  held.release();
  await stopped;
  await expect(ready).rejects.toThrow();
  expect(await sum('spawns_total', { result: 'stopped' })).toBe(1);
  expect(await sum('spawn_duration_seconds_count')).toBeNull();
});

test('starts that wait, and those that the engine works on, are counted', async () => {
  const { core, machine, sum } = await rig({ maxParallelStarts: 2 });
  const held = machine.hold('create');
  const spawns = ['a', 'b', 'c'].map((user) => core.commands.spawn(spawnOf('web', user)));
  await eventually(() => expect(held.waiting()).toBe(2));
  expect(await sum('queue_length')).toBe(1);
  expect(await sum('starts_running')).toBe(2);
  held.release();
  await Promise.all(spawns);
  expect(await sum('queue_length')).toBe(0);
});

test('spawns that found a warm container, and those that did not, are counted; its own start is nobody’s spawn', async () => {
  const images = new Map([
    ['web', entry('web', { warm: { count: 1 } })],
    ['lab', { ...entry('web'), key: 'lab' }],
  ]);
  const { core, machine, sum } = await rig({ images });
  await eventually(async () => expect(await sum('warm_containers', { image: 'web' })).toBe(1));
  expect(await sum('spawns_total')).toBe(0);
  expect(await sum('spawn_phase_duration_seconds_count')).toBeNull();

  const held = machine.hold('create');
  await core.commands.spawn(spawnOf('web', 'ada'));
  expect(await sum('warm_lookups_total', { image: 'web', result: 'hit' })).toBe(1);
  expect(await sum('spawns_total', { image: 'web', result: 'claimed' })).toBe(1);

  const cold = core.commands.spawn(spawnOf('web', 'bob'));
  await eventually(() => expect(held.waiting()).toBe(2));
  held.release();
  await cold;
  expect(await sum('warm_lookups_total', { image: 'web', result: 'miss' })).toBe(1);
  await core.commands.spawn(spawnOf('lab', 'eve'));
  expect(await sum('warm_lookups_total', { image: 'lab' })).toBe(0);
  await eventually(async () => expect(await sum('warm_starts_total', { result: 'ready' })).toBe(2));
  expect(await sum('spawn_duration_seconds_count')).toBe(2);
});

test('a wake is timed', async () => {
  const { core, sum } = await rig();
  const { id } = await core.commands.spawn(spawnOf('web'));
  await core.commands.sleep(id);
  await core.commands.wake(id);
  expect(await sum('wake_duration_seconds_count', { image: 'web' })).toBe(1);
});

test('containers of an entry that the configuration no longer has are counted together', async () => {
  const images = new Map([['lab', { ...entry('web'), key: 'lab' }]]);
  const { core, metrics, sum } = await rig({ images });
  const { id } = await core.commands.spawn(spawnOf('lab'));
  images.clear();
  expect(await sum('containers', { image: 'other', phase: 'ready' })).toBe(1);
  await core.commands.stop(id);
  expect(await sum('containers_ended_total', { image: 'other' })).toBe(1);
  expect(await metrics.text()).not.toMatch(/containers_ended_total.*"lab"/);
});

test('no user and no id gets into a series, however many come', async () => {
  const { core, metrics, samples } = await rig();
  const seriesOf = (all: readonly Sample[]) =>
    all.map(({ name, labels }) => `${name}${JSON.stringify(labels)}`).sort();
  const spawnAndStop = async (user: string) => {
    const { id } = await core.commands.spawn(spawnOf('web', user));
    await core.commands.stop(id);
    return id;
  };
  await spawnAndStop('first-user');
  const before = seriesOf(await samples());
  const ids = await Promise.all(['user-1', 'user-2', 'user-3'].map(spawnAndStop));
  expect(seriesOf(await samples())).toEqual(before);
  const text = await metrics.text();
  for (const secret of [...ids, 'user-1', 'first-user']) expect(text).not.toContain(secret);
});

test('what the proxy carries, has open and answers itself is told', async () => {
  const proxy = {
    stats: () => ({
      clientConnections: 5,
      upstreamConnections: 4,
      openRequests: 3,
      heldRequests: 2,
      openTunnels: 1,
    }),
    ownAnswers: () => new Map([[404, 7]]),
  };
  const { metrics, sum } = await rig({}, { proxy });
  const delta = {
    requestsOpened: 2,
    requestsClosed: 1,
    tunnelsOpened: 1,
    tunnelsClosed: 0,
    lastByteMonoMs: 0,
  };
  metrics.noteActivity({ ...delta, bytesFromClient: 10, bytesFromContainer: 20 });
  metrics.noteActivity({ ...delta, bytesFromClient: 1, bytesFromContainer: 2 });
  // Twice: what is taken from elsewhere is not added up.
  await metrics.text();
  expect(await sum('proxy_requests_total')).toBe(4);
  expect(await sum('proxy_tunnels_total')).toBe(2);
  expect(await sum('proxy_bytes_total', { from: 'client' })).toBe(11);
  expect(await sum('proxy_bytes_total', { from: 'container' })).toBe(22);
  expect(await sum('proxy_own_answers_total', { status: '404' })).toBe(7);
  expect(await sum('proxy_client_connections')).toBe(5);
  expect(await sum('proxy_upstream_connections')).toBe(4);
  expect(await sum('proxy_open_requests')).toBe(3);
  expect(await sum('proxy_held_requests')).toBe(2);
  expect(await sum('proxy_open_tunnels')).toBe(1);
});

test('webhooks that share an origin are added up', async () => {
  const target = 'https://hooks.example.com';
  const figures = () => [
    { target, waiting: 1, delivered: 2, failed: 3, dead: 4 },
    { target, waiting: 10, delivered: 20, failed: 30, dead: 40 },
  ];
  const { metrics, sum } = await rig({}, { webhooks: { figures } });
  await metrics.text();
  expect(await sum('webhook_waiting', { target })).toBe(11);
  expect(await sum('webhook_attempts_total', { target, result: 'delivered' })).toBe(22);
  expect(await sum('webhook_attempts_total', { target, result: 'failed' })).toBe(33);
  expect(await sum('webhook_dead_total', { target })).toBe(44);
});

test('a blocked event loop is seen', async () => {
  const { samples } = await rig();
  await eventually(async () =>
    expect(sumOf(await samples(), 'docker_spawner_event_loop_delay_seconds_count')).toBeGreaterThan(1),
  );
  const slow = async () => {
    const all = await samples();
    const below = sumOf(all, 'docker_spawner_event_loop_delay_seconds_bucket', { le: '0.1' })!;
    return sumOf(all, 'docker_spawner_event_loop_delay_seconds_count')! - below;
  };
  const before = await slow();
  const endMs = performance.now() + 200;
  while (performance.now() < endMs);
  await eventually(async () => expect(await slow()).toBeGreaterThan(before));
});

test('processor time, memory and the loop’s work are told', async () => {
  const { samples } = await rig();
  const all = await samples();
  expect(sumOf(all, 'process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(sumOf(all, 'process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(sumOf(all, 'process_start_time_seconds')).toBeCloseTo(performance.timeOrigin / 1000, 3);
  expect(sumOf(all, 'docker_spawner_event_loop_active_seconds_total')).toBeGreaterThan(0);
});

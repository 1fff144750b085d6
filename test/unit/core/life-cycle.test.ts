import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { ActivityDelta } from '../../../src/core/activity.ts';
import { EngineError } from '../../../src/core/engine.ts';
import { type CoreHarness, entries, entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

type Changes = Parameters<typeof entry>[1];

const images = (changes: Changes, image = 'web') =>
  new Map([...entries('silent'), [image, entry(image, changes)]]);

const delta = (changes: Partial<ActivityDelta>): ActivityDelta => ({
  requestsOpened: 0,
  requestsClosed: 0,
  tunnelsOpened: 0,
  tunnelsClosed: 0,
  bytesFromClient: 0,
  bytesFromContainer: 0,
  lastByteMonoMs: performance.now(),
  ...changes,
});

const kinds = (h: CoreHarness) => h.ledger.events(0, 1000).map((event) => event.kind);
const phaseOf = (h: CoreHarness, id: string) => h.core.commands.get(id)?.phase;
const route = (h: CoreHarness, id: string) => h.core.routes.get(`${id}.example.test`);

describe('admission', () => {
  test('an entry never has more containers than its max, and the others are not touched by it', async () => {
    await using h = await startCore({ images: images({ max: 2 }) });
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, i) => h.core.commands.spawn({ imageKey: 'web', user: `u${i}` })),
    );
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(2);
    expect(results.find((r) => r.status === 'rejected')).toMatchObject({ reason: { code: 'no_place' } });
  });

  test('the same key gives the same container, at once, later and after a restart', async () => {
    await using h = await startCore({ withUsers: false });
    const request = { imageKey: 'web', user: null, idempotencyKey: 'k1' };
    const all = await Promise.all(Array.from({ length: 10 }, () => h.core.commands.spawn(request)));
    expect(new Set(all.map((c) => c.id)).size).toBe(1);
    expect((await h.core.commands.spawn(request)).id).toBe(all[0]!.id);
    await using again = await h.restart();
    expect((await again.core.commands.spawn(request)).id).toBe(all[0]!.id);
    expect(h.machine.calls.create).toBe(1);
    await expect(again.core.commands.spawn({ ...request, imageKey: 'silent' })).rejects.toMatchObject({
      code: 'key_reused',
      status: 422,
    });
    await again.core.commands.stop(all[0]!.id);
    await expect(again.core.commands.spawn(request)).rejects.toMatchObject({ code: 'container_gone' });
  });

  test('a key whose start failed can be used again', async () => {
    await using h = await startCore();
    h.machine.failNext('create', new EngineError('failed', 'no'));
    const request = { imageKey: 'web', user: 'alice', idempotencyKey: 'k1' };
    await expect(h.core.commands.spawn(request)).rejects.toMatchObject({ code: 'engine_failed' });
    await h.core.commands.spawn(request);
  });

  test('who asks early is told at once, and is kept over a crash before the engine was asked', async () => {
    await using h = await startCore();
    const held = h.machine.hold('create');
    const { container, ready } = await h.core.commands.request({
      imageKey: 'web',
      user: 'alice',
      early: true,
    });
    ready.catch(() => {});
    await eventually(() => expect(held.waiting()).toBe(1));
    await using again = await h.restart();
    held.release();
    await eventually(() => expect(again.core.commands.get(container.id)?.phase).toBe('ready'));
    expect(again.core.commands.get(container.id)).toMatchObject({ user: 'alice', ports: container.ports });
    expect(again.machine.containers).toHaveLength(1);
  });
});

describe('the queue', () => {
  test('lets no more than max_parallel_starts at the engine, and refuses beyond its length', async () => {
    await using h = await startCore({ maxParallelStarts: 2, queueLength: 3 });
    const held = h.machine.hold('create');
    const spawns = Array.from({ length: 8 }, (_, i) =>
      h.core.commands.spawn({ imageKey: 'web', user: `u${i}` }),
    );
    const results = Promise.allSettled(spawns);
    await eventually(() => expect(held.waiting()).toBe(2));
    const first = h.core.commands.newestOf('u2')!;
    expect(h.core.commands.queuePlace(first.id)).toMatchObject({ position: 1 });
    held.release();
    const codes = (await results).map((r) => (r.status === 'fulfilled' ? 'ok' : r.reason.code));
    expect(codes.filter((code) => code === 'ok')).toHaveLength(5);
    expect(codes.filter((code) => code === 'queue_full')).toHaveLength(3);
  });

  test('a place in it can be given up by stopping the container', async () => {
    await using h = await startCore({ maxParallelStarts: 1 });
    const held = h.machine.hold('create');
    const first = h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    const second = h.core.commands.spawn({ imageKey: 'web', user: 'b' });
    second.catch(() => {});
    const waiting = await eventually(() => {
      expect(held.waiting()).toBe(1);
      return h.core.commands.newestOf('b')!;
    });
    const stopping = h.core.commands.stop(waiting.id);
    await expect(second).rejects.toMatchObject({ code: 'stopped_early' });
    await stopping;
    held.release();
    await first;
    expect(h.machine.calls.create).toBe(1);
  });

  test('a start that is called off while it waits after a pull leaves its turn to others', async () => {
    await using h = await startCore({ maxParallelStarts: 1, images: entries('web', 'far') });
    h.machine.registry.set('far', { does: 'serve' });
    const pull = h.machine.hold('pull');
    const far = h.core.commands.spawn({ imageKey: 'far', user: 'a' });
    far.catch(() => {});
    await eventually(() => expect(pull.waiting()).toBe(1));
    const create = h.machine.hold('create');
    const near = h.core.commands.spawn({ imageKey: 'web', user: 'b' });
    await eventually(() => expect(create.waiting()).toBe(1));
    pull.release();
    await h.core.commands.stop(h.core.commands.newestOf('a')!.id);
    create.release();
    await near;
    await h.core.commands.spawn({ imageKey: 'web', user: 'c' });
  });
});

describe('deadlines', () => {
  test('an extension moves the deadline, within max_lifetime, and survives a restart', async () => {
    const lifecycle = { maxLifetimeMs: 7_200_000 };
    await using h = await startCore({ images: images({ lifecycle }) });
    const { id, createdAtMs, expiresAtMs } = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    expect(() => h.core.commands.extend(id, createdAtMs + 7_200_001)).toThrow(/latest deadline/);
    expect(() => h.core.commands.extend(id, expiresAtMs - 1)).toThrow(/only be moved to later/);
    h.core.commands.extend(id, expiresAtMs + 60_000);
    await using again = await h.restart();
    const after = again.core.commands.get(id)!;
    expect(after.expiresAtMs).toBe(expiresAtMs + 60_000);
    expect(after.expiresAtMonoMs - performance.now()).toBeGreaterThan(3_600_000);
  });

  test('a warning is written once before the end', async () => {
    await using h = await startCore({
      images: images({ lifetimeMs: 600, lifecycle: { warnBeforeMs: 400 } }),
    });
    const { expiresAtMs } = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    await eventually(() => expect(kinds(h)).toContain('gone'));
    expect(kinds(h)).toEqual(['queued', 'creating', 'starting', 'ready', 'expiring', 'stopping', 'gone']);
    expect(h.ledger.events(0, 100)[4]!.data).toEqual({ expires_at_ms: expiresAtMs });
    expect(h.ledger.history({ limit: 1 })).toMatchObject([{ reason: 'expired', user: 'a' }]);
  });
});

describe('an idle container', () => {
  const idle = (lifecycle: NonNullable<Changes>['lifecycle']) =>
    images({ lifecycle: { idleMs: 150, ...lifecycle } });

  test('is removed with the reason idle', async () => {
    await using h = await startCore({ images: idle({ onIdle: 'remove' }) });
    await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    await eventually(() => expect(h.machine.containers).toEqual([]));
    expect(h.ledger.history({ limit: 1 })).toMatchObject([{ reason: 'idle' }]);
  });

  test('is not idle while a request or a WebSocket is open, and is after they have closed', async () => {
    await using h = await startCore({ images: idle({ onIdle: 'stop' }) });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    h.core.noteActivity(id, delta({ tunnelsOpened: 1 }));
    const until = performance.now() + 400;
    await eventually(() => expect(performance.now()).toBeGreaterThan(until));
    expect(phaseOf(h, id)).toBe('ready');
    h.core.noteActivity(id, delta({ tunnelsClosed: 1 }));
    await eventually(() => expect(phaseOf(h, id)).toBe('asleep'));
  });

  test('is idle in spite of an open WebSocket where those do not count', async () => {
    await using h = await startCore({ images: idle({ onIdle: 'stop', idleIgnoresTunnels: true }) });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    h.core.noteActivity(id, delta({ tunnelsOpened: 1 }));
    await eventually(() => expect(phaseOf(h, id)).toBe('asleep'));
  });
});

describe.each(['stop', 'pause'] as const)('asleep by %s', (mode) => {
  const asleep = async (options: Parameters<typeof startCore>[0] = {}) => {
    const h = await startCore({ images: images({ lifecycle: { onIdle: mode } }), ...options });
    const container = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.core.commands.sleep(container.id);
    return { h, container };
  };

  test('it keeps id, user, place and port, and its requests are held', async () => {
    const { h, container } = await asleep({ maxContainers: 1 });
    await using _ = h;
    expect(h.machine.find(container.id).state).toBe(mode === 'stop' ? 'exited' : 'paused');
    expect(h.core.commands.newestOf('alice')).toMatchObject({
      id: container.id,
      phase: 'asleep',
      ports: container.ports,
    });
    expect(route(h, container.id)).toMatchObject({ state: 'waiting', phase: 'asleep' });
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'bob' })).rejects.toMatchObject({
      code: 'no_place',
    });
  });

  test('hundreds that ask at once wake it once', async () => {
    const { h, container } = await asleep();
    await using _ = h;
    const woken = await Promise.all(Array.from({ length: 300 }, () => h.core.commands.wake(container.id)));
    expect(new Set(woken.map((c) => c.id))).toEqual(new Set([container.id]));
    expect(h.machine.calls.wake).toBe(1);
    expect(route(h, container.id)).toMatchObject({ state: 'ready' });
    expect(kinds(h).slice(-3)).toEqual(['asleep', 'waking', 'awake']);
  });

  test('it stays asleep where waking fails, and the next request wakes it', async () => {
    const { h, container } = await asleep();
    await using _ = h;
    h.machine.failNext('wake', new EngineError('failed', 'no memory'));
    await expect(h.core.commands.wake(container.id)).rejects.toMatchObject({ code: 'engine_failed' });
    expect(h.core.commands.get(container.id)).toMatchObject({ phase: 'asleep', moving: null });
    await h.core.commands.wake(container.id);
  });

  test('it stays asleep over a restart, is not taken for an exit, and wakes', async () => {
    const { h, container } = await asleep();
    await using again = await h.restart();
    expect(again.core.commands.get(container.id)).toMatchObject({ phase: 'asleep', moving: null });
    expect(again.machine.find(container.id).state).toBe(mode === 'stop' ? 'exited' : 'paused');
    await again.core.commands.wake(container.id);
    expect(again.machine.find(container.id).state).toBe('running');
  });

  test('a crash between the commit and the engine leaves a container that serves', async () => {
    await using h = await startCore({ images: images({ lifecycle: { onIdle: mode } }) });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const held = h.machine.hold('sleep');
    h.core.commands.sleep(id).catch(() => {});
    await eventually(() => expect(held.waiting()).toBe(1));
    h.core.close();
    held.release();
    await using again = await h.restart();
    await eventually(() => expect(phaseOf(again, id)).toBe('ready'));
    expect(again.machine.find(id).state).toBe('running');
  });

  test('its life ends at its deadline all the same', async () => {
    await using h = await startCore({ images: images({ lifetimeMs: 500, lifecycle: { onIdle: mode } }) });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.core.commands.sleep(id);
    await eventually(() => expect(h.machine.containers).toEqual([]));
  });

  test('a wake that comes while it falls asleep waits for that, then wakes it', async () => {
    await using h = await startCore({ images: images({ lifecycle: { onIdle: mode } }) });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const held = h.machine.hold('sleep');
    const sleeping = h.core.commands.sleep(id);
    await eventually(() => expect(held.waiting()).toBe(1));
    const waking = h.core.commands.wake(id);
    expect(h.machine.calls.wake).toBe(0);
    held.release();
    await sleeping;
    expect((await waking).phase).toBe('ready');
    expect(h.machine.find(id).state).toBe('running');
  });
});

test('a stopped container whose port somebody took is not woken onto theirs; it says so, and tries again', async () => {
  await using h = await startCore({ images: images({ lifecycle: { onIdle: 'stop' } }) });
  const { id, ports } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
  await h.core.commands.sleep(id);
  const stranger = createServer().listen(ports[0]!.hostPort, '127.0.0.1');
  await new Promise((resolve) => stranger.once('listening', resolve));
  await expect(h.core.commands.wake(id)).rejects.toMatchObject({ code: 'port_lost', status: 503 });
  expect(phaseOf(h, id)).toBe('asleep');
  await new Promise((resolve) => stranger.close(resolve));
  await h.core.commands.wake(id);
});

test('a ledger that cannot be written is told to whoever asks for something, and nothing changes', async () => {
  await using h = await startCore();
  const container = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
  const { id, expiresAtMs } = container;
  const failing = { code: 'ledger_failed', status: 503 };
  const fail = () => {
    throw Object.assign(new Error('the disk is full'), { name: 'LedgerError' });
  };
  Object.assign(h.ledger, { becomeReady: fail, fallAsleep: fail, extend: fail, idempotent: fail });
  await expect(h.core.commands.spawn({ imageKey: 'web', user: 'bob' })).rejects.toMatchObject(failing);
  await expect(
    h.core.commands.spawn({ imageKey: 'web', user: 'bob', idempotencyKey: 'k' }),
  ).rejects.toMatchObject(failing);
  await expect(h.core.commands.sleep(id)).rejects.toMatchObject(failing);
  expect(() => h.core.commands.extend(id, expiresAtMs)).toThrow(expect.objectContaining(failing));
  expect([...h.core.commands.all()]).toEqual([container]);
});

import { describe, expect, test } from 'vitest';
import type { Core } from '../../../src/core/core.ts';
import type { Wishes } from '../../../src/core/wishes.ts';
import { type CoreHarness, entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

const everything = ['environment', 'lifetime', 'labels'] as const;
const images = (changes: Parameters<typeof entry>[1] = {}) =>
  new Map([['web', entry('web', { allow: everything, ...changes })]]);
const spawn = (core: Core, wishes: Wishes, user = 'alice', idempotencyKey?: string) =>
  core.commands.spawn({ imageKey: 'web', user, wishes, ...(idempotencyKey ? { idempotencyKey } : {}) });
const environmentOf = (h: CoreHarness, id: string) => h.machine.find(id).specification.spec.environment;

describe('what callers decide about a container', () => {
  test('variables are added to those of the entry, as data, placeholders and all', async () => {
    await using h = await startCore({ images: images({ spec: { environment: { TEAM: '{user_id}' } } }) });
    const { id } = await spawn(h.core, { environment: { COLOUR: '{user_id}', __proto__x: '$(id)' } });
    expect(environmentOf(h, id)).toEqual({ TEAM: 'alice', COLOUR: '{user_id}', __proto__x: '$(id)' });
  });

  test('a variable that the entry sets cannot be set by a caller', async () => {
    await using h = await startCore({ images: images({ spec: { environment: { TEAM: 'a' } } }) });
    await expect(spawn(h.core, { environment: { TEAM: 'b' } })).rejects.toMatchObject({
      code: 'not_allowed',
    });
    expect(h.machine.containers).toHaveLength(0);
  });

  test.each(everything)('%s is refused where the entry does not leave it to them', async (word) => {
    await using h = await startCore({ images: images({ allow: everything.filter((w) => w !== word) }) });
    const wishes = { environment: { A: '1' }, lifetimeMs: 5000, labels: { a: '1' } };
    await expect(spawn(h.core, wishes)).rejects.toThrow(`does not leave ${word} to callers`);
  });

  test('a lifetime sets the deadline, up to max_lifetime', async () => {
    await using h = await startCore({ images: images({ lifecycle: { maxLifetimeMs: 7_200_000 } }) });
    const container = await spawn(h.core, { lifetimeMs: 7_200_000 });
    expect(container.expiresAtMs - container.createdAtMs).toBe(7_200_000);
    await expect(spawn(h.core, { lifetimeMs: 7_201_000 }, 'bob')).rejects.toThrow('at most 7200 s');
  });

  test('a short lifetime is kept', async () => {
    await using h = await startCore({ images: images() });
    const { id } = await spawn(h.core, { lifetimeMs: 300 });
    await eventually(() => expect(h.core.commands.get(id)).toBeUndefined());
    expect(h.ledger.ended(id)).toMatchObject({ reason: 'expired' });
  });

  test('labels survive a restart, and change by name', async () => {
    await using h = await startCore({ images: images() });
    const { id } = await spawn(h.core, { labels: { a: '1', b: '2' } });
    h.core.commands.change(id, { labels: { b: null, c: '3' } });
    const again = await h.restart();
    expect(again.core.commands.get(id)?.labels).toEqual({ a: '1', c: '3' });
    expect(again.ledger.events(0, 100).map((e) => e.kind)).toContain('labelled');
    await again[Symbol.asyncDispose]();
  });

  test('a container has no more than 64 labels', async () => {
    await using h = await startCore({ images: images() });
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`l${n}`, '']));
    const { id } = await spawn(h.core, { labels });
    expect(() => h.core.commands.change(id, { labels: { one: 'more' } })).toThrow('at most 64 labels');
    expect(h.core.commands.change(id, { labels: { l0: null, one: 'more' } }).labels).toHaveProperty('one');
  });

  test('a change that is refused in part changes nothing', async () => {
    await using h = await startCore({ images: images() });
    const { id, expiresAtMs } = await spawn(h.core, { labels: { a: '1' } });
    const far = expiresAtMs + 1e9;
    expect(() => h.core.commands.change(id, { expiresAtMs: far, labels: { a: '2' } })).toThrow(
      'latest deadline',
    );
    expect(h.core.commands.get(id)).toMatchObject({ expiresAtMs, labels: { a: '1' } });
  });

  test('labels are not changed where the entry does not leave them to callers', async () => {
    await using h = await startCore({ images: images({ allow: [] }) });
    const { id } = await spawn(h.core, {});
    expect(() => h.core.commands.change(id, { labels: { a: '1' } })).toThrow('does not leave labels');
  });

  test('a warm container is given with lifetime and labels, but not where variables are wanted', async () => {
    await using h = await startCore({ images: images({ warm: { count: 1 } }), userLimit: 5 });
    const warm = await eventually(() => {
      const found = [...h.core.overview.all()].find((c) => c.warm && c.phase === 'ready');
      expect(found).toBeDefined();
      return found!;
    });
    const cold = await spawn(h.core, { environment: { A: '1' } });
    expect(cold.id).not.toBe(warm.id);
    const claimed = await spawn(h.core, { lifetimeMs: 60_000, labels: { a: '1' } });
    expect(claimed).toMatchObject({ id: warm.id, labels: { a: '1' } });
    expect(claimed.expiresAtMs - claimed.createdAtMs).toBe(60_000);
  });

  test('the same key with other wishes is another request', async () => {
    await using h = await startCore({ images: images() });
    const { id } = await spawn(h.core, { labels: { a: '1', b: '2' } }, 'alice', 'key');
    expect((await spawn(h.core, { labels: { b: '2', a: '1' } }, 'alice', 'key')).id).toBe(id);
    await expect(spawn(h.core, { labels: { a: '2' } }, 'alice', 'key')).rejects.toMatchObject({
      code: 'key_reused',
    });
  });
});

describe('what the core shows', () => {
  test('a heartbeat puts off the end of an idle container', async () => {
    const idle = images({ lifecycle: { idleMs: 60_000 } });
    await using h = await startCore({ images: idle });
    const container = await spawn(h.core, {});
    const before = h.core.views.idleAtMs(container)!;
    await eventually(() => {
      h.core.commands.heartbeat(container.id);
      expect(h.core.views.idleAtMs(container)!).toBeGreaterThan(before);
    });
  });

  test('the queue in the order of its turns, with each one’s position', async () => {
    await using h = await startCore({ maxParallelStarts: 1, userLimit: 3 });
    const held = h.machine.hold('create');
    const started = ['a', 'b', 'b', 'c'].map((user) =>
      h.core.commands.request({ imageKey: 'web', user, early: true }),
    );
    await Promise.all(started);
    const queue = h.core.views.queue();
    expect(queue).toMatchObject({ running: 1, waiting: 3 });
    const order = [...queue.order()];
    expect(order.map(({ container }) => container.user)).toEqual(['b', 'c', 'b']);
    for (const { container, position } of order) {
      expect(h.core.commands.queuePlace(container.id)).toMatchObject({ position });
    }
    held.release();
    await eventually(() => expect([...h.core.commands.all()].every((c) => c.phase === 'ready')).toBe(true));
  });

  test('logs of a container that is queued cannot be read, and of one that is unknown neither', async () => {
    await using h = await startCore({ maxParallelStarts: 1 });
    const held = h.machine.hold('create');
    const { container } = await h.core.commands.request({ imageKey: 'web', user: 'a', early: true });
    const query = { tailLines: null, sinceMs: null, follow: false };
    const { signal } = new AbortController();
    const logs = (id: string) => h.core.views.logs(id, query, () => {}, signal);
    await expect(logs(container.id)).rejects.toMatchObject({ code: 'wrong_phase' });
    await expect(logs('f'.repeat(32))).rejects.toMatchObject({ code: 'unknown_container' });
    held.release();
    await eventually(() => expect(h.core.commands.get(container.id)?.phase).toBe('ready'));
  });

  test('many who ask for the engine at once ask it once', async () => {
    await using h = await startCore();
    const before = h.machine.calls.check;
    await Promise.all(Array.from({ length: 50 }, () => h.core.views.engine()));
    expect(h.machine.calls.check).toBe(before + 1);
    h.machine.away();
    await expect(h.core.views.engine()).rejects.toMatchObject({ code: 'engine_unavailable' });
    h.machine.back();
    expect(await h.core.views.engine()).toMatchObject({ name: 'memory' });
  });
});

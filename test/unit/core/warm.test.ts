import { describe, expect, test } from 'vitest';
import { EngineError } from '../../../src/core/engine.ts';
import { type CoreHarness, entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

type Changes = NonNullable<Parameters<typeof entry>[1]>;
const warm = (count: number, changes: Changes = {}) =>
  new Map([['web', entry('web', { ...changes, warm: { count, ...changes.warm } })]]);

const running = (h: CoreHarness) => h.machine.containers.filter((c) => c.state === 'running');
const hasWarm = (h: CoreHarness, count: number) =>
  eventually(() => {
    const ready = h.ledger.list().filter((e) => e.warm && e.readyAtMs !== null && e.condemned === null);
    expect(ready).toHaveLength(count);
    return ready.map((e) => e.id);
  });

describe('warm containers', () => {
  test('are started before anybody asks, and are nobody’s and unreachable until then', async () => {
    await using h = await startCore({ images: warm(2) });
    const ids = await hasWarm(h, 2);
    for (const id of ids) {
      expect(h.core.routes.get(`${id}.example.test`)).toBeUndefined();
      expect(h.core.commands.get(id)).toBeUndefined();
      await expect(h.core.commands.stop(id)).rejects.toMatchObject({ code: 'unknown_container' });
    }
    expect(h.machine.containers.map((c) => c.name)).toEqual(ids.map((id) => `spawned__warm-${id}`));
    expect(h.machine.containers.every((c) => !('docker-spawner.user' in c.labels))).toBe(true);
  });

  test('a spawn takes one at once under the id that it had, without the engine, and it is replaced', async () => {
    await using h = await startCore({ images: warm(1) });
    const [id] = await hasWarm(h, 1);
    const held = h.machine.hold('create');
    const container = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(container).toMatchObject({ id, user: 'alice', phase: 'ready', acknowledged: true, warm: false });
    expect(h.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
    expect(Math.abs(container.expiresAtMs - container.createdAtMs - 3_600_000)).toBe(0);
    await eventually(() => expect(h.machine.find(id!).name).toBe(`spawned__${id}`));
    held.release();
    await hasWarm(h, 1);
  });

  test('fifty who ask at once get fifty different containers', async () => {
    await using h = await startCore({ images: warm(5), maxContainers: 60 });
    const ids = await hasWarm(h, 5);
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, i) => h.core.commands.spawn({ imageKey: 'web', user: `u${i}` })),
    );
    expect(new Set(all.map((c) => c.id)).size).toBe(50);
    expect(ids.every((id) => all.some((c) => c.id === id))).toBe(true);
  });

  test('one gives way when a user needs its place, and places are never exceeded', async () => {
    const images = new Map([
      ...warm(2),
      ['idle', entry('silent', { ready: { timeoutMs: 100 } })],
      ['other', entry('other')],
    ]);
    await using h = await startCore({ images, maxContainers: 3 });
    h.machine.images.set('other', { does: 'serve' });
    await hasWarm(h, 2);
    const spawn = (user: string) => h.core.commands.spawn({ imageKey: 'other', user });
    await Promise.all([spawn('a'), spawn('b'), spawn('c')]);
    expect(running(h)).toHaveLength(3);
    await expect(spawn('d')).rejects.toMatchObject({ code: 'no_place' });
    await h.core.commands.stop(h.core.commands.newestOf('a')!.id);
    await hasWarm(h, 1);
  });

  test('what differs for the user reaches on_claim on its standard input', async () => {
    const onClaim = { command: ['/claim'], values: { TEAM: '{user_id}', AT: '{url}' }, timeoutMs: 1000 };
    await using h = await startCore({ images: warm(1, { warm: { onClaim } }) });
    const [id] = await hasWarm(h, 1);
    await h.core.commands.spawn({ imageKey: 'web', user: 'team "ü"' });
    expect(h.machine.execs).toMatchObject([
      {
        command: ['/claim'],
        input: `${JSON.stringify({ TEAM: 'team "ü"', AT: `http://${id}.example.test` })}\n`,
      },
    ]);
  });

  test('a container that nobody kept warm is set up in the same way before its user hears of it', async () => {
    const onClaim = { command: ['/claim'], values: { TEAM: '{user_id}' }, timeoutMs: 1000 };
    await using h = await startCore({ images: warm(0, { warm: { onClaim } }) });
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(h.machine.execs).toMatchObject([{ command: ['/claim'], input: '{"TEAM":"alice"}\n' }]);
    h.machine.failNext('exec', new EngineError('failed', 'no such file'));
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'bob' })).rejects.toMatchObject({
      status: 500,
    });
    await eventually(() => expect(h.machine.containers).toHaveLength(1));
  });

  test('values that a failing on_claim echoes are in no error', async () => {
    const onClaim = { command: ['/claim'], values: { KEY: 'secret-{user_id}' }, timeoutMs: 1000 };
    await using h = await startCore({ images: warm(0, { warm: { onClaim } }) });
    h.machine.images.set('web', {
      does: 'serve',
      exec: ({ input }) => ({ exitCode: 3, output: `bad: ${input}` }),
    });
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'alice' })).rejects.toThrow(
      'on_claim ended with exit code 3: bad: {"KEY":"***"}',
    );
  });

  test.each(['fails', 'hangs'])('one whose on_claim %s is removed, and the next is taken', async (how) => {
    const onClaim = { command: ['/claim'], values: {}, timeoutMs: 150 };
    await using h = await startCore({ images: warm(2, { warm: { onClaim } }) });
    const ids = await hasWarm(h, 2);
    if (how === 'fails') h.machine.failNext('exec', new EngineError('failed', 'no such file'));
    const held = how === 'hangs' ? h.machine.hold('exec') : null;
    const spawning = h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    if (held) {
      await eventually(() => expect(held.waiting()).toBe(1));
      await eventually(() => expect(h.ledger.list().some((e) => e.id === ids[0])).toBe(false));
      held.release();
    }
    const container = await spawning;
    expect(container.id).not.toBe(ids[0]);
    expect(h.machine.containers.some((c) => c.specification.id === ids[0])).toBe(false);
  });

  test('those of an entry that changed, or that are too old, are replaced', async () => {
    await using h = await startCore({ images: warm(1) });
    const [old] = await hasWarm(h, 1);
    await using again = await h.restart({ images: warm(1, { configHash: 'b'.repeat(64) }) });
    await eventually(async () => expect(await hasWarm(again, 1)).not.toContain(old));
    await using aged = await again.restart({
      images: warm(1, { configHash: 'b'.repeat(64), warm: { maxAgeMs: 200 } }),
    });
    const [young] = await hasWarm(aged, 1);
    await eventually(async () => expect(await hasWarm(aged, 1)).not.toContain(young));
  });

  test('survive a restart of the service, and are given away after it', async () => {
    await using h = await startCore({ images: warm(1) });
    const [id] = await hasWarm(h, 1);
    await using again = await h.restart();
    expect((await again.core.commands.spawn({ imageKey: 'web', user: 'alice' })).id).toBe(id);
    expect(again.ledger.list().find((e) => e.id === id)).toMatchObject({ user: 'alice', acknowledged: true });
  });

  test('one whose claim was not answered before a crash is removed, never handed out', async () => {
    const onClaim = { command: ['/claim'], values: {}, timeoutMs: 60_000 };
    await using h = await startCore({ images: warm(1, { warm: { onClaim } }) });
    const [id] = await hasWarm(h, 1);
    const held = h.machine.hold('exec');
    h.core.commands.spawn({ imageKey: 'web', user: 'alice' }).catch(() => {});
    await eventually(() => expect(held.waiting()).toBe(1));
    await using again = await h.restart();
    held.release();
    expect(again.machine.containers.some((c) => c.specification.id === id)).toBe(false);
    expect(again.core.commands.newestOf('alice')).toBeUndefined();
  });

  test('a failing start of them is tried again with pauses, and users are not harmed by it', async () => {
    await using h = await startCore({ images: warm(1), maxContainers: 1 });
    await hasWarm(h, 1);
    h.machine.failNext('create', new EngineError('failed', 'no'));
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.core.commands.stop(h.core.commands.newestOf('alice')!.id);
    await hasWarm(h, 1);
  });
});

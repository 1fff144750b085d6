import { describe, expect, test } from 'vitest';
import { entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

describe('a restart of the service', () => {
  test('serves the running containers under the same id, port and user, until the same deadline', async () => {
    await using h = await startCore();
    const before = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await using again = await h.restart();
    const after = again.core.commands.newestOf('alice')!;
    expect(after).toMatchObject({
      id: before.id,
      phase: 'ready',
      ports: before.ports,
      expiresAtMs: before.expiresAtMs,
      acknowledged: true,
    });
    expect(Math.abs(after.expiresAtMonoMs - before.expiresAtMonoMs)).toBeLessThan(1000);
    expect(again.core.routes.get(`${before.id}.example.test`)).toMatchObject({
      state: 'ready',
      upstream: before.upstream,
    });
    await expect(again.core.commands.spawn({ imageKey: 'web', user: 'alice' })).rejects.toMatchObject({
      code: 'user_limit',
    });
    await again.core.commands.stop(before.id);
    expect(again.machine.containers).toEqual([]);
  });

  test('does not touch the deadlines of those that live, though docker_timeout changed', async () => {
    await using h = await startCore();
    const before = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await using again = await h.restart({ images: new Map([['web', entry('web', { lifetimeMs: 5 })]]) });
    expect(again.core.commands.newestOf('alice')!.expiresAtMs).toBe(before.expiresAtMs);
  });

  test('ends those whose deadline passed meanwhile', async () => {
    await using h = await startCore({ images: new Map([['web', entry('web', { lifetimeMs: 150 })]]) });
    const { expiresAtMs } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const again = await eventually(async () => {
      expect(Date.now()).toBeGreaterThan(expiresAtMs);
      return h.restart();
    });
    await using _ = again;
    await eventually(() => expect(again.machine.containers).toEqual([]));
  });

  test.each(['before', 'after'] as const)(
    'in the middle of a creation, %s its effect, leaves nothing of it',
    async (when) => {
      await using h = await startCore();
      const held = h.machine.hold('create', when);
      const spawning = h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
      spawning.catch(() => {});
      await eventually(() => expect(held.waiting()).toBe(1));
      await using again = await h.restart();
      held.release();
      expect(again.machine.containers).toEqual([]);
      expect(again.ledger.list()).toEqual([]);
      await again.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    },
  );

  test('before readiness leaves nothing of a container that nobody was told of', async () => {
    await using h = await startCore();
    h.core.commands.spawn({ imageKey: 'silent', user: 'alice' }).catch(() => {});
    await eventually(() => expect(h.core.commands.newestOf('alice')?.phase).toBe('starting'));
    await using again = await h.restart();
    expect(again.machine.containers).toEqual([]);
    expect(again.ledger.list()).toEqual([]);
  });

  test('in the middle of a removal finishes it, and never serves that container again', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const held = h.machine.hold('remove');
    h.core.commands.stop(id).catch(() => {});
    await eventually(() => expect(held.waiting()).toBe(1));
    h.core.close();
    held.release();
    await using again = await h.restart();
    expect(again.core.routes.get(`${id}.example.test`)).toBeUndefined();
    await eventually(() => expect(again.machine.containers).toEqual([]));
  });

  test('starts those again that do not run, under their ids', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.machine.dropEvents(true);
    h.core.close();
    await h.machine.exit(id, 137);
    h.machine.dropEvents(false);
    await using again = await h.restart();
    await eventually(() =>
      expect(again.core.commands.newestOf('alice')).toMatchObject({ id, phase: 'ready' }),
    );
  });

  test('forgets those that are gone from the engine', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.core.close();
    await h.machine.removeByHand(id);
    await using again = await h.restart();
    expect(again.ledger.list()).toEqual([]);
    expect(again.core.commands.newestOf('alice')).toBeUndefined();
  });

  test('removes a container of its own ledger that the ledger does not know', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.core.close();
    h.ledger.forget(id, 'lost');
    await using again = await h.restart();
    expect(again.machine.containers).toEqual([]);
  });
});

describe('containers of another ledger', () => {
  test('stop the start of a second copy, which touches nothing', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await expect(h.neighbour()).rejects.toThrow(/another ledger.*--adopt/s);
    expect(h.machine.calls.remove).toBe(0);
    expect(h.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
  });

  test('do not matter when they are another instance’s', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await using other = await h.neighbour({
      instance: 'other',
      portStart: h.portStart + 10,
      maxContainers: 5,
    });
    expect(other.core.commands.newestOf('alice')).toBeUndefined();
    expect(h.machine.find(id).state).toBe('running');
  });

  test('are taken over with --adopt, deadline and user included, and stay ours after that', async () => {
    await using h = await startCore();
    const before = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.core.close();
    await using heir = await h.neighbour({ adopt: true });
    expect(heir.core.commands.newestOf('alice')).toMatchObject({
      id: before.id,
      phase: 'ready',
      expiresAtMs: before.expiresAtMs,
      ports: before.ports,
    });
    await using again = await heir.restart({ adopt: false });
    expect(again.core.commands.newestOf('alice')?.id).toBe(before.id);
    await again.core.commands.stop(before.id);
    expect(again.machine.containers).toEqual([]);
  });

  test('are not taken over where they are unclaimed warm ones, which are removed', async () => {
    const images = new Map([['web', entry('web', { warm: { count: 1 } })]]);
    await using h = await startCore({ images });
    await eventually(() =>
      expect(h.ledger.list()).toMatchObject([{ warm: true, readyAtMs: expect.anything() }]),
    );
    const { id } = h.ledger.list()[0]!;
    h.core.close();
    await using heir = await h.neighbour({ adopt: true });
    expect(heir.ledger.list().some((e) => e.id === id)).toBe(false);
    expect(heir.machine.containers.some((c) => c.name.endsWith(id))).toBe(false);
  });

  test('are taken over by the second try where the first one was ended half way', async () => {
    await using h = await startCore({ instance: 'own' });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.core.close();
    await using other = await h.neighbour({ instance: 'other' });
    other.ledger.add(h.ledger.list()[0]!, { acknowledged: true, warm: false, idempotency: null });
    await using heir = await other.restart({ adopt: true, instance: 'own' });
    expect(heir.core.commands.newestOf('alice')).toMatchObject({ id, phase: 'ready' });
    expect(heir.machine.calls.create).toBe(1);
  });

  test('that appear while the service runs are left alone, and said once', async () => {
    await using h = await startCore({ sweepEveryMs: 20 });
    await using other = await h.neighbour({ portStart: h.portStart + 10, maxContainers: 5 });
    const { id } = await other.core.commands.spawn({ imageKey: 'web', user: 'bob' });
    const before = h.machine.calls.list;
    await eventually(() => expect(h.machine.calls.list).toBeGreaterThan(before + 8));
    expect(h.machine.find(id).state).toBe('running');
    expect(h.warnings.filter((w) => w.includes('leaving it'))).toHaveLength(1);
  });
});

describe('the end of the service', () => {
  test('calls starts off at once, and the next start leaves nothing of those that nobody was told of', async () => {
    const images = new Map([['silent', entry('silent', { ready: { timeoutMs: 60_000 } })]]);
    await using h = await startCore({ images });
    const spawning = h.core.commands.spawn({ imageKey: 'silent', user: 'alice' });
    await eventually(() => expect(h.core.commands.newestOf('alice')?.phase).toBe('starting'));
    h.core.close();
    await expect(spawning).rejects.toMatchObject({ code: 'shutting_down', status: 503 });
    expect(h.machine.containers).toHaveLength(1);
    await using again = await h.restart();
    expect(again.machine.containers).toEqual([]);
    expect(again.ledger.list()).toEqual([]);
  });

  test('keeps a start that its caller was told of, for the next start to finish', async () => {
    await using h = await startCore();
    const held = h.machine.hold('create');
    const { container, ready } = await h.core.commands.request({
      imageKey: 'web',
      user: 'alice',
      early: true,
    });
    await eventually(() => expect(held.waiting()).toBe(1));
    h.core.close();
    await expect(ready).rejects.toMatchObject({ code: 'shutting_down' });
    expect(h.ledger.list()).toMatchObject([{ id: container.id, condemned: null }]);
    held.release();
    await using again = await h.restart();
    await eventually(() => expect(again.core.commands.newestOf('alice')?.phase).toBe('ready'));
    expect(again.core.commands.newestOf('alice')?.id).toBe(container.id);
  });
});

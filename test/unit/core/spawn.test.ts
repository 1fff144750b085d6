import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Container } from '../../../src/core/container.ts';
import { EngineError } from '../../../src/core/engine.ts';
import { SpawnerError } from '../../../src/core/errors.ts';
import { entries, entry, startCore } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

const failed = (code: string) => (result: PromiseSettledResult<unknown>) =>
  result.status === 'rejected' && result.reason instanceof SpawnerError && result.reason.code === code;

const succeeded = (results: PromiseSettledResult<Container>[]) =>
  results.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));

describe('spawn and stop', () => {
  test('a spawned container is ready, routed and acknowledged in the ledger', async () => {
    await using h = await startCore();
    const container = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(container).toMatchObject({ phase: 'ready', user: 'alice', imageKey: 'web', acknowledged: true });
    expect(container.id).toMatch(/^[0-9a-f]{32}$/);
    expect(h.core.routes.get(`${container.id}.example.test`)).toMatchObject({
      state: 'ready',
      upstream: { address: '127.0.0.1', port: container.ports[0]!.hostPort },
    });
    expect(h.ledger.list()).toMatchObject([{ id: container.id, acknowledged: true, condemned: null }]);
    expect(h.core.commands.newestOf('alice')?.id).toBe(container.id);
  });

  test('a stopped container is gone from engine, routes and ledger, and its connections are closed', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.core.commands.stop(id);
    expect(h.machine.containers).toEqual([]);
    expect(h.core.routes.get(`${id}.example.test`)).toBeUndefined();
    expect(h.ledger.list()).toEqual([]);
    expect(h.released).toEqual([id]);
    expect(h.core.commands.newestOf('alice')).toBeUndefined();
    await expect(h.core.commands.stop(id)).rejects.toMatchObject({ code: 'unknown_container', status: 400 });
  });

  test('an unknown key is refused and takes no place', async () => {
    await using h = await startCore();
    for (const imageKey of ['nope', '__proto__', 'constructor', '']) {
      await expect(h.core.commands.spawn({ imageKey, user: 'a' })).rejects.toMatchObject({
        code: 'unknown_image',
      });
    }
    expect(h.machine.calls.create).toBe(0);
  });

  test('a hundred spawns at once for one user give one container', async () => {
    await using h = await startCore({ maxContainers: 200 });
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => h.core.commands.spawn({ imageKey: 'web', user: 'alice' })),
    );
    expect(succeeded(results)).toHaveLength(1);
    expect(results.filter(failed('user_limit'))).toHaveLength(99);
    expect(h.machine.calls.create).toBe(1);
  });

  test('twenty spawns more than there are places give exactly as many containers, on distinct ports', async () => {
    await using h = await startCore({ maxContainers: 15 });
    const results = await Promise.allSettled(
      Array.from({ length: 35 }, (_, i) => h.core.commands.spawn({ imageKey: 'web', user: `u${i}` })),
    );
    const containers = succeeded(results);
    expect(containers).toHaveLength(15);
    expect(results.filter(failed('no_place'))).toHaveLength(20);
    expect(new Set(containers.map((c) => c.ports[0]!.hostPort)).size).toBe(15);
    for (const { ports } of containers) {
      expect(ports[0]!.hostPort).toBeGreaterThanOrEqual(h.portStart);
      expect(ports[0]!.hostPort).toBeLessThan(h.portStart + 15);
    }
  });

  test('users that differ only in case, normalisation or invisibly are different users', async () => {
    await using h = await startCore();
    const users = ['é', 'e\u0301', 'É', 'a', 'A', 'а', '__proto__', 'constructor', ' a', 'a\u200b'];
    await Promise.all(users.map((user) => h.core.commands.spawn({ imageKey: 'web', user })));
    const ids = users.map((user) => h.core.commands.newestOf(user)!.id);
    expect(new Set(ids).size).toBe(users.length);
  });

  test('with users off nobody is limited, and no user is kept', async () => {
    await using h = await startCore({ withUsers: false });
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const second = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(second.user).toBeNull();
    expect(h.machine.containers).toHaveLength(2);
  });

  test('a place is free again once the removal is confirmed, not before', async () => {
    await using h = await startCore({ maxContainers: 1 });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const held = h.machine.hold('remove');
    const stopping = h.core.commands.stop(id);
    await eventually(() => expect(held.waiting()).toBe(1));
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'bob' })).rejects.toMatchObject({
      code: 'no_place',
    });
    expect(h.core.routes.get(`${id}.example.test`)).toBeUndefined();
    held.release();
    await stopping;
    await h.core.commands.spawn({ imageKey: 'web', user: 'bob' });
  });

  test('a port that a stranger holds is skipped, and the rest of the range is usable', async () => {
    await using h = await startCore({ maxContainers: 3 });
    const stranger = createServer().listen(h.portStart, '127.0.0.1');
    await new Promise((resolve) => stranger.once('listening', resolve));
    try {
      const a = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
      const b = await h.core.commands.spawn({ imageKey: 'web', user: 'b' });
      expect([a, b].map((c) => c.ports[0]!.hostPort - h.portStart).sort()).toEqual([1, 2]);
      await expect(h.core.commands.spawn({ imageKey: 'web', user: 'c' })).rejects.toMatchObject({
        code: 'no_place',
      });
    } finally {
      stranger.close();
    }
    await h.core.commands.spawn({ imageKey: 'web', user: 'c' });
  });

  test('where strangers hold every port that is left, a spawn says so, and they are tried again later', async () => {
    await using h = await startCore({ maxContainers: 3 });
    await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    const strangers = [1, 2].map((n) => createServer().listen(h.portStart + n, '127.0.0.1'));
    try {
      await Promise.all(strangers.map((s) => new Promise((resolve) => s.once('listening', resolve))));
      for (const user of ['b', 'c']) {
        await expect(h.core.commands.spawn({ imageKey: 'web', user })).rejects.toMatchObject({
          code: 'no_place',
        });
      }
    } finally {
      for (const stranger of strangers) stranger.close();
    }
    const later = ['b', 'c'].map((user) => h.core.commands.spawn({ imageKey: 'web', user }));
    const offsets = (await Promise.all(later)).map((c) => c.ports[0]!.hostPort - h.portStart);
    expect(offsets.sort()).toEqual([1, 2]);
  });

  test('a port that only the engine finds taken is replaced, and the ledger knows the new one', async () => {
    await using h = await startCore();
    h.machine.failNext('create', new EngineError('port_taken', 'taken', { hostPort: h.portStart }));
    const container = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    expect(container.ports[0]!.hostPort).toBe(h.portStart + 1);
    expect(h.ledger.list()[0]!.ports[0]!.hostPort).toBe(h.portStart + 1);
  });
});

describe('on_user_limit', () => {
  test('reuse gives the running container of the same entry, and refuses another entry', async () => {
    await using h = await startCore({ onUserLimit: 'reuse', images: new Map([...entries('web', 'silent')]) });
    const first = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const again = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(again.id).toBe(first.id);
    await expect(h.core.commands.spawn({ imageKey: 'silent', user: 'alice' })).rejects.toMatchObject({
      code: 'user_limit',
      status: 409,
    });
  });

  test('reuse joins a start that is under way', async () => {
    await using h = await startCore({ onUserLimit: 'reuse' });
    const all = await Promise.all(
      Array.from({ length: 20 }, () => h.core.commands.spawn({ imageKey: 'web', user: 'alice' })),
    );
    expect(new Set(all.map((c) => c.id)).size).toBe(1);
    expect(h.machine.calls.create).toBe(1);
  });

  test('replace removes the oldest, confirmed, before the next one starts', async () => {
    await using h = await startCore({ onUserLimit: 'replace', maxContainers: 1 });
    const first = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const second = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    expect(second.id).not.toBe(first.id);
    expect(h.machine.containers.map((c) => c.specification.id)).toEqual([second.id]);
  });

  test('replacing many times at once never exceeds the limit, and every caller got a container', async () => {
    await using h = await startCore({ onUserLimit: 'replace' });
    const all = await Promise.all(
      Array.from({ length: 6 }, () => h.core.commands.spawn({ imageKey: 'web', user: 'alice' })),
    );
    expect(new Set(all.map((c) => c.id)).size).toBe(6);
    expect(h.machine.containers).toHaveLength(1);
  });
});

describe('starts that fail', () => {
  const nothingIsLeft = async (h: Awaited<ReturnType<typeof startCore>>) => {
    expect(h.machine.containers).toEqual([]);
    expect(h.ledger.list()).toEqual([]);
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
  };

  test('an image that is missing is named, and nothing is left', async () => {
    await using h = await startCore({ images: entries('web', 'not-there') });
    await expect(h.core.commands.spawn({ imageKey: 'not-there', user: 'alice' })).rejects.toMatchObject({
      code: 'image_missing',
      message: expect.stringContaining('not-there'),
    });
    await nothingIsLeft(h);
  });

  test('a container that exits at once is reported with its exit code and last log lines', async () => {
    await using h = await startCore();
    await expect(h.core.commands.spawn({ imageKey: 'exits', user: 'alice' })).rejects.toMatchObject({
      code: 'exited_early',
      message: expect.stringMatching(/exit code 1 .*last log lines: cannot go on/),
    });
    await nothingIsLeft(h);
  });

  test('values of the environment that a failing container logs are in no error', async () => {
    const spec = { environment: { KEY: 'secret-key', LONGER: 'secret-key-2' } };
    await using h = await startCore({ images: new Map([['exits', entry('exits', { spec })]]) });
    h.machine.images.set('exits', {
      does: 'exit',
      exitCode: 1,
      output: ['KEY=secret-key\n', 'LONGER=secret-key-2\n'],
    });
    await expect(h.core.commands.spawn({ imageKey: 'exits', user: 'alice' })).rejects.toThrow(
      /last log lines: KEY=\*\*\* \| LONGER=\*\*\*$/,
    );
  });

  test('an exit whose event was lost is noticed all the same', async () => {
    await using h = await startCore();
    h.machine.dropEvents(true);
    await expect(h.core.commands.spawn({ imageKey: 'exits', user: 'alice' })).rejects.toMatchObject({
      code: 'exited_early',
    });
  });

  test.each(['never-listens', 'silent'])(
    'a container that is %s fails within its deadline',
    async (image) => {
      const images = new Map([...entries('web'), [image, entry(image, { ready: { timeoutMs: 300 } })]]);
      await using h = await startCore({ images });
      const startedMs = performance.now();
      await expect(h.core.commands.spawn({ imageKey: image, user: 'alice' })).rejects.toMatchObject({
        code: 'not_ready',
        status: 504,
      });
      expect(performance.now() - startedMs).toBeLessThan(2000);
      await nothingIsLeft(h);
    },
  );

  test('a status outside the wanted ones is not ready', async () => {
    const ready = { statuses: [{ from: 200, to: 299 }], timeoutMs: 300, path: '/health' };
    await using h = await startCore({ images: new Map([['web', entry('web', { ready })]]) });
    h.machine.images.set('web', { does: 'serve', handler: (_, response) => response.writeHead(500).end() });
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'a' })).rejects.toMatchObject({
      code: 'not_ready',
    });
    h.machine.images.set('web', {
      does: 'serve',
      handler: (request, response) => response.writeHead(request.url === '/health' ? 204 : 500).end(),
    });
    await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
  });

  test('readiness is asked with the real host name of the container', async () => {
    await using h = await startCore();
    const hosts = new Set<string | undefined>();
    h.machine.images.set('web', {
      does: 'serve',
      handler: (request, response) => {
        hosts.add(request.headers.host);
        response.end();
      },
    });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'a' });
    expect([...hosts]).toEqual([`${id}.example.test`]);
  });

  test('a stop during the start calls it off', async () => {
    await using h = await startCore();
    h.machine.images.set('silent', { does: 'silent' });
    const spawning = h.core.commands.spawn({ imageKey: 'silent', user: 'alice' });
    const { id } = await eventually(() => {
      const own = h.core.commands.newestOf('alice');
      expect(own?.phase).toBe('starting');
      return own!;
    });
    await h.core.commands.stop(id);
    await expect(spawning).rejects.toMatchObject({ code: 'stopped_early' });
    await nothingIsLeft(h);
  });
});

describe('an engine in trouble', () => {
  test('away: a spawn fails within two seconds, and works again after its return', async () => {
    await using h = await startCore();
    h.machine.away();
    const startedMs = performance.now();
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'alice' })).rejects.toMatchObject({
      code: 'engine_unavailable',
      status: 503,
    });
    expect(performance.now() - startedMs).toBeLessThan(2000);
    h.machine.back();
    await eventually(() => h.core.commands.spawn({ imageKey: 'web', user: 'alice' }));
    expect(h.machine.containers).toHaveLength(1);
  });

  test('hanging: spawn and stop fail within two seconds, and what was asked of it is cleaned up later', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const holds = (['check', 'create', 'remove', 'list'] as const).map((verb) => h.machine.hold(verb));
    const startedMs = performance.now();
    const results = await Promise.allSettled([
      h.core.commands.spawn({ imageKey: 'web', user: 'bob' }),
      h.core.commands.stop(id),
    ]);
    expect(results.every(failed('engine_unavailable'))).toBe(true);
    expect(performance.now() - startedMs).toBeLessThan(2000);
    for (const held of holds) held.release();
    await eventually(() => expect(h.ledger.list()).toEqual([]));
    expect(h.machine.containers).toEqual([]);
  });

  test('a creation whose answer was lost leaves nothing behind', async () => {
    await using h = await startCore();
    h.machine.failNext('create', new EngineError('unreachable', 'reset'), 'after');
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'alice' })).rejects.toMatchObject({
      code: 'engine_unavailable',
    });
    await eventually(() => expect(h.ledger.list()).toEqual([]));
    expect(h.machine.containers).toEqual([]);
  });

  test('a removal that fails keeps the place, is told to the caller, and is tried again', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.machine.failNext('remove', new EngineError('failed', 'device busy'));
    await expect(h.core.commands.stop(id)).rejects.toMatchObject({ code: 'engine_failed' });
    await expect(h.core.commands.spawn({ imageKey: 'web', user: 'alice' })).rejects.toMatchObject({
      code: 'user_limit',
    });
    await eventually(() => expect(h.machine.containers).toEqual([]));
    await eventually(() => h.core.commands.spawn({ imageKey: 'web', user: 'alice' }));
  });

  test('containers that its restart stopped run again under their ids', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.machine.away();
    await h.machine.exit(id, 137);
    h.machine.back();
    await eventually(() => expect(h.machine.find(id).state).toBe('running'));
    await eventually(() => expect(h.core.routes.get(`${id}.example.test`)?.state).toBe('ready'));
  });
});

describe('an engine that is back', () => {
  test('but cannot list at first has not ended what its restart stopped', async () => {
    await using h = await startCore({ sweepEveryMs: 20 });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.machine.away();
    await h.machine.exit(id, 137);
    for (let i = 0; i < 3; i++) h.machine.failNext('list', new EngineError('failed', 'not yet'));
    const before = h.machine.calls.list;
    h.machine.back();
    await eventually(() => expect(h.machine.calls.list).toBeGreaterThan(before + 5));
    await eventually(() => expect(h.core.routes.get(`${id}.example.test`)?.state).toBe('ready'));
    expect(h.machine.find(id).state).toBe('running');
  });
});

describe('the end of a container', () => {
  test('an exit is noticed, and the place is free again', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.machine.exit(id, 0);
    await eventually(() => expect(h.ledger.list()).toEqual([]));
    expect(h.machine.containers).toEqual([]);
  });

  test('a container removed by hand frees its place within two seconds', async () => {
    await using h = await startCore();
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await h.machine.removeByHand(id);
    await eventually(() => expect(h.core.commands.newestOf('alice')).toBeUndefined(), 2000);
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
  });

  test('with all events lost, the sweep finds what is gone and what is nobody’s', async () => {
    await using h = await startCore({ sweepEveryMs: 50 });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    h.machine.dropEvents(true);
    await h.machine.removeByHand(id);
    await eventually(() => expect(h.core.commands.newestOf('alice')).toBeUndefined());
  });

  test('a container ends at its deadline, to the second, without waiting for the sweep', async () => {
    await using h = await startCore({ images: new Map([['web', entry('web', { lifetimeMs: 700 })]]) });
    const startedMs = performance.now();
    await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    await eventually(() => expect(h.machine.containers).toEqual([]));
    const livedMs = performance.now() - startedMs;
    expect(livedMs).toBeGreaterThanOrEqual(700);
    expect(livedMs).toBeLessThan(1700);
  });

  test('a list that failed removes nothing', async () => {
    await using h = await startCore({ sweepEveryMs: 20 });
    const { id } = await h.core.commands.spawn({ imageKey: 'web', user: 'alice' });
    const before = h.machine.calls.list;
    for (let i = 0; i < 5; i++) h.machine.failNext('list', new EngineError('unreachable', 'cut'));
    await eventually(() => expect(h.machine.calls.list).toBeGreaterThan(before + 6));
    expect(h.core.commands.newestOf('alice')?.id).toBe(id);
    expect(h.machine.find(id).state).toBe('running');
  });
});

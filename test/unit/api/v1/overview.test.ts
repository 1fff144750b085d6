import { describe, expect, test } from 'vitest';
import { entry } from '../../../support/core-harness.ts';
import { eventually } from '../../../support/eventually.ts';
import { startV1 } from './rig.ts';

describe('what can be run', () => {
  test('is told entry by entry, without what is inside', async () => {
    const web = entry('web', {
      spec: { environment: { PASSWORD: 's3cret' } },
      lifecycle: { idleMs: 1_800_000, onIdle: 'stop', maxLifetimeMs: 7_200_000 },
      max: 5,
      warm: { count: 1 },
    });
    const rig = await startV1({ core: { images: new Map([['web', web]]) } });
    await eventually(async () => {
      const { json, text } = await rig.call('GET', '/v1/images');
      expect(text).not.toContain('s3cret');
      expect(json).toEqual({
        items: [
          {
            key: 'web',
            image: 'web',
            ports: [{ name: 'web', port: 80, protocol: 'http' }],
            lifetime: 3600,
            max_lifetime: 7200,
            idle_timeout: 1800,
            on_idle: 'stop',
            max: 5,
            warm: { count: 1, ready: 1 },
            allow: ['lifetime', 'labels'],
          },
        ],
      });
    });
    // Warm ones are nobody's business.
    expect((await rig.call('GET', '/v1/containers')).json.items).toEqual([]);
  });
});

describe('a user', () => {
  test.each(['alice', 'ü/?#%&+ "', '../admin', 'a'.repeat(256)])(
    'named %j has what is theirs',
    async (user) => {
      const rig = await startV1({ core: { userLimit: 3 } });
      const id = await rig.spawn(user);
      await rig.spawn('somebody else');
      const { json } = await rig.call('GET', `/v1/users/${encodeURIComponent(user)}`);
      expect(json).toMatchObject({ user, limit: 3, containers: [{ id, user }] });
      expect(json.containers).toHaveLength(1);
    },
  );

  test('that nobody has heard of has nothing', async () => {
    const rig = await startV1();
    const { json } = await rig.call('GET', '/v1/users/nobody');
    expect(json).toEqual({ user: 'nobody', limit: 1, containers: [] });
  });

  test('is 404 where users are off, and 400 where no user can have that name', async () => {
    const off = await startV1({ core: { withUsers: false } });
    expect((await off.call('GET', '/v1/users/alice')).json).toMatchObject({ status: 404, code: 'users_off' });
    const rig = await startV1();
    for (const name of ['%00', 'a%0Ab', encodeURIComponent('ü'.repeat(129))]) {
      expect((await rig.call('GET', `/v1/users/${name}`)).json).toMatchObject({ code: 'field_invalid' });
    }
  });
});

describe('history', () => {
  test('is told newest first, page by page, by user and image', async () => {
    const rig = await startV1();
    const ended: string[] = [];
    for (const [user, imageKey] of [
      ['alice', 'web'],
      ['bob', 'web'],
      ['alice', 'plain'],
      ['carol', 'web'],
    ] as const) {
      const id = await rig.spawn(user, { imageKey });
      await rig.core.commands.stop(id);
      ended.push(id);
    }
    const first = await rig.call('GET', '/v1/history?limit=3');
    const second = await rig.call('GET', `/v1/history?limit=3&cursor=${first.json.next_cursor}`);
    const all = [...first.json.items, ...second.json.items];
    expect(all.map((h) => h.id).sort()).toEqual([...ended].sort());
    expect(second.json.next_cursor).toBeNull();
    expect(all.map((h) => h.ended_at)).toEqual(
      all
        .map((h) => h.ended_at)
        .sort()
        .reverse(),
    );
    expect(all[0]).toMatchObject({ reason: 'asked', ready_at: expect.any(String) });
    const idsOf = async (query: string) =>
      (await rig.call('GET', `/v1/history?${query}`)).json.items.map((h: { id: string }) => h.id);
    expect((await idsOf('user=alice')).sort()).toEqual([ended[0], ended[2]].sort());
    expect(await idsOf('image=plain')).toEqual([ended[2]]);
    expect(await idsOf('user=nobody')).toEqual([]);
  });

  test('loses none of those that ended in the same millisecond at the end of a page', async () => {
    const rig = await startV1({ core: { userLimit: 10 } });
    const ids = await Promise.all(Array.from({ length: 9 }, () => rig.spawn()));
    await Promise.all(ids.map((id) => rig.core.commands.stop(id)));
    const seen: string[] = [];
    for (let query = 'limit=1'; ; ) {
      const { json } = await rig.call('GET', `/v1/history?${query}`);
      seen.push(...json.items.map((h: { id: string }) => h.id));
      if (json.next_cursor === null) break;
      query = `limit=1&cursor=${json.next_cursor}`;
    }
    expect(seen).toHaveLength(9);
    expect(new Set(seen)).toEqual(new Set(ids));
  });
});

describe('how the service is', () => {
  test('alive it is whenever it answers, and ready while the engine answers too, with no token', async () => {
    const rig = await startV1({ administrators: ['a secret of an administrator'] });
    expect((await rig.call('GET', '/healthz')).json).toEqual({ status: 'ok' });
    expect((await rig.call('GET', '/readyz')).json).toEqual({ status: 'ok' });
    rig.machine.away();
    expect((await rig.call('GET', '/healthz')).status).toBe(200);
    expect((await rig.call('GET', '/readyz')).json).toMatchObject({
      status: 503,
      code: 'engine_unavailable',
    });
    rig.machine.back();
    expect((await rig.call('GET', '/readyz')).status).toBe(200);
  });

  test('what others answer is behind the same guards', async () => {
    const figures = {
      path: '/metrics',
      access: { scope: 'read', ofAll: true },
      answer: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'figure 1\n' }),
    } as const;
    const rig = await startV1({ administrators: ['admin-secret'], api: { extraRoutes: [figures] } });
    expect((await rig.call('GET', '/metrics')).json).toMatchObject({ status: 401, code: 'unauthorized' });
    const all = await rig.call('GET', '/metrics', { token: rig.token({ scopes: ['read'] }) });
    expect([all.text, all.headers.get('content-type')]).toEqual([
      'figure 1\n',
      expect.stringContaining('version=0.0.4'),
    ]);
    const bound = rig.token({ scopes: ['read'], users: ['alice'] });
    expect((await rig.call('GET', '/metrics', { token: bound })).json).toMatchObject({ code: 'forbidden' });
    expect((await rig.call('GET', '/metrics', { token: rig.token({ scopes: ['spawn'] }) })).status).toBe(403);
  });
});

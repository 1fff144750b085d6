import { describe, expect, test } from 'vitest';
import { entry } from '../../../support/core-harness.ts';
import { eventually } from '../../../support/eventually.ts';
import { startV1 } from './rig.ts';

const unknown = 'f'.repeat(32);

describe('asking for a container', () => {
  test('gives one that is ready, with all that there is to say of it', async () => {
    const rig = await startV1();
    const answer = await rig.call('POST', '/v1/containers', {
      body: { image: 'web', user: 'alice', environment: { A: 'ü' }, lifetime: 60, labels: { team: 'red' } },
    });
    expect(answer.status).toBe(201);
    const { id, created_at, expires_at, ready_at } = answer.json;
    expect(answer.headers.get('location')).toBe(`/v1/containers/${id}`);
    expect(answer.headers.get('content-type')).toContain('application/json');
    expect(answer.json).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      image: 'web',
      user: 'alice',
      phase: 'ready',
      reason: null,
      waking: false,
      url: `http://${id}.example.test`,
      ports: [{ name: 'web', port: 80, protocol: 'http', url: `http://${id}.example.test` }],
      engine: 'memory',
      created_at,
      ready_at,
      expires_at,
      idle_at: null,
      labels: { team: 'red' },
      queue: null,
    });
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(60_000);
    expect(Date.parse(ready_at)).toBeGreaterThanOrEqual(Date.parse(created_at));
    expect(rig.machine.find(id).specification.spec.environment).toEqual({ A: 'ü' });
    expect((await rig.call('GET', `/v1/containers/${id}`)).json).toEqual(answer.json);
  });

  test('with wait=none tells at once where to look, and what stands in the way', async () => {
    const rig = await startV1({ core: { maxParallelStarts: 1 } });
    const held = rig.machine.hold('create');
    const ask = (user: string) =>
      rig.call('POST', '/v1/containers?wait=none', { body: { image: 'web', user } });
    const [first, second] = [await ask('alice'), await ask('bob')];
    expect([first.status, second.status]).toEqual([202, 202]);
    expect(second.json).toMatchObject({ phase: 'queued', ready_at: null });
    const look = await rig.call('GET', second.headers.get('location')!);
    expect(look.json).toMatchObject({ id: second.json.id, queue: { position: 1, estimated_ms: null } });
    expect((await rig.call('GET', '/v1/queue')).json).toEqual({
      running: 1,
      waiting: 1,
      items: [{ id: second.json.id, image: 'web', user: 'bob', position: 1, estimated_ms: null }],
    });
    held.release();
    await eventually(async () =>
      expect((await rig.call('GET', `/v1/containers/${second.json.id}`)).json.phase).toBe('ready'),
    );
  });

  test('with the same key gives the same container, and refuses another request with it', async () => {
    const rig = await startV1({ core: { userLimit: 5 } });
    const ask = (body: object, key = 'order-1') =>
      rig.call('POST', '/v1/containers', { body, headers: { 'idempotency-key': key } });
    const body = { image: 'web', user: 'alice', labels: { a: '1' } };
    const [one, two] = await Promise.all([ask(body), ask(body)]);
    expect(two.json.id).toBe(one.json.id);
    expect((await ask(body, 'order-2')).json.id).not.toBe(one.json.id);
    expect((await ask({ image: 'web', user: 'alice' })).json).toMatchObject({
      status: 422,
      code: 'key_reused',
    });
    expect((await ask(body, 'two words')).json).toMatchObject({ status: 400, code: 'field_invalid' });
  });

  test('where users are off needs none, and ignores one', async () => {
    const rig = await startV1({ core: { withUsers: false } });
    const answer = await rig.call('POST', '/v1/containers', { body: { image: 'web', user: 'alice' } });
    expect(answer.json).toMatchObject({ user: null, phase: 'ready' });
  });

  test.each([
    ['no body', undefined, 400, 'body_invalid', 'missing'],
    ['an empty object', {}, 400, 'field_missing', 'image'],
    ['no user', { image: 'web' }, 400, 'field_missing', 'user'],
    ['an unknown field', { image: 'web', user: 'a', imgae: 'web' }, 400, 'field_invalid', 'imgae'],
    ['the original’s field', { container_id: 'web', user: 'a' }, 400, 'field_invalid', 'container_id'],
    ['a number for a text', { image: 1, user: 'a' }, 400, 'field_invalid', 'image'],
    ['a text for a number', { image: 'web', user: 'a', lifetime: '60' }, 400, 'field_invalid', 'lifetime'],
    ['null for a text', { image: 'web', user: null }, 400, 'field_invalid', 'user'],
    ['a list', ['web'], 400, 'field_invalid', 'body'],
    ['what is no JSON', '{"image":', 400, 'body_invalid', 'JSON'],
    ['half a character', '{"image":"web","user":"\\ud800"}', 400, 'body_invalid', 'half a character'],
    ['an empty user', { image: 'web', user: '' }, 400, 'field_invalid', 'user'],
    ['a user of 257 bytes', { image: 'web', user: 'ü'.repeat(129) }, 400, 'field_invalid', '256 bytes'],
    ['a control character', { image: 'web', user: 'a\nb' }, 400, 'field_invalid', 'user'],
    ['a lifetime of 0', { image: 'web', user: 'a', lifetime: 0 }, 400, 'field_invalid', 'lifetime'],
    [
      'a variable named =',
      { image: 'web', user: 'a', environment: { 'A=': '' } },
      400,
      'field_invalid',
      'A=',
    ],
    [
      'the prototype as a label',
      '{"image":"web","user":"a","labels":{"__proto__":"x"}}',
      400,
      'field_invalid',
      'labels.__proto__',
    ],
    ['what the entry keeps', { image: 'plain', user: 'a', labels: {} }, 400, 'not_allowed', 'allow'],
    ['an unknown image', { image: 'none', user: 'a' }, 400, 'unknown_image', 'container_images'],
  ])('refuses %s and says why', async (_, body, status, code, detail) => {
    const rig = await startV1();
    const answer = await rig.call('POST', '/v1/containers', {
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.json).toMatchObject({ status, code, detail: expect.stringContaining(detail) });
    expect(answer.status).toBe(status);
    expect(rig.machine.containers).toEqual([]);
  });

  test('never quotes a value, since it may be a secret', async () => {
    const rig = await startV1();
    const environment = { TOKEN: `s3cret\u0000${'x'.repeat(9000)}` };
    const answer = await rig.call('POST', '/v1/containers', {
      body: { image: 'web', user: 'a', environment },
    });
    expect(answer.json).toMatchObject({ code: 'field_invalid', detail: expect.stringContaining('TOKEN') });
    expect(answer.text).not.toContain('s3cret');
  });

  test('takes JSON and nothing else', async () => {
    const rig = await startV1();
    const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''];
    for (const type of types) {
      const headers = { 'content-type': type };
      const answer = await rig.call('POST', '/v1/containers', { body: 'image=web', headers });
      expect(answer.json, type).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    }
    const packed = { 'content-encoding': 'gzip' };
    const answer = await rig.call('POST', '/v1/containers', { body: { image: 'web' }, headers: packed });
    expect(answer.status).toBe(415);
  });

  test('a body that is too large is refused with an answer that can be read', async () => {
    const rig = await startV1();
    const body = { image: 'web', user: 'a', environment: { A: 'x'.repeat(70_000) } };
    const answer = await rig.call('POST', '/v1/containers', { body });
    expect(answer.json).toMatchObject({ status: 413, code: 'body_too_large' });
  });
});

describe('the list of containers', () => {
  test('goes newest first, page by page, each once, while others come and go', async () => {
    const rig = await startV1({ core: { userLimit: 20 } });
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.unshift(await rig.spawn());
    const first = await rig.call('GET', '/v1/containers?limit=2');
    expect(first.json.items.map((c: { id: string }) => c.id).length).toBe(2);
    await rig.spawn();
    await rig.core.commands.stop(first.json.items[1].id);
    const seen = [...first.json.items];
    for (let cursor = first.json.next_cursor; cursor !== null; ) {
      const next = await rig.call('GET', `/v1/containers?limit=2&cursor=${cursor}`);
      seen.push(...next.json.items);
      cursor = next.json.next_cursor;
    }
    expect(seen.map((c) => c.id).sort()).toEqual([...ids].sort());
    const times = seen.map((c) => c.created_at);
    expect(times).toEqual([...times].sort().reverse());
  });

  test('can be held to an image, a user and a phase', async () => {
    const rig = await startV1({ core: { userLimit: 2 } });
    const [a, b] = [await rig.spawn('alice'), await rig.spawn('bob')];
    await rig.spawn('bob', { imageKey: 'plain' });
    await rig.core.commands.sleep(a);
    const idsOf = async (query: string) =>
      (await rig.call('GET', `/v1/containers?${query}`)).json.items.map((c: { id: string }) => c.id);
    expect(await idsOf('phase=asleep')).toEqual([a]);
    expect(await idsOf('user=bob&image=web')).toEqual([b]);
    expect(await idsOf('user=bob&phase=asleep')).toEqual([]);
    expect(await idsOf('user=nobody')).toEqual([]);
    expect(await idsOf('image=none')).toEqual([]);
  });

  test.each([
    'limit=0',
    'limit=1001',
    'limit=1.5',
    'limit=x',
    'limit=1&limit=2',
    'phase=gone',
    'cursor=x',
    'a=1',
  ])('refuses %s', async (query) => {
    const rig = await startV1();
    const answer = await rig.call('GET', `/v1/containers?${query}`);
    expect(answer.json).toMatchObject({ status: 400, code: 'field_invalid' });
  });

  test('refuses an empty filter and a broken escape', async () => {
    const rig = await startV1();
    expect((await rig.call('GET', '/v1/containers?user=')).json).toMatchObject({ code: 'field_missing' });
    expect((await rig.call('GET', '/v1/containers?user=%zz')).json).toMatchObject({ code: 'body_invalid' });
    expect((await rig.call('GET', '/v1/containers?user=%ff')).json).toMatchObject({ code: 'field_invalid' });
  });
});

describe('a container', () => {
  test('is extended, to a time or by some seconds, within max_lifetime', async () => {
    const rig = await startV1();
    const id = await rig.spawn('alice', { wishes: { lifetimeMs: 600_000 } });
    const path = `/v1/containers/${id}`;
    const { created_at, expires_at } = (await rig.call('GET', path)).json;
    const by = await rig.call('PATCH', path, { body: { extend_by: 60 } });
    expect(Date.parse(by.json.expires_at) - Date.parse(expires_at)).toBe(60_000);
    const to = new Date(Date.parse(created_at) + 3_600_000).toISOString();
    expect((await rig.call('PATCH', path, { body: { expires_at: to } })).json.expires_at).toBe(to);
    const far = await rig.call('PATCH', path, { body: { extend_by: 1 } });
    expect(far.json).toMatchObject({ status: 409, code: 'not_extendable' });
    const both = await rig.call('PATCH', path, { body: { extend_by: 1, expires_at: to } });
    expect(both.json).toMatchObject({ status: 400, code: 'field_invalid' });
    expect((await rig.call('PATCH', path, { body: {} })).status).toBe(400);
    expect((await rig.call('PATCH', path, { body: { expires_at: 'tomorrow' } })).status).toBe(400);
  });

  test('gets labels, keeps the others, and loses one that is null', async () => {
    const rig = await startV1();
    const path = `/v1/containers/${await rig.spawn('alice', { wishes: { labels: { a: '1', b: '2' } } })}`;
    const answer = await rig.call('PATCH', path, {
      body: { labels: { b: null, c: '3' } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    expect(answer.json.labels).toEqual({ a: '1', c: '3' });
    expect((await rig.call('GET', path)).json.labels).toEqual({ a: '1', c: '3' });
  });

  test('is put to sleep and woken', async () => {
    const rig = await startV1();
    const path = `/v1/containers/${await rig.spawn()}`;
    expect((await rig.call('POST', `${path}/sleep`)).json).toMatchObject({ phase: 'asleep', waking: false });
    expect((await rig.call('POST', `${path}/sleep`)).json).toMatchObject({
      status: 409,
      code: 'wrong_phase',
    });
    expect((await rig.call('POST', `${path}/heartbeat`)).json).toMatchObject({ phase: 'asleep' });
    const held = rig.machine.hold('wake');
    const waking = rig.call('POST', `${path}/wake`, { body: {} });
    await eventually(async () => expect((await rig.call('GET', path)).json.waking).toBe(true));
    held.release();
    expect((await waking).json).toMatchObject({ phase: 'ready', waking: false });
  });

  test('is kept from being idle by a heartbeat', async () => {
    const idle = entry('web', { lifecycle: { idleMs: 60_000 } });
    const rig = await startV1({ core: { images: new Map([['web', idle]]) } });
    const path = `/v1/containers/${await rig.spawn()}`;
    const before = (await rig.call('GET', path)).json.idle_at;
    expect(before).not.toBeNull();
    await eventually(async () => {
      const { json } = await rig.call('POST', `${path}/heartbeat`);
      expect(Date.parse(json.idle_at)).toBeGreaterThan(Date.parse(before));
    });
  });

  test('is gone when DELETE has answered, and unknown from then on', async () => {
    const rig = await startV1();
    const path = `/v1/containers/${await rig.spawn()}`;
    const answer = await rig.call('DELETE', path);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(rig.machine.containers).toEqual([]);
    for (const again of [await rig.call('DELETE', path), await rig.call('GET', path)]) {
      expect(again.json).toMatchObject({
        type: 'urn:docker-spawner:problem:unknown_container',
        status: 404,
        code: 'unknown_container',
      });
    }
  });

  test('that nobody knows is 404 in every call, and 400 in those of the original', async () => {
    const rig = await startV1();
    for (const id of [unknown, 'nope', unknown.toUpperCase(), 'a%2Fb']) {
      expect((await rig.call('GET', `/v1/containers/${id}`)).json, id).toMatchObject({
        status: 404,
        code: 'unknown_container',
      });
    }
    const body = `container_hex=${unknown}`;
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await rig.call('POST', '/stop', { body, headers })).status).toBe(400);
  });
});

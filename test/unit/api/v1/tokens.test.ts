import { describe, expect, test } from 'vitest';
import { operations } from '../../../../src/api/v1/operations.ts';
import { systemClock } from '../../../../src/core/clock.ts';
import { createRateLimit } from '../../../../src/core/rate-limit.ts';
import type { Scope } from '../../../../src/core/tokens.ts';
import { exchange, headOf, statusOf } from '../support.ts';
import { startV1, type V1Rig } from './rig.ts';

const admin = 'the-secret-of-an-administrator';
const guarded = (options: Parameters<typeof startV1>[0] = {}) =>
  startV1({ administrators: [admin], ...options });
const unknown = 'f'.repeat(32);
const scopes = ['read', 'spawn', 'admin'] as const;

/** Every route, with the least scope that may call it. */
const routes = [
  { method: 'POST', path: '/spawn', scope: 'spawn' },
  { method: 'POST', path: '/stop', scope: 'spawn' },
  { method: 'GET', path: '/get_container_hex', scope: 'read' },
  { method: 'POST', path: '/get_container_hex', scope: 'read' },
  ...operations.map(({ method, path, scope }) => ({
    method,
    path: path.replace('{id}', unknown).replace('{user}', 'nobody').replace('{token}', 'none'),
    scope,
  })),
] as const;
const closed = routes.filter((route): route is typeof route & { scope: Scope } => route.scope !== null);

/** Sent so that no stream is waited for. */
async function statusFor(rig: V1Rig, method: string, path: string, token?: string): Promise<number> {
  const over = new AbortController();
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(rig.url + path, { method, headers, signal: over.signal });
  over.abort();
  return response.status;
}

describe('once any token exists', () => {
  test('every route needs one, but for what says nothing', async () => {
    const rig = await guarded();
    for (const { method, path } of closed) {
      expect(await statusFor(rig, method, path), path).toBe(401);
      expect(await statusFor(rig, method, path, 'wrong'), path).toBe(401);
    }
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs', '/docs/start.js']) {
      expect(await statusFor(rig, 'GET', path), path).toBe(200);
    }
  });

  test('one that was made through the API is enough to close the door', async () => {
    const rig = await startV1();
    expect((await rig.call('GET', '/v1/containers')).status).toBe(200);
    const made = await rig.call('POST', '/v1/tokens', { body: { name: 'ci', scopes: ['admin'] } });
    expect((await rig.call('GET', '/v1/containers')).status).toBe(401);
    const { secret, id } = made.json;
    expect((await rig.call('GET', '/v1/containers', { token: secret })).status).toBe(200);
    expect((await rig.call('DELETE', `/v1/tokens/${id}`, { token: secret })).status).toBe(204);
    expect((await rig.call('GET', '/v1/containers')).status).toBe(200);
  });

  test.each(scopes)('the scope %s opens what it should, and nothing else', async (scope) => {
    const rig = await guarded();
    const token = rig.token({ scopes: [scope] });
    for (const route of closed) {
      const status = await statusFor(rig, route.method, route.path, token);
      const may = scope === 'admin' || scope === route.scope;
      if (may) expect([401, 403], `${route.method} ${route.path}`).not.toContain(status);
      else expect(status, `${route.method} ${route.path}`).toBe(403);
    }
  });

  test('an expired one opens nothing', async () => {
    const rig = await guarded();
    const token = rig.token({ scopes: ['admin'], expiresAtMs: 1 });
    for (const { method, path } of closed) expect(await statusFor(rig, method, path, token), path).toBe(401);
    const { json, headers } = await rig.call('GET', '/v1/containers', { token });
    expect(json.detail).toContain('expired');
    expect(headers.get('www-authenticate')).toContain('error="invalid_token"');
  });

  test.each([
    '//v1/containers',
    '/v1//containers',
    '/v1/containers/',
    '/V1/containers',
    '/v1/./containers',
    '/v1/../v1/containers',
    '/%761/containers',
    '/v1/container%73',
    '/v1%2Fcontainers',
    '/v1/containers%3F',
    '/v1/containers;x=1',
    '/v1/containers#x',
    '/v1/%zz',
    '/v1/containers/%zz',
    '\\v1\\containers',
    '/healthz/../v1/containers',
    '/healthz%2f..%2fv1%2fcontainers',
    '/docs/../v1/containers',
    '/docs//v1/containers',
    '/healthz#/v1/containers',
    '*',
    'http://localhost/v1/containers',
  ])('the odd path %s opens nothing without one, and is found by nobody', async (path) => {
    const rig = await guarded();
    const host = `Host: 127.0.0.1:${rig.port}`;
    const without = statusOf(await exchange(rig.port, headOf(`GET ${path}`, host)));
    expect([400, 401, 421]).toContain(without);
    const bearer = `Authorization: Bearer ${rig.token({ scopes: ['read'] })}`;
    const withOne = statusOf(await exchange(rig.port, headOf(`GET ${path}`, host, bearer)));
    expect([400, 404, 421]).toContain(withOne);
  });

  test.each(['HEAD', 'OPTIONS', 'PUT', 'TRACE', 'QUERY', 'PROPFIND'])(
    'the method %s opens nothing',
    async (method) => {
      const rig = await guarded();
      const host = `Host: 127.0.0.1:${rig.port}`;
      const ask = async (path: string, ...lines: string[]) =>
        statusOf(await exchange(rig.port, headOf(`${method} ${path}`, host, ...lines)));
      expect([400, 401]).toContain(await ask('/v1/containers'));
      expect([400, 401]).toContain(await ask('/healthz'));
      expect([400, 405]).toContain(await ask('/v1/containers', `Authorization: Bearer ${admin}`));
    },
  );

  test('a request for an upgrade is a request like any other', async () => {
    const rig = await guarded();
    const upgrade = ['Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
    const ask = (path: string, ...lines: string[]) => {
      const head = [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${rig.port}`, 'Connection: Upgrade, close'];
      return exchange(rig.port, `${[...head, ...upgrade, ...lines].join('\r\n')}\r\n\r\n`);
    };
    expect(statusOf(await ask('/v1/containers'))).toBe(401);
    expect(statusOf(await ask('/v1/events'))).toBe(401);
    expect(statusOf(await ask('/v1/containers', `Authorization: Bearer ${admin}`))).toBe(200);
  });

  test('only Authorization carries one: neither the query nor a cookie does', async () => {
    const rig = await guarded();
    const token = rig.token({});
    for (const path of [`/v1/containers?token=${token}`, `/v1/containers?access_token=${token}`]) {
      expect((await rig.call('GET', path)).status).toBe(401);
    }
    expect((await rig.call('GET', '/v1/containers', { headers: { cookie: `token=${token}` } })).status).toBe(
      401,
    );
  });
});

describe('a token that is bound to users', () => {
  const setUp = async () => {
    const rig = await guarded({ core: { userLimit: 3 } });
    const own = await rig.spawn('alice');
    const other = await rig.spawn('bob');
    const token = rig.token({ scopes: ['read', 'spawn'], users: ['alice'] });
    return { rig, own, other, token };
  };

  test('finds others’ containers in no call, and changes nothing of them', async () => {
    const { rig, own, other, token } = await setUp();
    for (const { method, path } of operations.filter((o) => o.path.includes('{id}'))) {
      const body = method === 'PATCH' ? { body: { extend_by: 1 } } : {};
      const answer = await rig.call(method, path.replace('{id}', other), { token, ...body });
      expect(answer.json, `${method} ${path}`).toMatchObject({ status: 404, code: 'unknown_container' });
    }
    expect(rig.core.commands.get(other)).toMatchObject({ phase: 'ready' });
    expect((await rig.call('GET', `/v1/containers/${own}`, { token })).status).toBe(200);
    const none = await rig.call('GET', `/v1/containers/${unknown}`, { token });
    const others = await rig.call('GET', `/v1/containers/${other}`, { token });
    const { request_id: _one, ...what } = none.json;
    expect(others.json).toMatchObject(what);
  });

  test('sees only what is theirs in lists, history, queue and events', async () => {
    const { rig, own, other, token } = await setUp();
    const read = async (path: string) => (await rig.call('GET', path, { token })).text;
    await rig.core.commands.stop(await rig.spawn('alice'));
    const ended = await rig.spawn('bob');
    await rig.core.commands.stop(ended);
    expect(await read('/v1/containers')).toContain(own);
    for (const path of [
      '/v1/containers',
      '/v1/containers?user=bob',
      '/v1/history',
      '/v1/history?user=bob',
      '/v1/queue',
      '/v1/users/bob',
      `/v1/containers/${ended}/events`,
    ]) {
      const text = await read(path);
      expect(text, path).not.toContain(other);
      expect(text, path).not.toContain(ended);
    }
    expect((await rig.call('GET', '/v1/users/bob', { token })).status).toBe(404);
    expect((await rig.call('GET', '/v1/users/alice', { token })).status).toBe(200);
    const over = new AbortController();
    const headers = { authorization: `Bearer ${token}`, 'last-event-id': '0' };
    const response = await fetch(`${rig.url}/v1/events`, { headers, signal: over.signal });
    let text = '';
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString();
      if (text.includes('"gone"')) break;
    }
    over.abort();
    expect(text).toContain(own);
    expect(text).not.toContain(other);
    expect(text).not.toContain('bob');
  });

  test('asks for them alone, and need not name them where there is one', async () => {
    const { rig, token } = await setUp();
    const ask = (body: object, secret = token) =>
      rig.call('POST', '/v1/containers', { body: { image: 'web', ...body }, token: secret });
    expect((await ask({})).json).toMatchObject({ user: 'alice' });
    expect((await ask({ user: 'alice' })).status).toBe(201);
    expect((await ask({ user: 'bob' })).json).toMatchObject({ status: 403, code: 'forbidden' });
    const two = rig.token({ scopes: ['spawn'], users: ['carol', 'dave'] });
    expect((await ask({}, two)).json).toMatchObject({ status: 400, code: 'field_missing' });
    expect((await ask({ user: 'dave' }, two)).status).toBe(201);
  });

  test('is held to them in the calls of the original too', async () => {
    const { rig, own, other, token } = await setUp();
    const post = (path: string, body: string) =>
      rig.call('POST', path, {
        body,
        token,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
    expect((await post('/spawn', 'container_id=web&user_id=bob')).status).toBe(403);
    expect((await post('/spawn', 'container_id=web&user_id=alice')).status).toBe(200);
    expect((await post('/stop', `container_hex=${other}`)).status).toBe(400);
    expect(rig.core.commands.get(other)?.phase).toBe('ready');
    expect((await post('/get_container_hex', 'user_id=bob')).status).toBe(404);
    expect((await post('/get_container_hex', 'user_id=alice')).status).toBe(200);
    expect((await post('/stop', `container_hex=${own}`)).status).toBe(200);
  });
});

describe('the tokens of the API', () => {
  test('show their secret once, and then who they are and when they were used', async () => {
    const rig = await guarded();
    const body = {
      name: 'ci',
      scopes: ['spawn', 'read'],
      users: ['alice'],
      expires_at: '2100-01-01T00:00:00Z',
    };
    const made = await rig.call('POST', '/v1/tokens', { body, token: admin });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/v1/tokens/${made.json.id}`);
    const { secret, ...rest } = made.json;
    expect(secret).toMatch(/^dsp_[0-9a-f]{12}_[\w-]{43}$/);
    expect(rest).toMatchObject({ ...body, expires_at: '2100-01-01T00:00:00.000Z', last_used_at: null });
    await rig.call('GET', '/v1/containers', { token: secret });
    const listed = await rig.call('GET', '/v1/tokens', { token: admin });
    expect(listed.json.items).toEqual([{ ...rest, last_used_at: expect.any(String) }]);
    expect(listed.text).not.toContain(secret.slice(17));
    expect((await rig.call('DELETE', `/v1/tokens/${rest.id}`, { token: admin })).status).toBe(204);
    expect((await rig.call('GET', '/v1/containers', { token: secret })).status).toBe(401);
    const gone = await rig.call('DELETE', `/v1/tokens/${rest.id}`, { token: admin });
    expect(gone.json).toMatchObject({ status: 404, code: 'unknown_token' });
  });

  test.each([
    ['no scope', { name: 'a', scopes: [] }],
    ['an unknown scope', { name: 'a', scopes: ['root'] }],
    ['a scope twice', { name: 'a', scopes: ['read', 'read'] }],
    ['no name', { name: '', scopes: ['read'] }],
    ['no users', { name: 'a', scopes: ['read'], users: [] }],
    ['a bound administrator', { name: 'a', scopes: ['admin'], users: ['alice'] }],
    ['a time that has passed', { name: 'a', scopes: ['read'], expires_at: '2020-01-01T00:00:00Z' }],
    ['a user who is too long', { name: 'a', scopes: ['read'], users: ['ü'.repeat(129)] }],
    ['an unknown field', { name: 'a', scopes: ['read'], secret: 'mine' }],
  ])('are refused with %s', async (_, body) => {
    const rig = await guarded();
    const answer = await rig.call('POST', '/v1/tokens', { body, token: admin });
    expect(answer.json).toMatchObject({ status: 400, code: 'field_invalid' });
    expect(rig.tokens.list()).toEqual([]);
  });

  test('cannot be bound to users where there are none', async () => {
    const rig = await guarded({ core: { withUsers: false } });
    const body = { name: 'a', scopes: ['read'], users: ['alice'] };
    const answer = await rig.call('POST', '/v1/tokens', { body, token: admin });
    expect(answer.json).toMatchObject({ code: 'field_invalid', detail: expect.stringContaining('users') });
  });

  test('may call only so often, each for itself, and are told when to come again', async () => {
    const rig = await guarded({ api: { rateLimit: createRateLimit(systemClock, 3) } });
    const [one, two] = [rig.token({}), rig.token({})];
    const ask = (token?: string) => rig.call('GET', '/v1/containers', { token });
    for (let n = 0; n < 3; n++) expect((await ask(one)).status).toBe(200);
    const refused = await ask(one);
    expect(refused.json).toMatchObject({ status: 429, code: 'rate_limited', retry_after: 20 });
    expect(refused.headers.get('retry-after')).toBe('20');
    expect((await ask(two)).status).toBe(200);
    expect((await ask()).status).toBe(401);
    const original = await rig.call('GET', '/get_container_hex?user_id=a', { token: one });
    expect([original.status, original.headers.get('content-type')]).toEqual([
      429,
      expect.stringContaining('text/plain'),
    ]);
  });
});

describe('pages of api_origins', () => {
  test('may send what the calls of v1 take, and read what they answer', async () => {
    const origin = 'https://shop.example';
    const rig = await guarded({ api: { origins: [origin] } });
    const asked = await rig.call('OPTIONS', '/v1/containers', {
      headers: { origin, 'access-control-request-method': 'PATCH' },
    });
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-methods')).toBe('GET, POST, PATCH, DELETE');
    expect(asked.headers.get('access-control-allow-headers')).toContain('Idempotency-Key');
    const answer = await rig.call('GET', '/v1/containers', { token: admin, headers: { origin } });
    expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
    expect(answer.headers.get('access-control-expose-headers')).toContain('Location');
    const stream = new AbortController();
    const events = await fetch(`${rig.url}/v1/events`, {
      headers: { origin, authorization: `Bearer ${admin}` },
      signal: stream.signal,
    });
    expect(events.headers.get('access-control-allow-origin')).toBe(origin);
    expect(events.headers.get('cache-control')).toBe('no-store');
    stream.abort();
    const evil = await rig.call('GET', '/v1/containers', {
      token: admin,
      headers: { origin: 'https://evil.example' },
    });
    expect(evil.json).toMatchObject({ status: 403, code: 'forbidden_origin' });
  });
});

import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { memoryTokens } from '../../support/memory-tokens.ts';
import { bodyOf, dial, exchange, formType, headOf, post, spawnBody, startApi, statusOf } from './support.ts';

describe('addresses and methods', () => {
  test.each([
    '/',
    '/spawn/',
    '//spawn',
    '/%73pawn',
    '/SPAWN',
    '/spawn;x',
    '/./spawn',
    '/x/../spawn',
    '/spawn%00',
    '/%',
    '/%zz',
    '/spawn#x',
    '/__proto__',
    '/v2/containers',
  ])('answers %s with 404', async (path) => {
    const { port, host, commands } = await startApi();
    const length = `Content-Length: ${spawnBody.length}`;
    const bytes = headOf(`POST ${path}`, `Host: ${host}`, formType, length) + spawnBody;
    const response = await exchange(port, bytes);
    expect(statusOf(response)).toBe(404);
    expect(bodyOf(response)).toBe('There is nothing at this address');
    expect(commands.calls).toEqual([]);
  });

  test.each([
    ['GET', '/spawn', 'POST'],
    ['HEAD', '/spawn', 'POST'],
    ['OPTIONS', '/spawn', 'POST'],
    ['PUT', '/stop', 'POST'],
    ['DELETE', '/stop', 'POST'],
    ['PROPFIND', '/stop', 'POST'],
    ['QUERY', '/stop', 'POST'],
    ['HEAD', '/get_container_hex?user_id=bob', 'GET, POST'],
    ['PATCH', '/get_container_hex', 'GET, POST'],
    ['TRACE', '/get_container_hex', 'GET, POST'],
  ])('answers %s %s with 405 and Allow: %s', async (method, path, allow) => {
    const { port, host, commands } = await startApi();
    const response = await exchange(port, headOf(`${method} ${path}`, `Host: ${host}`));
    expect(statusOf(response)).toBe(405);
    expect(response).toContain(`\r\nallow: ${allow}\r\n`);
    expect(commands.calls).toEqual([]);
  });

  test('does not switch protocols', async () => {
    const { port, host } = await startApi();
    const head = ['GET /get_container_hex?user_id=bob HTTP/1.1', `Host: ${host}`, 'Upgrade: websocket'];
    const socket = await dial(port);
    socket.write(`${[...head, 'Connection: Upgrade'].join('\r\n')}\r\n\r\n`);
    await eventually(() => expect(statusOf(socket.received())).toBe(200));
  });
});

describe('the order of the guards', () => {
  test('is host, origin, token, route', async () => {
    const { port, host } = await startApi({ tokens: memoryTokens('secret') });
    const status = async (path: string, ...lines: string[]) =>
      statusOf(await exchange(port, headOf(`GET ${path}`, ...lines)));
    const evil = 'Origin: https://evil.example';
    expect(await status('/none', 'Host: evil.example', evil)).toBe(421);
    expect(await status('/none', `Host: ${host}`, evil)).toBe(403);
    expect(await status('/none', `Host: ${host}`)).toBe(401);
    expect(await status('/none', `Host: ${host}`, 'Authorization: Bearer secret')).toBe(404);
    expect(await status('/spawn', `Host: ${host}`, 'Authorization: Bearer secret')).toBe(405);
  });

  test('holds for targets that cannot be decoded', async () => {
    const { port, host } = await startApi({ tokens: memoryTokens('secret') });
    expect(statusOf(await exchange(port, headOf('GET /%zz', 'Host: evil.example')))).toBe(421);
    expect(statusOf(await exchange(port, headOf('GET /%zz', `Host: ${host}`)))).toBe(401);
  });

  test.each([
    ['no Host', [], 400],
    ['two equal Hosts', ['Host: localhost', 'Host: localhost'], 400],
    ['two different Hosts', ['Host: localhost', 'Host: evil.example'], 400],
    ['an empty Host', ['Host:'], 421],
  ])('refuses a request with %s', async (_, lines, status) => {
    const { port, commands } = await startApi();
    const response = await exchange(port, headOf('GET /get_container_hex?user_id=bob', ...lines));
    expect(statusOf(response)).toBe(status);
    expect(bodyOf(response)).toContain('Host header');
    expect(commands.calls).toEqual([]);
  });

  test('refuses an HTTP/1.0 request without Host', async () => {
    const { port } = await startApi();
    const response = await exchange(port, 'GET /get_container_hex?user_id=bob HTTP/1.0\r\n\r\n');
    expect([statusOf(response), bodyOf(response)]).toEqual([
      400,
      'The request must have exactly one Host header',
    ]);
  });

  test('refuses an absolute target and CONNECT', async () => {
    const { port, host, commands } = await startApi();
    const absolute = `GET http://${host}/get_container_hex?user_id=bob`;
    expect(statusOf(await exchange(port, headOf(absolute, `Host: ${host}`)))).toBe(421);
    const connect = await exchange(port, headOf(`CONNECT ${host}`, `Host: ${host}`));
    expect(connect).not.toContain('200');
    expect(commands.calls).toEqual([]);
  });

  test('lets through hosts that api_hosts names', async () => {
    const { port } = await startApi({ hosts: ['api.example.com'] });
    const target = 'GET /get_container_hex?user_id=bob';
    expect(statusOf(await exchange(port, headOf(target, 'Host: api.example.com')))).toBe(200);
    expect(statusOf(await exchange(port, headOf(target, 'Host: other.example.com')))).toBe(421);
  });

  test.each([
    ['Sec-Fetch-Site: same-site', 403],
    ['Sec-Fetch-Site: cross-site', 403],
    ['Sec-Fetch-Site: none', 200],
    ['Sec-Fetch-Site: same-origin', 200],
    ['Sec-Fetch-Site: none\r\nSec-Fetch-Site: same-site', 403],
    ['Origin: null', 403],
    ['Origin:', 403],
    ['Origin: http://x.localhost:8080\r\nSec-Fetch-Site: same-site', 403],
  ])('answers a request with %j with %i', async (line, status) => {
    const { port, host } = await startApi();
    const target = 'GET /get_container_hex?user_id=bob';
    expect(statusOf(await exchange(port, headOf(target, `Host: ${host}`, line)))).toBe(status);
  });
});

describe('pages of api_origins', () => {
  const origin = 'https://site.example';

  test('can read answers and errors', async () => {
    const { url } = await startApi({ origins: [origin] });
    const good = await post(`${url}/spawn`, spawnBody, { origin, 'sec-fetch-site': 'cross-site' });
    const bad = await post(`${url}/spawn`, '', { origin });
    for (const response of [good, bad]) {
      expect(response.headers.get('access-control-allow-origin')).toBe(origin);
      expect(response.headers.get('vary')).toBe('Origin');
    }
    expect([good.status, bad.status]).toEqual([200, 400]);
  });

  test('can ask beforehand, without the token', async () => {
    const { url, commands } = await startApi({ origins: [origin], tokens: memoryTokens('secret') });
    const ask = (from: string) =>
      fetch(`${url}/spawn`, {
        method: 'OPTIONS',
        headers: { origin: from, 'access-control-request-method': 'POST' },
      });
    const answer = await ask(origin);
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-headers')).toContain('Authorization');
    expect((await ask('https://evil.example')).status).toBe(403);
    expect((await post(`${url}/spawn`, spawnBody, { origin })).status).toBe(401);
    expect(commands.calls).toEqual([]);
  });

  test('are the only ones that get CORS headers', async () => {
    const { url } = await startApi({ origins: [origin] });
    const headers = { origin: url, 'sec-fetch-site': 'same-origin' };
    const own = await post(`${url}/spawn`, spawnBody, headers);
    expect([own.status, own.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });
});

describe('tokens', () => {
  test('are asked for, compared, and written nowhere', async () => {
    const { url, log, commands } = await startApi({ tokens: memoryTokens('open-sesame', 'other-token') });
    const call = (authorization?: string) =>
      post(`${url}/spawn`, spawnBody, authorization === undefined ? {} : { authorization });
    const missing = await call();
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toBe('Bearer realm="docker-spawner"');
    const wrong = await call('Bearer wrong-token');
    expect(wrong.status).toBe(401);
    expect(wrong.headers.get('www-authenticate')).toContain('error="invalid_token"');
    expect(commands.calls).toEqual([]);
    expect((await call('Bearer open-sesame')).status).toBe(200);
    expect((await call('bearer other-token')).status).toBe(200);
    await eventually(() => expect(log.length).toBe(4));
    expect(JSON.stringify(log)).not.toMatch(/sesame|other-token|wrong-token/);
    expect(await wrong.text()).not.toContain('wrong-token');
  });
});

describe('an error that should not occur', () => {
  test('is told with nothing but a request id, and logged once with its stack', async () => {
    const { url, commands, log } = await startApi();
    commands.onSpawn = () => Promise.reject(new TypeError('inner secret'));
    const response = await post(`${url}/spawn`, spawnBody);
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toContain('inner secret');
    const requestId = /request id ([0-9a-f]{12})$/.exec(text)?.[1];
    const errors = log.filter((line) => line.level === 'error');
    expect(errors.length).toBe(1);
    expect(errors[0]!.fields).toMatchObject({ requestId, err: { message: 'inner secret' } });
    expect((errors[0]!.fields.err as Error).stack).toContain('server.test.ts');
  });

  test('is not taken for a broken body because an engine broke its connection', async () => {
    const { url, commands } = await startApi();
    commands.onSpawn = () => Promise.reject(Object.assign(new Error('read'), { code: 'ECONNRESET' }));
    expect((await post(`${url}/spawn`, spawnBody)).status).toBe(500);
  });

  test.each([[undefined], [null], ['text'], [{ statusCode: 418, message: 'tea' }], [{ code: 'ECONNRESET' }]])(
    'may even be thrown as %j',
    async (thrown) => {
      const { url, commands } = await startApi();
      commands.onSpawn = () => Promise.reject(thrown);
      expect((await post(`${url}/spawn`, spawnBody)).status).toBe(500);
    },
  );
});

test('the log has one line for each request, without query, body or host', async () => {
  const { url, log } = await startApi();
  await fetch(`${url}/get_container_hex?user_id=private-name`);
  await post(`${url}/spawn`, 'container_id=web&user_id=private-name&user_id=x');
  await eventually(() => expect(log.length).toBe(2));
  expect(log.map((line) => line.fields)).toMatchObject([
    { method: 'GET', path: '/get_container_hex', status: 200 },
    { method: 'POST', path: '/spawn', status: 400, code: 'field_invalid' },
  ]);
  expect(JSON.stringify(log)).not.toContain('private-name');
});

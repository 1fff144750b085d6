import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Container } from '../../../src/core/container.ts';
import { SpawnerError } from '../../../src/core/errors.ts';
import { eventually } from '../../support/eventually.ts';
import {
  bodyOf,
  containerOf,
  dial,
  exchange,
  headOf,
  makeApi,
  post,
  someId,
  startApi,
  statusOf,
} from './support.ts';

const spawnBody = 'container_id=web&user_id=bob';
const formType = 'Content-Type: application/x-www-form-urlencoded';

/** A spawn that ends when the test says so. */
function heldSpawn() {
  return Promise.withResolvers<Container>();
}

function spawnRequest(host: string, ...lines: string[]): string {
  const head = ['POST /spawn HTTP/1.1', `Host: ${host}`, formType, `Content-Length: ${spawnBody.length}`];
  return `${[...head, ...lines].join('\r\n')}\r\n\r\n${spawnBody}`;
}

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
    '/v1/containers',
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
    const { port, host } = await startApi({ tokens: ['secret'] });
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
    const { port, host } = await startApi({ tokens: ['secret'] });
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
    const { url, commands } = await startApi({ origins: [origin], tokens: ['secret'] });
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
    const { url, log, commands } = await startApi({ tokens: ['open-sesame', 'other-token'] });
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

describe('bodies', () => {
  const limitBytes = 64 * 1024;
  const padded = (bytes: number) => `${spawnBody}&x=`.padEnd(bytes, 'x');

  test('may have 64 KiB', async () => {
    const { url } = await startApi();
    expect((await post(`${url}/spawn`, padded(limitBytes))).status).toBe(200);
  });

  test.each([1, 1024 * 1024, 6 * 1024 * 1024])(
    'of %i bytes more are refused with 413, which the client sees',
    async (moreBytes) => {
      const { url, port, host, commands } = await startApi();
      const body = padded(limitBytes + moreBytes);
      const sent = await post(`${url}/spawn`, body);
      expect([sent.status, await sent.text()]).toEqual([413, 'The body is larger than 64 KiB']);
      const form = new FormData();
      form.append('container_id', body);
      expect((await post(`${url}/spawn`, form)).status).toBe(413);
      const chunked = headOf('POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked');
      const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
      const response = await exchange(port, chunked + chunk);
      expect(statusOf(response)).toBe(413);
      expect(response).toMatch(/\r\nconnection: close\r\n/i);
      expect(commands.calls).toEqual([]);
    },
  );

  test('that are too large are refused for a client, too, that reads only when it has sent all', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.pause();
    const body = padded(6 * 1024 * 1024);
    const head = headOf('POST /spawn', `Host: ${host}`, formType, `Content-Length: ${body.length}`);
    await new Promise((resolve) => socket.write(head + body, resolve));
    socket.resume();
    await socket.ended;
    expect(statusOf(socket.received())).toBe(413);
  });

  test('that break after their refusal get no second answer', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.write(headOf('POST /none', `Host: ${host}`, formType, 'Transfer-Encoding: chunked'));
    await eventually(() => expect(statusOf(socket.received())).toBe(404));
    socket.write('zz\r\n');
    await socket.ended;
    expect(socket.received().split('HTTP/1.1').length - 1).toBe(1);
  });

  test('are refused by their length, before they are sent', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.write(headOf('POST /spawn', `Host: ${host}`, formType, 'Content-Length: 1000000000'));
    await eventually(() => expect(statusOf(socket.received())).toBe(413));
    expect(bodyOf(socket.received())).toBe('The body is larger than 64 KiB');
  });

  test('that a client goes on sending after a refusal end the connection in bounded time', async () => {
    const { port, host } = await startApi({ tokens: ['secret'] });
    const socket = await dial(port);
    socket.write(headOf('POST /spawn', `Host: ${host}`, formType, 'Content-Length: 1000000000'));
    const chunk = Buffer.alloc(256 * 1024);
    const pour = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pour);
    pour();
    await socket.ended;
    expect(statusOf(socket.received())).toBe(401);
    expect(socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
  });

  test('may be chunked', async () => {
    const { port, host, commands } = await startApi();
    const head = headOf('POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked');
    const chunks = [...spawnBody].map((char) => `1\r\n${char}\r\n`).join('');
    expect(statusOf(await exchange(port, `${head}${chunks}0\r\n\r\n`))).toBe(200);
    expect(commands.calls).toEqual([['spawn', 'web', 'bob']]);
  });

  test('with both framings, or a broken chunk, are refused with 400', async () => {
    const { port, host, commands } = await startApi();
    const chunked = ['POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked'] as const;
    const both = headOf(...chunked, 'Content-Length: 5');
    expect(statusOf(await exchange(port, `${both}0\r\n\r\n`))).toBe(400);
    expect(statusOf(await exchange(port, `${headOf(...chunked)}zz\r\n`))).toBe(400);
    expect(commands.calls).toEqual([]);
  });

  test.each([
    'application/json',
    'text/plain',
    'multipart/mixed; boundary=b',
    'nonsense',
    '/',
    'a/b; c=\x01',
  ])('of type %j are refused', async (type) => {
    const { port, host, commands } = await startApi();
    const length = `Content-Length: ${spawnBody.length}`;
    const head = headOf('POST /spawn', `Host: ${host}`, `Content-Type: ${type}`, length);
    expect([400, 415]).toContain(statusOf(await exchange(port, head + spawnBody)));
    expect(commands.calls).toEqual([]);
  });

  test('without a type are refused with 415', async () => {
    const { port, host } = await startApi();
    const head = headOf('POST /spawn', `Host: ${host}`, `Content-Length: ${spawnBody.length}`);
    expect(statusOf(await exchange(port, head + spawnBody))).toBe(415);
  });

  test('that end in the middle of a multipart part are refused with 400', async () => {
    const { url } = await startApi();
    const body = Buffer.from('--b\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nbo');
    const response = await post(`${url}/spawn`, body, { 'content-type': 'multipart/form-data; boundary=b' });
    expect([response.status, await response.text()]).toEqual([
      400,
      'The multipart body cannot be read: it ends before the closing boundary',
    ]);
  });
});

describe('a client that goes away', () => {
  test('during a spawn changes nothing: the spawn goes on, and others are answered', async () => {
    const { port, host, url, commands, log } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const socket = await dial(port);
    socket.write(spawnRequest(host));
    await eventually(() => expect(commands.calls.length).toBe(1));
    socket.resetAndDestroy();
    await eventually(() => expect(log.at(-1)?.fields).toMatchObject({ path: '/spawn', clientLeft: true }));
    spawn.resolve(containerOf(someId, 'web'));
    expect((await fetch(`${url}/get_container_hex?user_id=bob`)).status).toBe(200);
    expect(log.filter((line) => line.level === 'error')).toEqual([]);
  });

  test('before a spawn that fails leaves no unhandled rejection', async () => {
    const { port, host, url, commands, log } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const socket = await dial(port);
    socket.write(spawnRequest(host));
    await eventually(() => expect(commands.calls.length).toBe(1));
    socket.destroy();
    await eventually(() => expect(log.at(-1)?.fields).toMatchObject({ clientLeft: true }));
    spawn.reject(new SpawnerError('engine_failed', 'too late'));
    expect((await fetch(`${url}/get_container_hex?user_id=bob`)).status).toBe(200);
  });

  test('in the middle of its body spawns nothing', async () => {
    const { port, host, commands, log } = await startApi();
    const socket = await dial(port);
    socket.write(spawnRequest(host).slice(0, -3));
    socket.end();
    await socket.ended;
    await eventually(() => expect(log.at(-1)?.fields).toMatchObject({ path: '/spawn' }));
    expect(commands.calls).toEqual([]);
  });
});

describe('connections', () => {
  test('answer pipelined requests in their order', async () => {
    const { port, host, commands } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const socket = await dial(port);
    socket.write(spawnRequest(host) + headOf('GET /get_container_hex?user_id=bob', `Host: ${host}`));
    await eventually(() => expect(commands.calls.length).toBe(2));
    expect(socket.received()).toBe('');
    spawn.resolve(containerOf('f'.repeat(32), 'web'));
    await socket.ended;
    const received = socket.received();
    expect(received.indexOf('f'.repeat(32))).toBeGreaterThan(0);
    expect(received.indexOf(`${someId}:web`)).toBeGreaterThan(received.indexOf('f'.repeat(32)));
  });

  test('serve many requests one after the other', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    for (let count = 1; count <= 5; count++) {
      socket.write(spawnRequest(host));
      await eventually(() => expect(socket.received().split(someId).length - 1).toBe(count));
    }
  });

  test('get no wrong answer to a running request when garbage follows it', async () => {
    const { port, host, commands } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const received = await exchange(port, `${spawnRequest(host)}garbage\r\n\r\n`);
    expect(received).toBe('');
    spawn.resolve(containerOf(someId, 'web'));
  });

  test.each([
    ['garbage', 'garbage\r\n\r\n', 400],
    ['a head of 20 KiB', headOf('GET /', `X: ${'x'.repeat(20_000)}`), 431],
    ['an address that is not encoded', headOf('GET /?user_id=\xc3\xa9', 'Host: localhost'), 400],
    ['a TLS greeting', '\x16\x03\x01\x00\x05hello', 400],
  ])('with %s get a plain text refusal', async (_, bytes, status) => {
    const { port } = await startApi();
    const response = await exchange(port, bytes);
    expect(statusOf(response)).toBe(status);
    expect(response).toContain('Content-Type: text/plain');
  });

  test.each([
    ['no byte', ''],
    ['half a head', 'GET / HTTP/1.1\r\nHost: localhost\r\n'],
    ['half a body', 'POST /spawn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx'],
  ])('that send %s are closed in time', async (_, bytes) => {
    const { port, commands } = await startApi({ limits: { headTimeoutMs: 200, requestTimeoutMs: 300 } });
    const response = await exchange(port, bytes);
    expect(['', 'HTTP/1.1 408']).toContain(response.slice(0, 12));
    expect(commands.calls).toEqual([]);
  });

  test('waiting for a long spawn are not timed out', async () => {
    const { url, port, host, commands } = await startApi({
      limits: { headTimeoutMs: 100, requestTimeoutMs: 100, keepAliveTimeoutMs: 100 },
    });
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const answer = post(`${url}/spawn`, spawnBody);
    await eventually(() => expect(commands.calls.length).toBe(1));
    // Three generations of slow clients are thrown out meanwhile.
    for (let count = 0; count < 3; count++) await exchange(port, `GET / HTTP/1.1\r\nHost: ${host}\r\n`);
    spawn.resolve(containerOf(someId, 'web'));
    expect((await answer).status).toBe(200);
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

describe('closing', () => {
  test('lets a running request end, closes idle connections and accepts no more', async () => {
    const { api, port, host, url, commands } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const busy = await dial(port);
    busy.write(spawnRequest(host));
    const idle = await dial(port);
    idle.write(`GET /get_container_hex?user_id=bob HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await eventually(() => expect(commands.calls.length).toBe(2));
    await eventually(() => expect(statusOf(idle.received())).toBe(200));
    const closed = api.close(60_000);
    await idle.ended;
    await expect(fetch(`${url}/get_container_hex?user_id=bob`)).rejects.toThrow();
    spawn.resolve(containerOf(someId, 'web'));
    await busy.ended;
    expect(bodyOf(busy.received())).toBe(someId);
    expect(busy.received()).toMatch(/\r\nconnection: close\r\n/i);
    await closed;
  });

  test('answers a request that arrives meanwhile with 503', async () => {
    const { api, port, host, commands } = await startApi();
    const socket = await dial(port);
    socket.write(`GET /get_container_hex?user_id=bob HTTP/1.1\r\nHost: ${host}\r\n\r\nGET /get_con`);
    await eventually(() => expect(statusOf(socket.received())).toBe(200));
    const closed = api.close(60_000);
    socket.write(`tainer_hex?user_id=bob HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await socket.ended;
    expect(socket.received()).toContain('HTTP/1.1 503 Service Unavailable');
    expect(socket.received()).toMatch(/\r\nconnection: close\r\n/i);
    expect(commands.calls.length).toBe(1);
    await closed;
  });

  test('breaks off what is not done after the grace, and may be asked twice', async () => {
    const { api, port, host, commands } = await startApi();
    const spawn = heldSpawn();
    commands.onSpawn = () => spawn.promise;
    const socket = await dial(port);
    socket.write(spawnRequest(host));
    await eventually(() => expect(commands.calls.length).toBe(1));
    await Promise.all([api.close(20), api.close(20), socket.ended]);
    expect(socket.received()).toBe('');
    spawn.resolve(containerOf(someId, 'web'));
  });
});

describe('listening', () => {
  test('on a port that is taken rejects with EADDRINUSE', async () => {
    const { port } = await startApi();
    const { api } = makeApi();
    await expect(api.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('on IPv6 answers for [::1] with that port', async () => {
    const { api } = makeApi();
    const { port } = await api.listen({ host: '::1', port: 0 });
    expect((await fetch(`http://[::1]:${port}/get_container_hex?user_id=bob`)).status).toBe(200);
  });

  test('on every address answers for the one that a connection came to', async () => {
    const { api } = makeApi();
    const { port } = await api.listen({ host: '0.0.0.0', port: 0 });
    expect((await fetch(`http://127.0.0.5:${port}/get_container_hex?user_id=bob`)).status).toBe(200);
    const other = headOf('GET /get_container_hex?user_id=bob', `Host: 127.0.0.6:${port}`);
    expect(statusOf(await exchange(port, other))).toBe(421);
  });

  test('works on a socket that another process opened', async () => {
    const opener = createServer().listen(0, '127.0.0.1');
    await once(opener, 'listening');
    const { port } = opener.address() as AddressInfo;
    const { fd } = (opener as unknown as { _handle: { fd: number } })._handle;
    const child = spawn(process.execPath, ['--input-type=module', '-e', childProgram], {
      stdio: ['ignore', 'pipe', 'inherit', fd],
    });
    onTestFinished(async () => {
      child.kill();
      await once(child, 'exit');
    });
    const [line] = await once(child.stdout!, 'data');
    // Closed here, so that it is the child that accepts.
    opener.close();
    expect(String(line)).toContain(`"port":${port}`);
    expect((await fetch(`http://127.0.0.1:${port}/get_container_hex?user_id=bob`)).status).toBe(404);
  });
});

const childProgram = `
  import { createApi } from ${JSON.stringify(new URL('../../../src/api/server.ts', import.meta.url).href)};
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { withUsers: true, tokens: [], origins: [], hosts: [], log: quiet };
  const api = createApi({ ...options, commands: { newestOf() {} } });
  console.log(JSON.stringify(await api.listen({ fd: 3 })));
`;

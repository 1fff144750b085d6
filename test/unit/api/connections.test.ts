import { describe, expect, test } from 'vitest';
import { SpawnerError } from '../../../src/core/errors.ts';
import { eventually } from '../../support/eventually.ts';
import {
  bodyOf,
  containerOf,
  dial,
  exchange,
  headOf,
  heldSpawn,
  post,
  someId,
  spawnBody,
  spawnRequest,
  startApi,
  statusOf,
} from './support.ts';

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

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { call, type RunningService, startService } from '../support/service.ts';

let service: RunningService;

beforeAll(async () => {
  const image = await testImage();
  service = await startService({
    settings: { container_images: { web: { image, environment: { ID: '{id}' } }, plain: image } },
  });
});

afterAll(() => service[Symbol.asyncDispose]());

describe('the main job', () => {
  test('a container is spawned, visited under its subdomain, found and stopped; then its address is unknown', async () => {
    const spawned = await service.spawn('web', 'ada');
    expect(spawned).toMatchObject({ status: 200, body: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(spawned.headers['content-type']).toMatch(/^text\/plain/);
    const id = spawned.body;

    expect(await service.visit(id)).toMatchObject({
      status: 200,
      body: expect.stringContaining(`id=${id}`),
    });
    expect(await service.find('ada')).toMatchObject({ status: 200, body: `${id}:web` });
    const asked = { method: 'POST', path: '/get_container_hex', body: 'user_id=ada', type: formType };
    expect(await call(service.api, asked)).toMatchObject({ status: 200, body: `${id}:web` });

    expect(await service.stop(id)).toMatchObject({ status: 200, body: expect.stringContaining(id) });
    expect((await service.visit(id)).status).toBe(404);
    expect((await service.find('ada')).status).toBe(404);
    expect((await service.containers()).map((c) => c.Labels['docker-spawner.id'])).not.toContain(id);
    expect(await service.stop(id)).toMatchObject({ status: 400 });
  });

  test('an entry that is only the name of an image is enough', async () => {
    const { body: id } = await service.spawn('plain', 'bob');
    expect(await service.visit(id)).toMatchObject({
      status: 200,
      body: expect.stringMatching(/^test image id= /),
    });
    expect((await service.stop(id)).status).toBe(200);
  });

  test('the fields are read from a multipart form too', async () => {
    const form = (fields: Record<string, string>) => {
      const data = new FormData();
      for (const [name, value] of Object.entries(fields)) data.set(name, value);
      return data;
    };
    const post = async (path: string, fields: Record<string, string>) => {
      const url = `http://${service.api.host}:${service.api.port}${path}`;
      const response = await fetch(url, { method: 'POST', body: form(fields) });
      return { status: response.status, body: await response.text() };
    };
    const spawned = await post('/spawn', { container_id: 'web', user_id: 'grace “amazing” hopper' });
    expect(spawned).toMatchObject({ status: 200, body: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(await post('/get_container_hex', { user_id: 'grace “amazing” hopper' })).toEqual({
      status: 200,
      body: `${spawned.body}:web`,
    });
    expect((await post('/stop', { container_hex: spawned.body })).status).toBe(200);
  });

  test('without users no user is asked for, each spawn gives another container, and none is found by user', async () => {
    await using usersOff = await startService({
      settings: { with_users: false, max_containers: 2, container_images: { web: await testImage() } },
    });
    const spawn = () =>
      call(usersOff.api, { method: 'POST', path: '/spawn', body: 'container_id=web', type: formType });
    const [one, two] = [await spawn(), await spawn()];
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(one.body).not.toBe(two.body);
    expect(await spawn()).toMatchObject({
      status: 409,
      body: expect.stringMatching(/^all 2 places are taken; /),
    });
    expect((await usersOff.find('ada')).status).toBe(404);
    expect((await usersOff.stop(one.body)).status).toBe(200);
    expect((await spawn()).status).toBe(200);
  });
});

describe('through the subdomain', () => {
  let id: string;

  beforeAll(async () => {
    const spawned = await service.spawn('web', 'visitor');
    expect(spawned.status, spawned.body).toBe(200);
    id = spawned.body;
  });

  test('HEAD has the fields of GET and no body', async () => {
    const answer = await service.visit(id, '/big?bytes=1000', { method: 'HEAD' });
    expect(answer).toMatchObject({ status: 200, body: '', headers: { 'content-length': '1000' } });
  });

  test('the container sees the Host that the visitor asked for, and where the request came from', async () => {
    const seen = JSON.parse((await service.visit(id, '/headers?a=1&b=%20')).body);
    expect(seen).toMatchObject({ method: 'GET', url: '/headers?a=1&b=%20' });
    expect(seen.headers).toMatchObject({
      host: service.hostOf(id),
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': service.hostOf(id),
    });
  });

  test('the host name is matched without regard to case, port and a trailing dot', async () => {
    for (const host of [`${id}.localhost`, `${id.toUpperCase()}.LocalHost:1`, `${id}.localhost.`]) {
      expect((await call(service.proxy, { path: '/', host })).status, host).toBe(200);
    }
  });

  test('no other host leads to the container, and none to the API', async () => {
    const other = id.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    for (const host of [
      `${other}.localhost`,
      `${id}.localhost.evil.test`,
      `x.${id}.localhost`,
      'localhost',
    ]) {
      expect((await call(service.proxy, { path: '/get_container_hex?user_id=visitor', host })).status).toBe(
        404,
      );
    }
  });

  test('a POST brings its body back as it was', async () => {
    const body = `{"text": "Grüße\r\n\u0000"}`;
    const answer = await service.visit(id, '/echo', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(answer).toMatchObject({ status: 200, body, headers: { 'content-type': 'application/json' } });
  });

  test('every status arrives as the container gave it', async () => {
    for (const status of [204, 304, 404, 418, 500, 503]) {
      expect((await service.visit(id, `/status/${status}`)).status).toBe(status);
    }
  });

  test.each(['with a length', 'chunked'])('20 MB go up whole, %s', async (framing) => {
    const body = randomBytes(20_000_000);
    const headers = framing === 'chunked' ? {} : { 'content-length': String(body.length) };
    const answer = await exchange('/count', { method: 'POST', headers }, body);
    expect(JSON.parse(String(answer.body))).toEqual({ bytes: body.length, sha256: sha256(body) });
  });

  test.each(['with a length', 'chunked'])('20 MB come down whole, %s', async (framing) => {
    const bytes = 20_000_000;
    const answer = await exchange(`/big?bytes=${bytes}${framing === 'chunked' ? '&chunked=1' : ''}`);
    expect(answer.headers['content-length']).toBe(framing === 'chunked' ? undefined : String(bytes));
    expect(answer.body.length).toBe(bytes);
    const block = Buffer.alloc(65536, 'docker-spawner ');
    const expected = Buffer.concat(Array.from({ length: Math.ceil(bytes / 65536) }, () => block));
    expect(sha256(answer.body)).toBe(sha256(expected.subarray(0, bytes)));
  });

  test('server-sent events arrive one by one, while the stream goes on', async () => {
    const response = await respond('/sse?every=50');
    expect(response.headers['content-type']).toBe('text/event-stream');
    const parts: string[] = [];
    response.setEncoding('utf8').on('data', (part) => parts.push(part));
    await eventually(() => expect(parts.join('')).toContain('data: 3\n\n'));
    expect(parts.length).toBeGreaterThanOrEqual(3);
    expect(response.complete).toBe(false);
    response.destroy();
  });

  test('a WebSocket echoes text, binary and pings, and closes cleanly', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${service.proxy.port}/live`, {
      headers: { host: service.hostOf(id) },
    });
    await once(socket, 'open');
    for (const message of ['hello', 'ünïcode', 'x'.repeat(100_000)]) {
      socket.send(message);
      expect(String((await once(socket, 'message'))[0])).toBe(message);
    }
    const bytes = randomBytes(70_000);
    socket.send(bytes);
    expect((await once(socket, 'message'))[0]).toEqual(bytes);
    socket.ping('still there?');
    expect(String((await once(socket, 'pong'))[0])).toBe('still there?');
    const closed = once(socket, 'close');
    socket.close(1000);
    expect((await closed)[0]).toBe(1000);
  });

  test('a stop ends the WebSockets and streams that are open', async () => {
    const { body: own } = await service.spawn('web', 'short-lived');
    const socket = new WebSocket(`ws://127.0.0.1:${service.proxy.port}/`, {
      headers: { host: service.hostOf(own) },
    });
    await once(socket, 'open');
    const stream = await respond('/sse?every=50', { headers: { host: service.hostOf(own) } });
    const ends = Promise.all([
      once(socket, 'close'),
      new Promise((resolve) => stream.on('error', resolve).on('close', resolve).resume()),
    ]);
    expect((await service.stop(own)).status).toBe(200);
    await ends;
    expect(stream.complete).toBe(false);
  });

  async function exchange(path: string, options: RequestOptions = {}, body?: Buffer) {
    const response = await respond(path, options, body);
    return { headers: response.headers, body: await buffer(response) };
  }

  /** Resolves with the response as soon as its head is there. */
  function respond(path: string, options: RequestOptions = {}, body?: Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { host, port } = service.proxy;
      const headers = { host: service.hostOf(id), ...options.headers };
      const outgoing = request(
        { host, port, path, agent: false, method: options.method ?? 'GET', headers },
        resolve,
      );
      outgoing.on('error', reject);
      // Written before the end, so that a request without a length goes out chunked.
      if (body) outgoing.write(body);
      outgoing.end();
    });
  }
});

interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const formType = 'application/x-www-form-urlencoded';

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

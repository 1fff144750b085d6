import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testImage } from '../support/images.ts';
import { type Answer, call, type RunningService, refusedStart, startService } from '../support/service.ts';

let service: RunningService;

beforeAll(async () => {
  service = await startService({
    settings: {
      container_images: { web: await testImage() },
      ...{ api_hosts: ['api.example.test'], api_origins: ['https://shop.example.test'] },
    },
  });
});

afterAll(() => service[Symbol.asyncDispose]());

describe('the API answers', () => {
  test('for its own names only; for any other with 421', async () => {
    const { port } = service.api;
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'localhost', 'api.example.test']) {
      expect((await asked({ host })).status, host).toBe(404);
    }
    const container = `${'a'.repeat(32)}.localhost:${port}`;
    for (const host of ['evil.test', `evil.test:${port}`, container, 'api.example.test.evil.test']) {
      expect(await asked({ host }), host).toMatchObject({
        status: 421,
        body: expect.stringContaining('api_hosts'),
      });
    }
  });

  test('no page of another origin, not even one that is same-site, with anything but 403', async () => {
    const host = `localhost:${service.api.port}`;
    const containerPage = `http://${service.hostOf('a'.repeat(32))}`;
    for (const headers of [
      { origin: 'https://evil.test' },
      { origin: 'null' },
      { origin: containerPage },
      { origin: containerPage, 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const answer = await asked({ host, ...headers });
      expect(answer, JSON.stringify(headers)).toMatchObject({ status: 403 });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  test('its own pages, a person who types the address, and the pages of api_origins', async () => {
    const host = `localhost:${service.api.port}`;
    for (const headers of [
      {},
      { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
      { origin: 'https://shop.example.test', 'sec-fetch-site': 'cross-site' },
    ]) {
      expect((await asked({ host, ...headers })).status, JSON.stringify(headers)).toBe(404);
    }
    const fromShop = await asked({ host, origin: 'https://shop.example.test' });
    expect(fromShop.headers['access-control-allow-origin']).toBe('https://shop.example.test');
  });

  test('a body past 64 KiB with 413, with or without a length, and then others as before', async () => {
    const body = `container_id=web&user_id=big&padding=${'x'.repeat(65 * 1024)}`;
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      const answer = await call(service.api, {
        method: 'POST',
        path: '/spawn',
        body,
        type: formType,
        headers,
      });
      expect(answer).toMatchObject({ status: 413, body: expect.stringContaining('64 KiB') });
    }
    expect(await service.containers()).toEqual([]);
    const below = `container_id=nope&user_id=big&padding=${'x'.repeat(60 * 1024)}`;
    const answer = await call(service.api, { method: 'POST', path: '/spawn', body: below, type: formType });
    expect(answer.status).toBe(400);
  });

  test('with api_tokens only those who send one, which no log shows', async () => {
    const token = 'correct-horse-battery-staple';
    await using guarded = await startService({
      settings: { container_images: { web: await testImage() }, api_tokens: [token], log_level: 'trace' },
    });
    const ask = (authorization?: string) =>
      call(guarded.api, {
        ...{ method: 'POST', path: '/spawn', type: formType, body: 'container_id=web&user_id=ada' },
        headers: authorization === undefined ? {} : { authorization },
      });
    for (const wrong of [undefined, 'Bearer wrong-horse-battery', token, `Basic ${token}`, 'Bearer ']) {
      const answer = await ask(wrong);
      expect(answer, String(wrong)).toMatchObject({
        status: 401,
        body: expect.stringContaining('api_tokens'),
      });
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    }
    expect(await guarded.containers()).toEqual([]);
    const spawned = await ask(`Bearer ${token}`);
    expect(spawned.status, spawned.body).toBe(200);
    // Visitors of containers need none.
    expect((await guarded.visit(spawned.body)).status).toBe(200);
    expect(guarded.log()).not.toContain(token);
    expect(guarded.log()).not.toContain('wrong-horse');
  });

  function asked(headers: Record<string, string>): Promise<Answer> {
    return call(service.api, { path: '/get_container_hex?user_id=nobody', headers });
  }
});

describe('a start is refused, with exit code 1 and a message for the operator, by', () => {
  const image = 'container_images: {web: some-image}\n';

  test.each([
    [
      'an unknown key',
      `${image}max_container: 3\n`,
      [/docker-spawner\.yaml:2/, /max_container\b/, /max_containers/],
    ],
    [
      'a wrong type',
      `${image}\nport_start: high\n`,
      [/docker-spawner\.yaml:3/, /port_start/, /whole number/],
    ],
    ['a broken file', 'container_images: {web: [\n', [/docker-spawner\.yaml:\d/]],
    ['no image entry', 'domain: example.test\n', [/container_images/]],
    [
      'a word of Compose that is not supported',
      'container_images:\n  web:\n    image: x\n    privileged: true\n',
      [/docker-spawner\.yaml:4/, /privileged/],
    ],
    [
      'the engine’s socket in a container',
      'container_images:\n  web:\n    image: x\n    volumes: [/var/run/docker.sock:/s]\n',
      [/docker-spawner\.yaml:4/, /volumes/, /socket/],
    ],
    [
      'a user in the source of a bind mount',
      'container_images:\n  web:\n    image: x\n    volumes: ["/srv/{user_id}:/data"]\n',
      [/docker-spawner\.yaml:4/, /volumes/],
    ],
    [
      'an API that anybody could reach',
      `${image}api_listen: 0.0.0.0:0\nproxy_listen: 127.0.0.1:0\n`,
      [/docker-spawner\.yaml:2/, /api_listen/, /api_tokens/, /api_open/],
    ],
    [
      'several mistakes, all of them named',
      `${image}hex_size: 5\ndomain: ""\nx: 1\n`,
      [/:2/, /hex_size/, /:4/],
    ],
  ])('%s', async (_what, text, messages) => {
    const { code, stdout, stderr } = await refusedStart(text);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    for (const message of messages) expect(stderr).toMatch(message);
    // Not a stack: nothing here is a defect of the service.
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('a setting of the environment, which is named as such', async () => {
    const { code, stderr } = await refusedStart(image, { env: { MAX_CONTAINERS: 'many' } });
    expect(code).toBe(1);
    expect(stderr).toMatch(/MAX_CONTAINERS/);
  });

  test('an address where another program listens', async () => {
    const { code, stderr } = await refusedStart({
      container_images: { web: await testImage() },
      api_listen: `127.0.0.1:${service.api.port}`,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/api_listen: cannot listen on 127\.0\.0\.1:\d+: another program listens there/);
  });
});

const formType = 'application/x-www-form-urlencoded';

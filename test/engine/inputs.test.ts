import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testImage } from '../support/images.ts';
import { call, docker, type RunningService, startService } from '../support/service.ts';

let service: RunningService;

beforeAll(async () => {
  const image = await testImage();
  const environment = { WHO: '{user_id}' };
  service = await startService({
    settings: {
      max_containers: 40,
      container_images: {
        web: { image, environment },
        home: { image, environment, volumes: ['home-{user_id}:/data'] },
      },
    },
  });
});

afterAll(() => service[Symbol.asyncDispose]());

describe('the answers of the original API', () => {
  const someId = 'a'.repeat(32);

  test.each([
    ['no field at all', '/spawn', '', 400, /container_id is missing/],
    ['no user', '/spawn', 'container_id=web', 400, /user_id is missing/],
    ['no image', '/spawn', 'user_id=u', 400, /container_id is missing/],
    ['an empty image', '/spawn', 'container_id=&user_id=u', 400, /container_id is empty/],
    ['an empty user', '/spawn', 'container_id=web&user_id=', 400, /user_id is empty/],
    ['an unknown image', '/spawn', 'container_id=nope&user_id=u', 400, /no image entry with this key/],
    [
      'a name of the language as image',
      '/spawn',
      'container_id=__proto__&user_id=u',
      400,
      /no image entry with this key/,
    ],
    ['a user that is too long', '/spawn', `container_id=web&user_id=${'u'.repeat(257)}`, 400, /256 bytes/],
    [
      'a user of few characters and too many bytes',
      '/spawn',
      `container_id=web&user_id=${encodeURIComponent('語'.repeat(86))}`,
      400,
      /256 bytes/,
    ],
    [
      'a line break in the user',
      '/spawn',
      'container_id=web&user_id=a%0Ab',
      400,
      /user_id .* control character/,
    ],
    ['a NUL in the user', '/spawn', 'container_id=web&user_id=a%00b', 400, /user_id .* control character/],
    ['a line break in the image', '/spawn', 'container_id=web%0A&user_id=u', 400, /container_id .* control/],
    ['a user that is no UTF-8', '/spawn', 'container_id=web&user_id=%FF', 400, /user_id is not valid UTF-8/],
    ['a broken escape', '/spawn', 'container_id=web&user_id=%4', 400, /hexadecimal digits/],
    ['a user given twice', '/spawn', 'container_id=web&user_id=a&user_id=b', 400, /user_id is given twice/],
    ['an array for the user', '/spawn', 'container_id=web&user_id[]=a', 400, /user_id is missing/],
    ['an object for the user', '/spawn', 'container_id=web&user_id[a]=a', 400, /user_id is missing/],
    ['a stop of nothing', '/stop', '', 400, /container_hex is missing/],
    ['a stop of something that is no id', '/stop', 'container_hex=xyz', 400, /container_hex is not an id/],
    ['a stop of a path', '/stop', 'container_hex=../../x', 400, /container_hex is not an id/],
    ['a stop of an unknown id', '/stop', `container_hex=${someId}`, 400, /no container with this id/],
    ['a search without a user', '/get_container_hex', '', 400, /user_id is missing/],
    ['a search for a user without a container', '/get_container_hex', 'user_id=x', 404, /no container/],
    [
      'a search for a name of the language',
      '/get_container_hex',
      'user_id=constructor',
      404,
      /The user has no container/,
    ],
  ] as const)('%s is answered with one line that says so', async (_what, path, body, status, text) => {
    const answer = await call(service.api, { method: 'POST', path, body, type: formType });
    expect(answer).toMatchObject({ status, body: expect.stringMatching(text) });
    expect(answer.body).not.toMatch(/[\r\n]/);
    expect(answer.headers['content-type']).toMatch(/^text\/plain/);
  });

  test('a second container for a user is refused with 409, which tells what to do', async () => {
    const { body: id } = await service.spawn('web', 'one');
    expect(await service.spawn('web', 'one')).toMatchObject({
      status: 409,
      body: expect.stringMatching(/already has a container.*stop one first/),
    });
    expect((await service.find('one')).body).toBe(`${id}:web`);
    expect((await service.stop(id)).status).toBe(200);
  });

  test('a method or an address that is not there is said so', async () => {
    expect(await call(service.api, { path: '/spawn?container_id=web&user_id=u' })).toMatchObject({
      status: 405,
      headers: { allow: 'POST' },
    });
    expect((await call(service.api, { path: '/' })).status).toBe(404);
  });
});

describe('user ids', () => {
  test('of any Unicode are opaque: each has a container of its own, which is told the very id', async () => {
    const users = [
      ...['数学', 'مرحبا 🧑‍🚀', '__proto__', '{id}${HOME}%s', '../../etc/passwd'],
      ...['-rf', ' u', 'u', '\u202eadmin', 'u'.repeat(256)],
    ];
    const ids = await Promise.all(users.map((user) => spawned('web', user)));
    expect(new Set(ids).size).toBe(users.length);
    for (const [index, user] of users.entries()) {
      expect(await environmentOf(ids[index]!)).toMatchObject({ WHO: user });
      expect(await service.find(user)).toMatchObject({ status: 200, body: `${ids[index]}:web` });
      expect((await inspect(ids[index]!)).Config.Labels['docker-spawner.user']).toBe(user);
    }
    await Promise.all(ids.map((id) => service.stop(id)));
  });

  test('that differ in case or normalisation are different users, with different named volumes', async () => {
    const users = ['Zoe', 'zoe', 'Zoë', 'Zoe\u0308', 'zoe/..'];
    const ids = await Promise.all(users.map((user) => spawned('home', user)));
    const volumes = await Promise.all(ids.map(async (id) => (await inspect(id)).Mounts[0]!.Name!));
    expect(new Set(volumes).size).toBe(users.length);
    for (const volume of volumes) expect(volume).toMatch(/^home-[a-z0-9_-]+$/);
    await Promise.all(ids.map((id) => service.stop(id)));
  });

  test('lead to the same named volume again after a stop, which deletes none', async () => {
    const first = await spawned('home', 'Returning');
    const volume = (await inspect(first)).Mounts[0]!.Name!;
    expect((await service.visit(first, '/write?path=/data/kept')).body).toContain('written');
    await service.stop(first);
    const second = await spawned('home', 'Returning');
    expect((await inspect(second)).Mounts[0]!.Name).toBe(volume);
    // A directory cannot be written as a file: EISDIR where it is there, ENOTDIR under a file that is there.
    expect((await service.visit(second, '/write?path=/data/kept/below')).body).toContain('ENOTDIR');
    await service.stop(second);
  });
});

describe('injection', () => {
  const marker = `/tmp/injected-${randomBytes(8).toString('hex')}`;
  const attempts = [
    `; touch ${marker}; $(touch ${marker}) \`touch ${marker}\``,
    `' || touch ${marker} #`,
    `" && touch ${marker} && "`,
    `--privileged -v /:/host --entrypoint=touch ${marker}`,
    '", "Privileged": true, "x": "',
  ];

  test('through the user reaches neither a shell nor an option: it stays a text', async () => {
    const { Id: imageId } = await docker.getImage(await testImage()).inspect();
    const ids = await Promise.all(attempts.map((attempt) => spawned('home', attempt)));
    for (const [index, id] of ids.entries()) {
      expect(await environmentOf(id)).toMatchObject({ WHO: attempts[index] });
      expect((await service.visit(id, `/write?path=${marker}/below`)).body).toContain('ENOENT');
      const { HostConfig, Image, Path, Args } = await inspect(id);
      expect(HostConfig).toMatchObject({ Privileged: false, Binds: null });
      expect({ Image, started: [Path, ...Args].join(' ') }).toEqual({
        Image: imageId,
        started: expect.stringMatching(/^\S*node \S*server\.mjs$/),
      });
    }
    expect(existsSync(marker)).toBe(false);
    await Promise.all(ids.map((id) => service.stop(id)));
  });

  test('through the image key and the id is refused', async () => {
    const before = (await service.containers()).length;
    for (const attempt of attempts) {
      expect(await service.spawn(attempt, 'mallory')).toMatchObject({
        status: 400,
        body: expect.stringMatching(/image entry/),
      });
      expect(await service.stop(attempt)).toMatchObject({
        status: 400,
        body: expect.stringMatching(/container_hex/),
      });
    }
    expect(await service.containers()).toHaveLength(before);
    expect(existsSync(marker)).toBe(false);
  });

  test('through line breaks is refused, and forges no line of the log', async () => {
    for (const user of ['a\nforged', 'a\r\nforged', 'a\u2028forged'.replace('\u2028', '\u0085'), 'a\u0000']) {
      expect(await service.spawn('web', user)).toMatchObject({
        status: 400,
        body: expect.stringMatching(/control character/),
      });
    }
    expect(service.log()).not.toMatch(/^forged/m);
  });
});

async function spawned(image: string, user: string): Promise<string> {
  const answer = await service.spawn(image, user);
  expect(answer.status, answer.body).toBe(200);
  return answer.body;
}

async function environmentOf(id: string): Promise<Record<string, string>> {
  return JSON.parse((await service.visit(id, '/env')).body);
}

function inspect(id: string) {
  return docker.getContainer(`spawned__${id}`).inspect();
}

const formType = 'application/x-www-form-urlencoded';

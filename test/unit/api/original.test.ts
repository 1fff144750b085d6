import { describe, expect, test } from 'vitest';
import { type ErrorCode, SpawnerError } from '../../../src/core/errors.ts';
import { containerOf, post, someId, startApi } from './support.ts';

async function answerOf(response: Response) {
  return { status: response.status, text: await response.text() };
}

function formOf(fields: Record<string, string>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

describe('POST /spawn', () => {
  test.each([
    ['urlencoded', 'container_id=web&user_id=bob'],
    ['multipart', formOf({ container_id: 'web', user_id: 'bob' })],
  ])('answers a %s form with the bare id', async (_, body) => {
    const { url, commands } = await startApi();
    const response = await post(`${url}/spawn`, body);
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await answerOf(response)).toEqual({ status: 200, text: someId });
    expect(commands.calls).toEqual([['spawn', 'web', 'bob']]);
  });

  test.each([
    ['', 'The field container_id is missing'],
    ['user_id=bob', 'The field container_id is missing'],
    ['container_id=&user_id=bob', 'The field container_id is empty'],
    ['container_id=web', 'The field user_id is missing'],
    ['container_id=web&user_id=', 'The field user_id is empty'],
    ['container_id=web&user_id=a&user_id=a', 'user_id is given twice; give it once'],
    ['container_id=web&container_id=web&user_id=a', 'container_id is given twice; give it once'],
    ['container_id=web&user_id=%FF', 'user_id is not valid UTF-8'],
    ['container_id=web&user_id=%', 'A "%" is not followed by two hexadecimal digits'],
    ['container_id=we%00b&user_id=bob', 'container_id holds a control character'],
    [`container_id=${'k'.repeat(129)}&user_id=bob`, 'container_id is longer than 128 characters'],
  ])('refuses %j with 400 and says: %s', async (body, text) => {
    const { url, commands } = await startApi();
    expect(await answerOf(await post(`${url}/spawn`, body))).toEqual({ status: 400, text });
    expect(commands.calls).toEqual([]);
  });

  test('without any body is a missing field', async () => {
    const { url } = await startApi();
    const response = await fetch(`${url}/spawn`, { method: 'POST' });
    expect(await answerOf(response)).toEqual({ status: 400, text: 'The field container_id is missing' });
  });

  test('does not take fields from the query', async () => {
    const { url } = await startApi();
    expect((await post(`${url}/spawn?container_id=web&user_id=bob`, '')).status).toBe(400);
  });

  test('ignores fields it does not know', async () => {
    const { url, commands } = await startApi();
    const body = 'container_id=web&user_id=bob&user_id[]=eve&__proto__=x&container_hex=y';
    expect((await post(`${url}/spawn`, body)).status).toBe(200);
    expect(commands.calls).toEqual([['spawn', 'web', 'bob']]);
  });

  test('with users off neither needs nor uses user_id', async () => {
    const { url, commands } = await startApi({ withUsers: false });
    expect((await post(`${url}/spawn`, 'container_id=web')).status).toBe(200);
    expect((await post(`${url}/spawn`, 'container_id=web&user_id=bob&user_id=%00')).status).toBe(200);
    expect(commands.calls).toEqual([
      ['spawn', 'web', null],
      ['spawn', 'web', null],
    ]);
  });

  test.each([
    ['unknown_image', 400],
    ['no_place', 409],
    ['user_limit', 409],
    ['queue_full', 429],
    ['internal', 500],
    ['engine_failed', 500],
    ['image_missing', 500],
    ['exited_early', 500],
    ['stopped_early', 500],
    ['engine_unavailable', 503],
    ['shutting_down', 503],
    ['not_ready', 504],
  ] satisfies [ErrorCode, number][])('answers %s with %i and one line of text', async (code, status) => {
    const { url, commands } = await startApi();
    commands.onSpawn = async () => {
      throw new SpawnerError(code, 'What failed\r\nand why\n', { retryAfterS: 1.2 });
    };
    const response = await post(`${url}/spawn`, 'container_id=web&user_id=bob');
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await answerOf(response)).toEqual({ status, text: 'What failed and why' });
  });

  test('sends no Retry-After where another try would not help', async () => {
    const { url, commands } = await startApi();
    commands.onSpawn = () => Promise.reject(new SpawnerError('unknown_image', 'No such key'));
    const response = await post(`${url}/spawn`, 'container_id=web&user_id=bob');
    expect(response.headers.get('retry-after')).toBeNull();
  });
});

describe('a user id', () => {
  test.each([
    'a',
    'Bob',
    'bob',
    'u\u0308',
    '\u00fc',
    '__proto__',
    'constructor',
    'toString',
    '$(touch /tmp/x)',
    '`id`; rm -rf / #',
    '--privileged',
    '-v/:/host',
    "' OR 1=1 --",
    '../../etc/passwd',
    '{user_id}',
    '<script>alert(1)</script>',
    ' ',
    ' bob ',
    '\u00a0',
    '\u200b',
    '\u202e',
    '\u2028',
    '\uFEFFbob',
    '\uFFFD',
    '\uFFFF',
    '🦊',
    'x'.repeat(256),
    'ü'.repeat(128),
    '🦊'.repeat(64),
  ])('may be %j, and arrives as it was sent', async (user) => {
    const { url, commands } = await startApi();
    const fields = { container_id: 'web', user_id: user };
    expect((await post(`${url}/spawn`, new URLSearchParams(fields).toString())).status).toBe(200);
    expect((await post(`${url}/spawn`, formOf(fields))).status).toBe(200);
    const query = new URLSearchParams({ user_id: user });
    expect((await fetch(`${url}/get_container_hex?${query}`)).status).toBe(200);
    expect(commands.calls).toEqual([
      ['spawn', 'web', user],
      ['spawn', 'web', user],
      ['newestOf', user],
    ]);
  });

  test.each(['\0', 'a\0', '\n', 'a\r\nb', '\t', '\x1b[31m', '\x7f', '\u0080', '\u0085', '\u009f'])(
    'may not hold a control character: %j',
    async (user) => {
      const { url, commands } = await startApi();
      const fields = { container_id: 'web', user_id: user };
      const refused = { status: 400, text: 'user_id holds a control character' };
      expect(await answerOf(await post(`${url}/spawn`, new URLSearchParams(fields).toString()))).toEqual(
        refused,
      );
      expect(await answerOf(await post(`${url}/spawn`, formOf(fields)))).toEqual(refused);
      expect(commands.calls).toEqual([]);
    },
  );

  test.each(['x'.repeat(257), 'ü'.repeat(129), '🦊'.repeat(65)])(
    'may not be longer than 256 bytes: %s',
    async (user) => {
      const { url } = await startApi();
      const body = new URLSearchParams({ container_id: 'web', user_id: user }).toString();
      expect(await answerOf(await post(`${url}/spawn`, body))).toEqual({
        status: 400,
        text: 'user_id is longer than 256 bytes',
      });
    },
  );
});

describe('POST /stop', () => {
  test('answers with one line once the container is gone', async () => {
    const { url, commands } = await startApi();
    const response = await post(`${url}/stop`, `container_hex=${someId}`);
    expect(await answerOf(response)).toEqual({ status: 200, text: `Container ${someId} is stopped` });
    expect((await post(`${url}/stop`, formOf({ container_hex: someId }))).status).toBe(200);
    expect(commands.calls).toEqual([
      ['stop', someId],
      ['stop', someId],
    ]);
  });

  test.each([
    '',
    'container_hex=',
    'container_hex=web',
    `container_hex=${'a'.repeat(15)}`,
    `container_hex=${'a'.repeat(64)}`,
    `container_hex=${someId}%0A`,
    'container_hex=0123456789abcdeg',
    `container_hex=${someId}&container_hex=${someId}`,
    'container_hex=%24(reboot)',
    'container_hex=--help--help--help',
  ])('refuses %j with 400 and asks nothing of the core', async (body) => {
    const { url, commands } = await startApi();
    expect((await post(`${url}/stop`, body)).status).toBe(400);
    expect(commands.calls).toEqual([]);
  });

  test('refuses an unknown id with 400, and so an id in upper case', async () => {
    const { url } = await startApi();
    const unknown = '0'.repeat(32);
    expect(await answerOf(await post(`${url}/stop`, `container_hex=${unknown}`))).toEqual({
      status: 400,
      text: `There is no container ${unknown}`,
    });
    expect((await post(`${url}/stop`, `container_hex=${someId.toUpperCase()}`)).status).toBe(400);
  });

  test('answers 5xx where the engine failed', async () => {
    const { url, commands } = await startApi();
    commands.onStop = () => Promise.reject(new SpawnerError('engine_failed', 'The engine said no'));
    expect(await answerOf(await post(`${url}/stop`, `container_hex=${someId}`))).toEqual({
      status: 500,
      text: 'The engine said no',
    });
  });
});

describe('/get_container_hex', () => {
  test('answers id:image_key, by query and by form', async () => {
    const { url, commands } = await startApi();
    commands.onNewestOf = () => containerOf(someId, 'note:book');
    const found = { status: 200, text: `${someId}:note:book` };
    expect(await answerOf(await fetch(`${url}/get_container_hex?user_id=bob`))).toEqual(found);
    expect(await answerOf(await post(`${url}/get_container_hex`, 'user_id=bob'))).toEqual(found);
    expect(await answerOf(await post(`${url}/get_container_hex`, formOf({ user_id: 'bob' })))).toEqual(found);
    expect(await answerOf(await post(`${url}/get_container_hex?user_id=bob`, ''))).toEqual(found);
    expect(commands.calls).toEqual(Array(4).fill(['newestOf', 'bob']));
  });

  test('answers 404 where the user has none, or users are off', async () => {
    const { url, commands } = await startApi();
    commands.onNewestOf = () => undefined;
    expect(await answerOf(await fetch(`${url}/get_container_hex?user_id=bob`))).toEqual({
      status: 404,
      text: 'The user has no container',
    });
    const off = await startApi({ withUsers: false });
    expect((await fetch(`${off.url}/get_container_hex?user_id=bob`)).status).toBe(404);
    expect((await fetch(`${off.url}/get_container_hex`)).status).toBe(404);
    expect(off.commands.calls).toEqual([]);
  });

  test.each([
    '',
    '?',
    '?user_id=',
    '?user_id',
    '?user_id=a&user_id=a',
    '?user_id=%',
    '?user_id=%FF',
    '?user_id=%00',
  ])('refuses the query %j with 400', async (query) => {
    const { url } = await startApi();
    expect((await fetch(`${url}/get_container_hex${query}`)).status).toBe(400);
  });

  test('refuses a user that query and form both give', async () => {
    const { url } = await startApi();
    expect((await post(`${url}/get_container_hex?user_id=bob`, 'user_id=bob')).status).toBe(400);
  });
});

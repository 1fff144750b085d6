import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fill,
  fillText,
  namesIn,
  type PlaceholderValues,
  placeholders,
  placeholdersOf,
  placeholderValues,
  volumeText,
  volumeTextMaxLength,
} from '../../../src/core/placeholders.ts';
import { entryOf } from '../config/support.ts';

const values: PlaceholderValues = {
  id: '0123456789abcdef',
  user_id: 'Ann {id}',
  domain: 'example.com',
  url: 'https://0123456789abcdef.example.com',
  image: 'web',
  created_at: '2030-01-01T00:00:00.000Z',
  expires_at: '2030-01-01T01:00:00.000Z',
};

describe('a text with placeholders', () => {
  test.each([
    ['{id}.{domain}', '0123456789abcdef.example.com'],
    ['{image}{image}', 'webweb'],
    ['{url}/x', 'https://0123456789abcdef.example.com/x'],
    ['{created_at} to {expires_at}', '2030-01-01T00:00:00.000Z to 2030-01-01T01:00:00.000Z'],
    ['{{id}} is {id}', '{id} is 0123456789abcdef'],
    ['{{nothing_known}}', '{nothing_known}'],
    ['${id} $id', '${id} $id'],
    ['{"a":1,"b":{}}', '{"a":1,"b":{}}'],
    ['{"host":"{domain}"}', '{"host":"example.com"}'],
    ['{a,b} {1..3} {ID} { id } {}', '{a,b} {1..3} {ID} { id } {}'],
    ['', ''],
  ])('%j becomes %j', (template, filled) => {
    expect(fillText(template, values)).toBe(filled);
  });

  test('what is filled in is never filled again', () => {
    expect(fillText('{user_id}', values)).toBe('Ann {id}');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (user, around) => {
        const fixed = around.replaceAll(/[{}$]/g, '');
        const filled = fillText(`${fixed}{user_id}${fixed}`, { ...values, user_id: user });
        expect(filled).toBe(fixed + user + fixed);
      }),
    );
  });

  test('replacement patterns of String.replace have no meaning in a value', () => {
    expect(fillText('<{user_id}>', { ...values, user_id: "$& $1 $' $$" })).toBe("<$& $1 $' $$>");
  });

  test('fails rather than fills where it asks for the user of a container without one', () => {
    expect(() => fillText('home-{user_id}', { ...values, user_id: null })).toThrow('no user');
    expect(fillText('home-{id}', { ...values, user_id: null })).toBe('home-0123456789abcdef');
  });

  test('names what stands between braces, but no literal and no shell variable', () => {
    expect(namesIn('{id} {nope} {{url}} ${domain} {"a"}')).toEqual(['id', 'nope']);
  });
});

describe('an entry filled for one container', () => {
  const spec = entryOf({
    command: ['serve', '--user={user_id}'],
    entrypoint: ['/bin/{image}'],
    environment: { TEAM: '{user_id}', __proto__x: '{id}' },
    labels: { 'example.url': '{url}' },
    volumes: ['home-{user_id}:/home', '/srv/data:/data', '/anonymous'],
    working_dir: '/srv/{id}',
    user: '{image}',
    tmpfs: ['/tmp/{id}'],
    extra_hosts: ['{id}.internal:127.0.0.1'],
  }).spec;
  const filled = fill(spec, values);

  test('has its placeholders filled as data', () => {
    expect(filled.command).toEqual(['serve', '--user=Ann {id}']);
    expect(filled.entrypoint).toEqual(['/bin/web']);
    expect(filled.environment).toEqual({ TEAM: 'Ann {id}', __proto__x: values.id });
    expect(filled.labels).toEqual({ 'example.url': values.url });
    expect(filled.workingDir).toBe(`/srv/${values.id}`);
    expect(filled.user).toBe('web');
    expect(filled.tmpfs).toEqual([{ target: `/tmp/${values.id}`, options: '' }]);
    expect(filled.extraHosts).toEqual([`${values.id}.internal:127.0.0.1`]);
  });

  test('has them escaped in the names of volumes, and paths and anonymous volumes left alone', () => {
    expect(filled.volumes.map((volume) => volume.source)).toEqual(['home-_41nn_20_7bid_7d', '/srv/data', '']);
  });

  test('keeps all the rest, and the entry itself as it was', () => {
    const untouched = { ...filled, ...pick(spec, changed) };
    expect(untouched).toEqual(spec);
    expect(spec.command).toEqual(['serve', '--user={user_id}']);
  });

  test('keeps a variable named __proto__ as a variable', () => {
    const environment = Object.fromEntries([['__proto__', '{id}']]);
    expect(Object.entries(fill({ ...spec, environment }, values).environment)).toEqual([
      ['__proto__', values.id],
    ]);
  });
});

describe('a value in the name of a volume', () => {
  test('is never the same for two texts, and always fits', () => {
    const text = fc.string({ unit: 'binary', maxLength: 150 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        const [one, two] = [volumeText(a), volumeText(b)];
        expect(one).toMatch(/^[a-z0-9_-]*$/);
        expect(one.length).toBeLessThanOrEqual(volumeTextMaxLength);
        // Half a surrogate pair has no UTF-8 form of its own; such user ids never come in.
        if (a.toWellFormed() !== b.toWellFormed()) expect(one).not.toBe(two);
      }),
    );
  });

  test.each([
    ['bob', 'Bob'],
    ['\u00e9', 'e\u0301'],
    ['a'.repeat(121), 'a'.repeat(122)],
    [`_${'a'.repeat(130)}`, volumeText(`_${'a'.repeat(130)}`)],
  ])('tells %j from %j', (a, b) => {
    expect(volumeText(a)).not.toBe(volumeText(b));
  });
});

describe('the placeholders of a specification', () => {
  test('are those that are filled, wherever they stand', () => {
    const spec = entryOf({
      command: ['{id}'],
      labels: { l: '{image} {{domain}} ${url}' },
      volumes: ['home-{user_id}:/home', '/srv/a:/a'],
      tmpfs: ['/run/{created_at}'],
    }).spec;
    expect([...placeholdersOf(spec)].sort()).toEqual(['created_at', 'id', 'image', 'user_id']);
    expect(placeholdersOf(entryOf({}).spec).size).toBe(0);
  });

  test('are none any more once they are filled', () => {
    const { spec } = entryOf({ environment: { A: '{id} {domain}' }, user: '{id}' });
    const plain = { ...values, user_id: 'ann' };
    expect(placeholdersOf(fill(spec, plain)).size).toBe(0);
  });
});

test('the values of a container come from its birth', () => {
  const birth = { id: 'ab', user: null, imageKey: 'web', createdAtMs: 0, expiresAtMs: 1000 };
  const made = placeholderValues(birth, { domain: 'example.com', url: 'http://ab.example.com' });
  expect(Object.keys(made).sort()).toEqual(Object.keys(placeholders).sort());
  expect(made.expires_at).toBe('1970-01-01T00:00:01.000Z');
  expect(made.user_id).toBeNull();
});

const changed = [
  ...(['command', 'entrypoint', 'environment', 'labels', 'volumes', 'workingDir'] as const),
  ...(['user', 'tmpfs', 'extraHosts'] as const),
];

function pick<T extends object>(from: T, keys: readonly (keyof T)[]): object {
  return Object.fromEntries(keys.map((key) => [key, from[key]]));
}

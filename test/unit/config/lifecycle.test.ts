import { describe, expect, test } from 'vitest';
import { complaint, entryOf, load, problems, withWords } from './support.ts';

const minute = 60_000;
const hour = 60 * minute;

/** The entry `web` with these words, under these lines of settings. */
const under = (settings: string, words: Record<string, unknown> = {}) =>
  load(withWords(words, settings)).images.get('web')!;

test('by default a container lives its hour, is warned of the end, and is not held warm', () => {
  const { lifecycle, max, warm } = entryOf({});
  expect(lifecycle).toEqual({
    idleMs: null,
    onIdle: 'remove',
    idleIgnoresTunnels: false,
    warnBeforeMs: 5 * minute,
    maxLifetimeMs: hour,
  });
  expect(max).toBeNull();
  expect(warm).toEqual({ count: 0, maxAgeMs: 24 * hour, onClaim: null });
});

describe('what callers may decide', () => {
  test('is the lifetime and labels, unless the entry says otherwise', () => {
    expect(entryOf({}).allow).toEqual(['lifetime', 'labels']);
    expect(entryOf({ allow: [] }).allow).toEqual([]);
    expect(entryOf({ allow: ['environment'] }).allow).toEqual(['environment']);
  });

  test('is named word by word', () => {
    expect(complaint(withWords({ allow: ['command'] }))).toContain('environment, lifetime or labels');
  });

  test('is no part of what makes warm containers outdated', () => {
    expect(entryOf({ allow: [] }).configHash).toBe(entryOf({}).configHash);
  });
});

describe('a word of the life cycle is read', () => {
  test.each([
    [{ idle_timeout: '30m' }, { idleMs: 30 * minute }],
    [{ idle_timeout: 0 }, { idleMs: null }],
    [{ on_idle: 'stop' }, { onIdle: 'stop' }],
    [
      { on_idle: 'pause', idle_timeout: 90 },
      { onIdle: 'pause', idleMs: 90_000 },
    ],
    [{ idle_ignores_websockets: true }, { idleIgnoresTunnels: true }],
    [{ warn_before: '10m' }, { warnBeforeMs: 10 * minute }],
    [{ warn_before: 0 }, { warnBeforeMs: 0 }],
    [{ max_lifetime: '8h' }, { maxLifetimeMs: 8 * hour }],
    [{ max_lifetime: '1h' }, { maxLifetimeMs: hour }],
    [{ docker_timeout: '2h' }, { maxLifetimeMs: 2 * hour }],
  ])('%j', (words, read) => {
    expect(entryOf(words).lifecycle).toMatchObject(read);
  });

  test.each([
    ['idle_timeout: 10m\n', {}, { idleMs: 10 * minute }],
    ['idle_timeout: 10m\n', { idle_timeout: '1m' }, { idleMs: minute }],
    ['idle_timeout: 10m\n', { idle_timeout: 0 }, { idleMs: null }],
    ['idle_timeout: 10m\n', { idle_timeout: null }, { idleMs: 10 * minute }],
    ['on_idle: stop\n', {}, { onIdle: 'stop' }],
    ['on_idle: stop\n', { on_idle: 'remove' }, { onIdle: 'remove' }],
    ['idle_ignores_websockets: true\n', {}, { idleIgnoresTunnels: true }],
    ['idle_ignores_websockets: true\n', { idle_ignores_websockets: false }, { idleIgnoresTunnels: false }],
    ['warn_before: 1m\n', {}, { warnBeforeMs: minute }],
    ['warn_before: 1m\n', { warn_before: 0 }, { warnBeforeMs: 0 }],
    ['max_lifetime: 4h\n', {}, { maxLifetimeMs: 4 * hour }],
    ['max_lifetime: 4h\n', { max_lifetime: '2h' }, { maxLifetimeMs: 2 * hour }],
    ['docker_timeout: 2h\n', {}, { maxLifetimeMs: 2 * hour }],
  ])('under %j, %j', (settings, words, read) => {
    expect(under(settings, words).lifecycle).toMatchObject(read);
  });

  test.each([
    ['5m', '5m1s', 5 * minute],
    ['5m', '5m', 2.5 * minute],
    ['5m', '1m', minute / 2],
    ['0', '1m', 0],
  ])('a warning %s before the end of a life of %s never comes at its birth', (before, life, warnBeforeMs) => {
    const words = { warn_before: before, docker_timeout: life };
    expect(entryOf(words).lifecycle.warnBeforeMs).toBe(warnBeforeMs);
  });

  test('max, warm and warm_max_age', () => {
    expect(entryOf({ max: 3 }).max).toBe(3);
    expect(entryOf({ max: 2, warm: 2 }).warm.count).toBe(2);
    expect(entryOf({ warm_max_age: '2h' }).warm.maxAgeMs).toBe(2 * hour);
    expect(under('warm_max_age: 3h\n').warm.maxAgeMs).toBe(3 * hour);
    expect(under('warm_max_age: 3h\n', { warm_max_age: '1h' }).warm.maxAgeMs).toBe(hour);
  });

  test.each([
    [{ command: ['/set-up', 'a b'] }, { command: ['/set-up', 'a b'], values: {}, timeoutMs: 10_000 }],
    [
      { command: `/set-up 'a b'`, timeout: '3s' },
      { command: ['/set-up', 'a b'], timeoutMs: 3000 },
    ],
    [
      { command: '/x', values: { team: '{user_id}', ends: '{expires_at}', n: 1.5 } },
      { values: { team: '{user_id}', ends: '{expires_at}', n: '1.5' } },
    ],
    [{ command: '/x', values: ['team={user_id}'] }, { values: { team: '{user_id}' } }],
    // Nothing is filled in a command, so what looks like a placeholder of its own stays.
    [{ command: ['awk', '{print} {"a":1}'] }, { command: ['awk', '{print} {"a":1}'] }],
  ])('on_claim: %j', (written, read) => {
    expect(entryOf({ warm: 1, on_claim: written }).warm.onClaim).toMatchObject(read);
  });
});

describe('a word of the life cycle that cannot be is refused', () => {
  test.each<[string, unknown, string]>([
    ['idle_timeout', '500ms', 'at least 1s, or 0 for no limit'],
    ['idle_timeout', 'never', 'a duration'],
    ['on_idle', 'kill', 'remove, stop or pause, got "kill"'],
    ['idle_ignores_websockets', 'yes', 'true or false'],
    ['warn_before', -1, 'or 0 for no warning'],
    ['max_lifetime', '0s', 'at least 1s'],
    ['max_lifetime', '30m', '`max_lifetime` (30m) is shorter than `docker_timeout` (1h)'],
    ['max', 0, 'from 1'],
    ['max', 1.5, 'a whole number'],
    ['warm', -1, 'a whole number from 0'],
    ['warm', true, 'a whole number'],
    ['warm_max_age', 0, 'at least 1s'],
    ['on_claim', '/set-up', 'a map such as {command'],
    ['on_claim', {}, 'there is no `command`'],
    ['on_claim', { command: [] }, 'there is no `command`'],
    ['on_claim', { command: '' }, 'there is no `command`'],
    ['on_claim', { command: '/x', value: {} }, 'did you mean `values`?'],
    ['on_claim', { command: '/x', values: 'a' }, 'a map, or a list of NAME=text'],
    ['on_claim', { command: '/x', values: { a: '{nope}' } }, 'no placeholder `{nope}`'],
    ['on_claim', { command: '/x', values: { a: null } }, 'there is no value'],
    ['on_claim', { command: '/x {user_id}' }, 'give it in `values`'],
    ['on_claim', { command: ['/x', '{id}'] }, 'give it in `values`'],
    ['on_claim', { command: '/x', timeout: 0 }, 'at least 100ms'],
    ['on_claim', { command: '/x', timeout: '1h' }, 'at most 10m'],
    ['on_claim', { command: '/x' }, 'only warm containers are claimed'],
  ])('%s: %j', (word, written, words) => {
    const text = complaint(withWords({ [word]: written }));
    expect(text).toMatch(new RegExp(`^docker-spawner\\.yaml:1: container_images\\.web\\.${word}`));
    expect(text).toContain(words);
    expect(text.split('\n')).toHaveLength(1);
  });

  test('a longest life below the usual one, wherever the two were written', () => {
    const shorter = '`max_lifetime` (2h) is shorter than `docker_timeout` (3h)';
    const both = 'max_lifetime: 2h\ndocker_timeout: 3h\n';
    // Once, and not again for each entry.
    expect(complaint(withWords({}, both))).toBe(
      `docker-spawner.yaml:1: max_lifetime: ${shorter}, which it extends; raise it, or lower \`docker_timeout\``,
    );
    expect(complaint(withWords({ docker_timeout: '3h' }, 'max_lifetime: 2h\n'))).toContain(
      `container_images.web.docker_timeout: ${shorter}`,
    );
    expect(complaint(withWords({ max_lifetime: '2h' }, 'docker_timeout: 3h\n'))).toContain(
      `container_images.web.max_lifetime: ${shorter}`,
    );
    expect(complaint(withWords({ max_lifetime: '3h' }, both.replace('2h', '3h')))).toBe('');
  });

  test('but nothing is said of it while one of the two cannot be read', () => {
    const found = problems(withWords({ max_lifetime: '2m' }, 'docker_timeout: 1 minute\n'));
    expect(found.map(({ key }) => key)).toEqual(['docker_timeout']);
  });

  test('on_idle without idle_timeout is fine: a container can be told to sleep', () => {
    expect(complaint(withWords({ on_idle: 'pause' }))).toBe('');
  });
});

describe('warm containers', () => {
  test.each<[Record<string, unknown>, string]>([
    [{ environment: { U: '{user_id}' } }, '`{user_id}`'],
    [{ environment: ['T={created_at}'] }, '`{created_at}`'],
    [{ labels: { ends: '{expires_at}' } }, '`{expires_at}`'],
    [{ command: ['serve', '{user_id}'] }, '`{user_id}`'],
    [{ entrypoint: 'serve {user_id}' }, '`{user_id}`'],
    [{ volumes: ['home-{user_id}:/home'] }, '`{user_id}`'],
    [{ working_dir: '/{created_at}' }, '`{created_at}`'],
    [{ tmpfs: ['/run/{expires_at}'] }, '`{expires_at}`'],
    [{ environment: { A: '{expires_at} {user_id}' } }, '`{user_id}` and `{expires_at}`'],
  ])('are refused where they would need %j', (words, names) => {
    const text = complaint(withWords({ ...words, warm: 1 }));
    expect(text).toMatch(/^docker-spawner\.yaml:1: container_images\.web\.warm: /);
    expect(text).toContain(`this entry uses ${names}, which nobody knows when a warm container is made`);
    expect(text).toContain('deliver that by `on_claim` instead');
    expect(complaint(withWords({ ...words, warm: 0 }))).toBe('');
  });

  test.each<Record<string, unknown>>([
    { environment: { A: '{id} {url} {domain} {image}' }, volumes: ['data-{id}:/data'] },
    { environment: { A: '{{user_id}} ${user_id}' } },
    { on_claim: { command: '/x', values: { u: '{user_id} {created_at} {expires_at}' } } },
  ])('are fine with %j', (words) => {
    expect(complaint(withWords({ ...words, warm: 1 }))).toBe('');
  });

  test('are never more than the entry may have', () => {
    expect(complaint(withWords({ warm: 3, max: 2 }))).toContain(
      'web.warm: 3 warm containers are more than `max` allows, 2',
    );
  });

  test('leave a place for users', () => {
    const yaml = (places: string) =>
      `max_containers: ${places}\ncontainer_images:\n  a: {image: x, warm: 3}\n  b: nginx\n  c: {image: x, warm: 2}\n`;
    expect(complaint(yaml('6'))).toBe('');
    expect(complaint(yaml('5'))).toMatch(
      /^docker-spawner\.yaml:5: container_images\.c\.warm: 5 warm containers leave no place for users: there are 5/,
    );
    expect(problems(yaml('lots')).map(({ key }) => key)).toEqual(['max_containers']);
  });

  test('with values from a user, while there are no users', () => {
    const words = { warm: 1, on_claim: { command: '/x', values: { u: '{user_id}' } } };
    expect(complaint(withWords(words, 'with_users: false\n'))).toContain('on_claim.values.u: `{user_id}`');
  });

  test('the values of on_claim are in no message: they may be secrets', () => {
    const text = complaint(
      withWords({ warm: 1, on_claim: { command: '/x', values: { p: 'hunter2 {no}', q: ['hunter2'] } } }),
    );
    expect(text.split('\n')).toHaveLength(2);
    expect(text).not.toContain('hunter2');
  });
});

describe('the hash of an entry, by which warm containers are replaced', () => {
  const warm = { warm: 1 };
  const hash = (words: Record<string, unknown>, settings = '') => under(settings, words).configHash;

  test.each([
    { warm: 2 },
    { warm: 0 },
    { warm: 1, max: 9 },
    { warm: 1, warm_max_age: '1h' },
    { warm: 1, on_claim: { command: '/x' } },
  ])('does not change by what concerns no living container: %j', (words) => {
    expect(hash(words)).toBe(hash(warm));
  });

  test.each([
    { idle_timeout: '5m' },
    { on_idle: 'stop' },
    { idle_ignores_websockets: true },
    { warn_before: 0 },
    { max_lifetime: '2h' },
    { docker_timeout: '2h' },
    { mem_limit: '1g' },
  ])('changes by what is fixed at their birth: %j', (words) => {
    expect(hash({ ...warm, ...words })).not.toBe(hash(warm));
  });

  test.each([
    ['domain: other.example\n', '{domain}'],
    ['domain: other.example\n', '{url}'],
    ['proxy_listen: 0.0.0.0:80\n', '{url}'],
    ['public_url: "https://{id}.example.com"\n', '{url}'],
  ])('changes with the setting that is filled in: %j, %s', (settings, text) => {
    const words = { ...warm, environment: { A: text } };
    expect(hash(words, settings)).not.toBe(hash(words));
    expect(hash(warm, settings)).toBe(hash(warm));
  });
});

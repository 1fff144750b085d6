import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shellWords } from '../../../src/config/shell-words.ts';
import type { ContainerSpec } from '../../../src/core/image-entry.ts';
import { complaint, entryOf, load, withWords } from './support.ts';

const mib = 1024 * 1024;
const any = { type: 'volume', readOnly: false } as const;

test('a plain text is short for an entry with that image, and everything else is safe', () => {
  const { images } = load('container_images: {web: "nginx:alpine", same: {image: "nginx:alpine"}}\n');
  const web = images.get('web')!;
  expect(web).toEqual({ ...images.get('same'), key: 'web' });
  expect(web.ports).toEqual([{ name: 'web', port: 80, protocol: 'http' }]);
  expect(web.ready).toEqual({ path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 60_000 });
  expect(web.lifetimeMs).toBe(3_600_000);
  expect(web.spec).toMatchObject({
    image: 'nginx:alpine',
    memLimitBytes: 512 * mib,
    cpus: 1,
    pidsLimit: 256,
    capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'],
    securityOpt: ['no-new-privileges=true'],
    networkMode: null,
    logMaxSizeBytes: 10 * mib,
    logMaxFiles: 3,
    stopGracePeriodMs: null,
    pullPolicy: 'missing',
  });
});

describe('a word is read', () => {
  const table: readonly [string, unknown, keyof ContainerSpec, unknown][] = [
    ['command', ['a', 'b c', 3, true], 'command', ['a', 'b c', '3', 'true']],
    ['command', `sh -c 'echo "a b"'`, 'command', ['sh', '-c', 'echo "a b"']],
    ['command', [], 'command', []],
    ['entrypoint', '/start --now', 'entrypoint', ['/start', '--now']],
    [
      'environment',
      { A: 'x', B: 1.5, C: true, D: '' },
      'environment',
      { A: 'x', B: '1.5', C: 'true', D: '' },
    ],
    ['environment', ['A=x=y', 'B='], 'environment', { A: 'x=y', B: '' }],
    ['environment', { J: '{"a":1} ${HOME}' }, 'environment', { J: '{"a":1} ${HOME}' }],
    ['labels', ['a.b=c'], 'labels', { 'a.b': 'c' }],
    ['volumes', ['home:/home'], 'volumes', [{ ...any, source: 'home', target: '/home' }]],
    [
      'volumes',
      ['h-{user_id}:/home/:ro'],
      'volumes',
      [{ ...any, source: 'h-{user_id}', target: '/home', readOnly: true }],
    ],
    ['volumes', ['/cache'], 'volumes', [{ ...any, source: '', target: '/cache' }]],
    [
      'volumes',
      ['/srv//x/../data:/data:rw'],
      'volumes',
      [{ type: 'bind', source: '/srv/data', target: '/data', readOnly: false }],
    ],
    [
      'volumes',
      [
        { type: 'bind', source: '/srv/a', target: '/a', read_only: true },
        { source: 'v1', target: '/v' },
      ],
      'volumes',
      [
        { type: 'bind', source: '/srv/a', target: '/a', readOnly: true },
        { ...any, source: 'v1', target: '/v' },
      ],
    ],
    ['tmpfs', '/run', 'tmpfs', [{ target: '/run', options: '' }]],
    ['tmpfs', ['/tmp:size=64m,mode=1777'], 'tmpfs', [{ target: '/tmp', options: 'size=64m,mode=1777' }]],
    ['working_dir', '/srv', 'workingDir', '/srv'],
    ['user', 1000, 'user', '1000'],
    ['user', 'node:node', 'user', 'node:node'],
    ['mem_limit', '1g', 'memLimitBytes', 1024 * mib],
    ['mem_limit', '1.5GB', 'memLimitBytes', 1536 * mib],
    ['mem_limit', 10_000_000, 'memLimitBytes', 10_000_000],
    ['mem_limit', 0, 'memLimitBytes', 0],
    ['cpus', 0.5, 'cpus', 0.5],
    ['cpus', '1.5', 'cpus', 1.5],
    ['cpus', 0, 'cpus', 0],
    ['pids_limit', -1, 'pidsLimit', -1],
    ['shm_size', '64m', 'shmSizeBytes', 64 * mib],
    [
      'ulimits',
      { nofile: 1024, core: { soft: 0, hard: -1 } },
      'ulimits',
      [
        { name: 'nofile', soft: 1024, hard: 1024 },
        { name: 'core', soft: 0, hard: -1 },
      ],
    ],
    ['read_only', true, 'readOnly', true],
    ['runtime', 'runsc', 'runtime', 'runsc'],
    ['init', true, 'init', true],
    [
      'devices',
      ['/dev/fuse', '/dev/snd/a:/dev/b:r'],
      'devices',
      [
        { hostPath: '/dev/fuse', containerPath: '/dev/fuse', permissions: 'rwm' },
        { hostPath: '/dev/snd/a', containerPath: '/dev/b', permissions: 'r' },
      ],
    ],
    ['dns', '1.1.1.1', 'dns', ['1.1.1.1']],
    ['dns', ['1.1.1.1', '2606:4700::1111'], 'dns', ['1.1.1.1', '2606:4700::1111']],
    ['extra_hosts', ['a_b:1.2.3.4', 'b=[::1]', 'c:::1'], 'extraHosts', ['a_b:1.2.3.4', 'b:::1', 'c:::1']],
    [
      'extra_hosts',
      { a: '1.2.3.4', b: ['::1', 'host-gateway'] },
      'extraHosts',
      ['a:1.2.3.4', 'b:::1', 'b:host-gateway'],
    ],
    ['stop_signal', 'int', 'stopSignal', 'SIGINT'],
    ['stop_signal', 'SIGRTMIN+3', 'stopSignal', 'SIGRTMIN+3'],
    ['stop_signal', 15, 'stopSignal', '15'],
    ['stop_grace_period', '1m30s', 'stopGracePeriodMs', 90_000],
    ['stop_grace_period', 0, 'stopGracePeriodMs', 0],
    ['pull_policy', 'if_not_present', 'pullPolicy', 'missing'],
    ['platform', 'linux/arm64/v8', 'platform', 'linux/arm64/v8'],
    ['network_mode', 'lab-net', 'networkMode', 'lab-net'],
    ['logging', { driver: 'json-file', options: { 'max-size': '1m', 'max-file': '5' } }, 'logMaxFiles', 5],
    ['logging', { options: { 'max-size': '1m' } }, 'logMaxSizeBytes', mib],
    ['command', null, 'command', null],
    ['mem_limit', null, 'memLimitBytes', 512 * mib],
  ];
  test.each(table)('%s: %j', (word, written, field, read) => {
    expect(entryOf({ [word]: written }).spec[field]).toEqual(read);
  });

  test('port, ready and docker_timeout are ours', () => {
    const entry = entryOf({ port: 8888, ready: { path: '/a?b=c', timeout: 5 }, docker_timeout: '8h' });
    expect(entry.ports).toEqual([{ name: 'web', port: 8888, protocol: 'http' }]);
    expect(entry.ready).toEqual({ path: '/a?b=c', statuses: [{ from: 200, to: 599 }], timeoutMs: 5000 });
    expect(entry.lifetimeMs).toBe(28_800_000);
  });

  test.each([
    ['200-399', [{ from: 200, to: 399 }]],
    [200, [{ from: 200, to: 200 }]],
    [
      [200, 401],
      [
        { from: 200, to: 200 },
        { from: 401, to: 401 },
      ],
    ],
    [
      ['200-299', '404'],
      [
        { from: 200, to: 299 },
        { from: 404, to: 404 },
      ],
    ],
  ])('ready.status: %j', (status, statuses) => {
    expect(entryOf({ ready: { status } }).ready.statuses).toEqual(statuses);
  });

  test('a number in a variable stays as it was written', () => {
    const { images } = load(
      'container_images:\n  web: {image: a, environment: {V: 1.10, T: TRUE, O: 010}}\n',
    );
    expect(images.get('web')!.spec.environment).toEqual({ V: '1.10', T: 'TRUE', O: '010' });
  });

  test('what anchors share is merged as in Compose, and the own word wins', () => {
    const { images } = load(
      'x-base: &base {image: nginx, cpus: 2, mem_limit: 64m}\n' +
        'container_images:\n  a: *base\n  b: {<<: *base, cpus: 3}\n  c: {<<: [{cpus: 4}, *base]}\n',
    );
    const read = [...images.values()].map(({ spec }) => [spec.cpus, spec.memLimitBytes / mib]);
    expect(read).toEqual([
      [2, 64],
      [3, 64],
      [4, 64],
    ]);
  });
});

describe('a word that cannot be is refused', () => {
  const table: readonly [string, unknown, string][] = [
    ['image', '', 'the name of an image'],
    ['image', '--privileged', 'the name of an image'],
    ['image', 'a b', 'the name of an image'],
    ['command', { a: 1 }, 'expected a text, got a map'],
    ['command', `echo "a`, 'has no end'],
    ['command', ['a', '{nope}'], 'no placeholder `{nope}`'],
    ['command', ['{user_idd}'], 'did you mean `user_id`?'],
    ['environment', { 'A=B': 'x' }, 'no name for variables'],
    ['environment', { A: null }, 'there is no value'],
    ['environment', ['A'], 'there is no value'],
    ['environment', ['A=1', 'A=2'], 'there already'],
    ['environment', { A: [1] }, 'expected a text'],
    ['labels', { 'docker-spawner.id': 'x' }, 'no name for labels'],
    ['volumes', ['a:b:c:d'], 'expected a volume'],
    ['volumes', ['home:relative'], 'an absolute path in the container'],
    ['volumes', ['home:/'], 'other than /'],
    ['volumes', ['home:/x/..'], 'other than /'],
    ['volumes', ['home:/x:z'], 'the mode ro or rw, got "z"'],
    ['volumes', ['./data:/data'], 'an absolute path on the host'],
    ['volumes', ['~/data:/data'], 'an absolute path on the host'],
    ['volumes', ['home:/home/{user_id}'], 'no placeholder is filled here'],
    ['volumes', ['/srv/{user_id}:/data'], 'no placeholder is filled here'],
    ['volumes', ['/srv/{id}:/data'], 'no placeholder is filled here'],
    ['volumes', ['{user_id}:/data'], 'must start with a letter or digit'],
    ['volumes', ['a b:/data'], 'letters, digits'],
    ['volumes', ['v:/data'], 'at least two characters'],
    ['volumes', [`${'a'.repeat(200)}{user_id}:/data`], 'longer than 255 bytes'],
    ['volumes', ['v1:/a', 'v2:/a/'], 'two mounts have the target /a'],
    ['volumes', [{ type: 'tmpfs', target: '/a' }], 'volume or bind'],
    ['volumes', [{ source: 'a1', target: '/a', bind: {} }], '`bind` is not supported here'],
    ['tmpfs', 'tmp', 'a mount'],
    ['tmpfs', ['/tmp/{user_id}'], '`{user_id}` is not filled in here'],
    ['working_dir', 'srv', 'an absolute path'],
    ['user', '{user_id}', '`{user_id}` is not filled in here'],
    ['user', 'a b', 'a user such as'],
    ['mem_limit', '1m', 'at least 6m'],
    ['mem_limit', -1, 'a size'],
    ['cpus', -1, 'a number of processors'],
    ['cpus', 0.001, 'a number of processors'],
    ['pids_limit', 0, '-1 for no limit'],
    ['ulimits', { files: 1 }, 'no such limit'],
    ['ulimits', { nofile: { soft: 2, hard: 1 } }, '`soft` is above `hard`'],
    ['ulimits', { nofile: { soft: 2 } }, 'both of `soft` and `hard`'],
    ['read_only', 'yes', 'true or false'],
    ['devices', ['/etc/passwd'], 'a device'],
    ['devices', ['/dev/../etc'], 'a device'],
    ['devices', ['/dev/mem'], 'never given'],
    ['dns', ['dns.example'], 'an IP address'],
    ['extra_hosts', ['a'], 'host:address'],
    ['extra_hosts', { a: 'b' }, 'an IP address or host-gateway'],
    ['extra_hosts', ['{user_id}:1.2.3.4'], '`{user_id}` is not filled in here'],
    ['stop_signal', 'SIGNOPE', 'a signal'],
    ['stop_grace_period', '1h', 'at most 10m'],
    ['pull_policy', 'build', 'always, missing or never'],
    ['platform', 'Linux x', 'a platform'],
    ['network_mode', 'container:x', 'does not support'],
    ['network_mode', 'none', 'nobody could reach'],
    ['logging', { driver: 'syslog' }, 'json-file'],
    ['logging', { options: { tag: 'x' } }, 'there are max-size, max-file'],
    ['port', 0, 'from 1 to 65535'],
    ['ready', '/health', 'a map such as'],
    ['ready', { path: 'health' }, 'a path such as'],
    ['ready', { path: '/a b' }, 'a path such as'],
    ['ready', { path: '/{id}' }, 'a path such as'],
    ['ready', { path: '/a\r\nX: y' }, 'a path such as'],
    ['ready', { status: '399-200' }, 'a status such as'],
    ['ready', { status: 100 }, 'within 200-599'],
    ['ready', { status: [] }, 'a status such as'],
    ['ready', { timeout: 0 }, 'a duration'],
    ['ready', { statuses: 200 }, 'did you mean `status`?'],
    ['docker_timeout', '0s', 'at least 1s'],
    ['mem_limitt', '1g', 'did you mean `mem_limit`?'],
    ['mem-limit', '1g', 'did you mean `mem_limit`?'],
  ];
  test.each(table)('%s: %j', (word, written, words) => {
    const text = complaint(withWords({ [word]: written }));
    expect(text).toMatch(/^docker-spawner\.yaml:1: container_images\.web/);
    expect(text).toContain(words);
  });

  test('an entry without an image', () => {
    expect(complaint('container_images: {web: {port: 80}}')).toContain('there is no `image`');
    expect(complaint('container_images: {web: {image: }}')).toContain('there is no `image`');
  });

  test.each([['7'], ['[nginx]'], ['true'], ['']])('an entry that is %j', (text) => {
    expect(complaint(`container_images: {web: ${text}}`)).toContain('container_images.web: expected');
  });

  test.each([['""'], ['"a\\nb"'], [`"${'k'.repeat(129)}"`], ['"\\uD800"']])('a key like %s', (key) => {
    expect(complaint(`container_images: {${key}: nginx}`)).toContain('expected a key of 1 to 128 characters');
  });

  test('any other key is a key', () => {
    const key = 'Web app/2 "ü" 🎉';
    expect([...load(`container_images: {${JSON.stringify(key)}: nginx}`).images.keys()]).toEqual([key]);
  });

  test('{user_id} while there are no users', () => {
    const words = { environment: { U: '{user_id}' } };
    expect(complaint(withWords(words, 'with_users: false\n'))).toContain(
      'no meaning while `with_users` is false',
    );
    expect(complaint(withWords(words))).toBe('');
  });
});

describe('the hash of an entry', () => {
  const hash = (words: Record<string, unknown>) => entryOf(words).configHash;
  test('is the same for the same content, however it was written', () => {
    expect(hash({ mem_limit: '1g', environment: { A: '1', B: '2' } })).toBe(
      hash({ environment: ['B=2', 'A=1'], mem_limit: 1024 * mib }),
    );
    expect(hash({})).toMatch(/^[0-9a-f]{64}$/);
  });
  test('is another one whenever anything differs', () => {
    const variants = [
      {},
      { port: 81 },
      { docker_timeout: 5 },
      { ready: { path: '/x' } },
      { environment: { A: '1' } },
      { environment: { A: '2' } },
      { command: ['a', 'b'] },
      { command: ['a b'] },
      { command: [] },
      { cap_add: ['NET_RAW'] },
    ];
    expect(new Set(variants.map(hash)).size).toBe(variants.length);
  });
  test('changes with the global docker_timeout where the entry has none', () => {
    const other = load(withWords({}, 'docker_timeout: 5\n')).images.get('web')!;
    expect(other.lifetimeMs).toBe(5000);
    expect(other.configHash).not.toBe(hash({}));
  });
});

describe('a text is split into words as a shell does', () => {
  test.each([
    ['a  b\tc\n', ['a', 'b', 'c']],
    [`a 'b c' "d e"`, ['a', 'b c', 'd e']],
    [`a\\ b`, ['a b']],
    [`"a\\"b" 'c\\d'`, ['a"b', 'c\\d']],
    [`"\\a"`, ['\\a']],
    [`'' ""`, ['', '']],
    [`a'b'"c"`, ['abc']],
    ['$HOME `id` $(id) ; a|b >c', ['$HOME', '`id`', '$(id)', ';', 'a|b', '>c']],
    ['', []],
  ])('%j', (text, words) => {
    expect(shellWords(text)).toEqual(words);
  });

  test.each([`'a`, `"a`, 'a\\'])('%j has no end', (text) => {
    expect(shellWords(text)).toBeNull();
  });

  test('words in single quotes come back as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
        expect(shellWords(quoted)).toEqual(words);
      }),
    );
  });
});

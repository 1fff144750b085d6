import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { complaint, entryOf, load, withWords } from './support.ts';

describe('the socket of the engine is never given', () => {
  const words = 'is, or holds, the socket of the container engine';
  test.each([
    '/var/run/docker.sock',
    '/run/docker.sock',
    '/run/../run/./docker.sock',
    '//run//docker.sock/',
    '/var/run',
    '/run/',
    '/var',
    '/',
    '/.',
    '/etc/..',
    '//',
    '/run/containerd',
    '/run/containerd/containerd.sock',
    '/run/podman/podman.sock',
  ])('through %s', (source) => {
    expect(complaint(withWords({ volumes: [`${source}:/x`] }))).toContain(words);
    expect(
      complaint(withWords({ volumes: [{ type: 'bind', source, target: '/x', read_only: true }] })),
    ).toContain(words);
  });

  test('through the socket that DOCKER_HOST names, and what holds it', () => {
    const env = { DOCKER_HOST: 'unix:///opt/engine/sock' };
    for (const source of ['/opt/engine/sock', '/opt/engine', '/opt']) {
      expect(complaint(withWords({ volumes: [`${source}:/x`] }), env)).toContain(words);
      expect(complaint(withWords({ volumes: [`${source}:/x`] }))).toBe('');
    }
  });

  test('through a link that leads to it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'link-'));
    symlinkSync('/run', join(directory, 'link'));
    for (const source of [join(directory, 'link'), join(directory, 'link/docker.sock')]) {
      expect(complaint(withWords({ volumes: [`${source}:/x`] }))).toContain(words);
    }
  });

  test.each(['/runner', '/var/lib/data', '/srv', '/run/user/1000', '/var/running'])(
    '%s is no way to it',
    (source) => {
      expect(complaint(withWords({ volumes: [`${source}:/x`] }))).toBe('');
    },
  );
});

describe('a word of Compose that does not work is refused by name', () => {
  test.each([
    ['privileged', 'never supported'],
    ['use_api_socket', 'never supported'],
    ['healthcheck', 'say in `ready`'],
    ['build', 'name it in `image`'],
    ['networks', '`network_mode`'],
    ['deploy', '`mem_limit`'],
    ['env_file', '`environment`'],
    ['restart', 'its place is free again'],
    ['depends_on', 'Compose word that Docker Spawner does not support (yet)'],
    ['secrets', 'Compose word'],
    ['pid', 'Compose word'],
    ['ipc', 'Compose word'],
    ['userns_mode', 'Compose word'],
    ['cgroup_parent', 'Compose word'],
    ['sysctls', 'Compose word'],
    ['group_add', 'Compose word'],
    ['ports', 'not supported yet'],
    ['access', 'not supported yet'],
  ])('%s', (word, words) => {
    const text = complaint(withWords({ [word]: true }));
    expect(text).toContain(`container_images.web.${word}: \`${word}\` is`);
    expect(text).toContain(words);
  });

  test('network_mode: host', () => {
    expect(complaint(withWords({ network_mode: 'host' }))).toContain('`host` is never supported');
  });

  test('but x- words are left alone', () => {
    expect(complaint(withWords({ 'x-note': [1] }))).toBe('');
  });
});

describe('capabilities', () => {
  const defaults = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'];
  test.each([
    [{}, defaults],
    [{ cap_drop: ['ALL'] }, []],
    [{ cap_drop: ['all'], cap_add: ['chown', 'CAP_NET_RAW'] }, ['CHOWN', 'NET_RAW']],
    [{ cap_drop: ['CAP_KILL', 'SETUID'] }, defaults.filter((name) => name !== 'KILL' && name !== 'SETUID')],
    [{ cap_add: ['SYS_PTRACE', 'SYS_PTRACE', 'CHOWN'] }, [...defaults, 'SYS_PTRACE']],
    [{ cap_drop: ['CHOWN'], cap_add: ['CHOWN'] }, defaults],
  ])('%j', (words, capabilities) => {
    expect(entryOf(words).spec.capabilities).toEqual(capabilities);
  });

  test.each(['ALL', 'all', 'CAP_ALL'])('%s is never added', (name) => {
    expect(complaint(withWords({ cap_add: [name] }))).toContain('`ALL` is never given');
  });

  test('one that the kernel does not have is refused', () => {
    expect(complaint(withWords({ cap_add: ['NET_ROW'] }))).toContain('a capability of Linux');
    expect(complaint(withWords({ cap_drop: ['NOPE'] }))).toContain('a capability of Linux');
  });
});

describe('security options', () => {
  test.each([
    [[], ['no-new-privileges=true']],
    [['no-new-privileges'], ['no-new-privileges=true']],
    [['no-new-privileges=true'], ['no-new-privileges=true']],
    [['no-new-privileges:false'], ['no-new-privileges=false']],
    [['seccomp=unconfined'], ['no-new-privileges=true', 'seccomp=unconfined']],
    [
      ['seccomp:unconfined', 'no-new-privileges:false'],
      ['no-new-privileges=false', 'seccomp=unconfined'],
    ],
    [
      ['apparmor=lab', 'label=type:x'],
      ['no-new-privileges=true', 'apparmor=lab', 'label=type:x'],
    ],
  ])('%j', (written, options) => {
    expect(entryOf({ security_opt: written }).spec.securityOpt).toEqual(options);
  });

  test('a seccomp profile is read from its file, as the engine takes it', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'seccomp-')), 'profile.json');
    writeFileSync(path, '{ "defaultAction": "SCMP_ACT_ERRNO" }\n');
    expect(entryOf({ security_opt: [`seccomp=${path}`] }).spec.securityOpt).toEqual([
      'no-new-privileges=true',
      'seccomp={"defaultAction":"SCMP_ACT_ERRNO"}',
    ]);
    writeFileSync(path, '{}');
    expect(complaint(withWords({ security_opt: [`seccomp=${path}`] }))).toContain('no defaultAction');
    writeFileSync(path, 'x');
    expect(complaint(withWords({ security_opt: [`seccomp=${path}`] }))).toContain('cannot be read as JSON');
    expect(complaint(withWords({ security_opt: [`seccomp=${path}.gone`] }))).toContain('does not exist');
  });

  test.each([
    'systempaths=unconfined',
    'no-new-privileges:maybe',
    'seccomp=profile.json',
    'seccomp={}',
    'x',
    'apparmor=',
  ])('%s is refused', (option) => {
    expect(complaint(withWords({ security_opt: [option] }))).toContain('security_opt[0]: expected');
  });
});

describe('a text that callers choose is never run by a shell', () => {
  test.each([
    [{ command: ['sh', '-c', 'serve {user_id}'] }],
    [{ command: ['/bin/bash', '-euxc', 'serve {user_id}'] }],
    [{ entrypoint: `sh -c "serve {user_id}"` }],
    [{ entrypoint: ['sh', '-c'], command: ['serve {user_id}'] }],
    [{ entrypoint: ['sh'], command: ['-c', 'serve {user_id}'] }],
    [{ command: ['env', 'A=b', 'sh', '-c', '{user_id}'] }],
  ])('%j is refused', (words) => {
    expect(complaint(withWords(words))).toContain('stands in a script that a shell would run');
  });

  test.each([
    [{ command: ['serve', '{user_id}'] }],
    [{ command: ['sh', '-c', 'serve "$1"', 'sh', '{user_id}'] }],
    [{ command: ['sh', '-c', 'serve {id}'] }],
    [{ command: ['sh', '-c', 'serve "$TEAM"'], environment: { TEAM: '{user_id}' } }],
  ])('%j is data', (words) => {
    expect(complaint(withWords(words))).toBe('');
  });
});

describe('volumes of different users never meet', () => {
  const two = (a: string, b: string) =>
    complaint(
      `container_images: ${JSON.stringify({
        one: { image: 'a', volumes: [`${a}:/data`] },
        two: { image: 'b', volumes: [`${b}:/data`] },
      })}`,
    );

  test.each([
    ['home-{user_id}', 'home-x-{user_id}'],
    ['home-{user_id}', 'home-shared'],
    ['home-{user_id}', 'home-{id}'],
    ['home-{user_id}', 'home-{image}-{user_id}'],
    ['home-{user_id}-a', 'home-{user_id}-b-a'],
  ])('%s and %s are refused together', (a, b) => {
    expect(two(a, b)).toContain('a user id can be chosen so that');
    expect(two(b, a)).toContain('a user id can be chosen so that');
  });

  test('a key of an entry counts as what it becomes', () => {
    expect(two('home-{image}-{user_id}', 'home-one-x{user_id}')).toContain('a user id can be chosen so that');
    expect(two('home-{image}-{user_id}', 'home-two-x{user_id}')).toBe('');
  });

  test.each([
    ['home-{user_id}', 'home-{user_id}'],
    ['home-{user_id}', 'cache-{user_id}'],
    ['home.{user_id}', 'home-x.{user_id}'],
    ['home-{user_id}', 'HOME-x'],
    ['home.{image}.{user_id}', 'home.{image}.{user_id}'],
    ['home-{user_id}-a', 'home-{user_id}-b'],
    ['shared', 'shared-{id}'],
  ])('%s and %s are fine together', (a, b) => {
    expect(two(a, b)).toBe('');
  });
});

test('an entry is loosened by name only', () => {
  const loose = load(
    withWords({
      mem_limit: 0,
      cpus: 0,
      pids_limit: -1,
      cap_add: ['SYS_ADMIN'],
      security_opt: ['no-new-privileges:false', 'seccomp=unconfined'],
      network_mode: 'lab',
      logging: { options: { 'max-size': '1g', 'max-file': 10 } },
    }),
  ).images.get('web')!.spec;
  expect(loose).toMatchObject({
    memLimitBytes: 0,
    cpus: 0,
    pidsLimit: -1,
    networkMode: 'lab',
    logMaxFiles: 10,
  });
  expect(loose.capabilities).toContain('SYS_ADMIN');
  expect(loose.securityOpt).toEqual(['no-new-privileges=false', 'seccomp=unconfined']);
});

import { mkdtempSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.ts';
import { ConfigurationError } from '../../../src/config/problems.ts';
import { proxyLimitSettings } from '../../../src/config/proxy-settings.ts';
import { settings as declarations } from '../../../src/config/settings.ts';
import { complaint, load, problems } from './support.ts';

const run = 'container_images: {web: nginx}\n';
/** Their defaults are those of the proxy; proxy-settings.test.ts compares them. */
const isProxyLimit = (name: string) => Object.hasOwn(proxyLimitSettings, name);

describe('where the configuration comes from', () => {
  test('every setting has its stated default where nobody says otherwise', () => {
    const { settings } = load(run);
    const cores = availableParallelism();
    const others = Object.entries(settings).filter(([name]) => !isProxyLimit(name));
    expect(Object.fromEntries(others)).toEqual({
      data_dir: settings.data_dir,
      domain: 'localhost',
      port_start: 9000,
      max_containers: 100,
      with_users: true,
      user_limit: 1,
      on_user_limit: 'reject',
      hex_size: 32,
      container_prefix: 'spawned__',
      docker_timeout: 3_600_000,
      max_lifetime: null,
      warn_before: 300_000,
      idle_timeout: 0,
      on_idle: 'remove',
      idle_ignores_websockets: false,
      warm_max_age: 86_400_000,
      max_parallel_starts: cores > 2 ? cores * 2 : 4,
      queue_length: 100,
      cleanup_timeout: 60_000,
      history_days: 30,
      instance: 'default',
      api_listen: { host: '127.0.0.1', port: 3000 },
      proxy_listen: { host: '0.0.0.0', port: 8080 },
      tls_listen: null,
      tls_certificates: [],
      http_redirect: false,
      trusted_proxies: [],
      webhooks: [],
      proxy_protocol_from: [],
      access_log: null,
      public_url: null,
      api_hosts: [],
      api_origins: [],
      api_tokens: [],
      api_rate_limit: 6000,
      api_open: false,
      log_level: 'info',
    });
  });

  test('the default of the reference page is the one that holds', () => {
    for (const [name, { written, value, type }] of Object.entries(declarations)) {
      if (written === null) continue;
      const { settings } = load(`${run}${name}: ${written}\n`);
      const held = Object.entries(settings).find(([key]) => key === name)?.[1];
      if (name !== 'data_dir') expect(held, `${name}, ${type.expected}`).toEqual(value);
    }
  });

  test('docker-spawner.yaml in the working directory is read where no file is named', () => {
    const read = load(`${run}domain: example.com\n`);
    expect(read.settings.domain).toBe('example.com');
    expect(read.source).toMatch(/^\/.*\/docker-spawner\.yaml$/);
  });

  test('without a file the environment is enough', () => {
    const read = load(null, { CONTAINER_IMAGES: '{"web": "nginx"}' });
    expect(read.source).toBeNull();
    expect([...read.images.keys()]).toEqual(['web']);
  });

  test('a named file is read instead, and must be there', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'config-'));
    writeFileSync(join(cwd, 'docker-spawner.yaml'), 'domain: unread.example\n');
    writeFileSync(join(cwd, 'other.yaml'), `${run}domain: read.example\n`);
    expect(loadConfiguration({ file: 'other.yaml', cwd, env: {} }).settings.domain).toBe('read.example');
    expect(() => loadConfiguration({ file: 'none.yaml', cwd, env: {} })).toThrow(
      'none.yaml: there is no such file',
    );
    expect(() => loadConfiguration({ file: '.', cwd, env: {} })).toThrow('.: this is a directory');
  });

  test('a file that is not UTF-8 is refused', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'config-'));
    writeFileSync(join(cwd, 'docker-spawner.yaml'), Buffer.from([0x64, 0xff, 0xfe]));
    expect(() => loadConfiguration({ file: null, cwd, env: {} })).toThrow('not UTF-8');
  });

  test('the environment wins over the file, and an empty variable counts as not set', () => {
    const yaml = `${run}domain: file.example\nhex_size: 20\n`;
    const { settings } = load(yaml, { DOMAIN: 'env.example', HEX_SIZE: '' });
    expect(settings.domain).toBe('env.example');
    expect(settings.hex_size).toBe(20);
  });

  test('container_images of the environment replaces that of the file', () => {
    expect([...load(run, { CONTAINER_IMAGES: '{"other": {"image": "httpd"}}' }).images.keys()]).toEqual([
      'other',
    ]);
  });

  test('lists in the environment are JSON or separated by commas', () => {
    for (const text of ['a.example, b.example', '["a.example","b.example"]']) {
      expect(load(run, { API_HOSTS: text }).settings.api_hosts).toEqual(['a.example', 'b.example']);
    }
  });

  test.each(['true', '1', 'yes', 'ON', 'True'])('%s in the environment is true', (text) => {
    expect(load(run, { API_OPEN: text }).settings.api_open).toBe(true);
  });

  test.each(['false', '0', 'No', 'off'])('%s in the environment is false', (text) => {
    expect(load(run, { WITH_USERS: text }).settings.with_users).toBe(false);
  });

  test('a key without a value counts as not set', () => {
    expect(load(`${run}domain:\n`).settings.domain).toBe('localhost');
  });

  test('a relative data_dir starts at the working directory', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'config-'));
    const read = loadConfiguration({
      file: null,
      cwd,
      env: { CONTAINER_IMAGES: '{"a":"b"}', DATA_DIR: 'x' },
    });
    expect(read.settings.data_dir).toBe(join(cwd, 'x'));
  });
});

describe('what is wrong is said with key, file, line and what was expected', () => {
  test('all at once, in the order of the file, then of the environment', () => {
    const yaml = [
      'domian: example.com',
      'port_start: lots',
      'container_images:',
      '  web:',
      '    image: nginx',
      '    mem_limit: lots',
      '  web: httpd',
    ].join('\n');
    expect(complaint(yaml, { HEX_SIZE: '8' }).split('\n')).toEqual([
      'docker-spawner.yaml:1: domian: there is no such setting; did you mean `domain`?',
      'docker-spawner.yaml:2: port_start: expected a whole number from 1 to 65535, got "lots"',
      'docker-spawner.yaml:6: container_images.web.mem_limit: ' +
        'expected a size such as 512m, at least 6m, or 0 for no limit, got "lots"',
      'docker-spawner.yaml:7: container_images.web: this key is there already, in line 4; remove one',
      'environment: HEX_SIZE: expected a whole number from 16 to 63, got "8"',
    ]);
  });

  test('as data too', () => {
    expect(problems(`${run}log_level: loud\n`)).toEqual([
      {
        key: 'log_level',
        file: 'docker-spawner.yaml',
        line: 2,
        message: 'expected trace, debug, info, warn, error, fatal or silent, got "loud"',
        expected: 'trace, debug, info, warn, error, fatal or silent',
      },
    ]);
  });

  test('the line is right wherever a wrong value stands', () => {
    const filler = fc.constantFrom(
      '',
      '# a comment',
      'domain: d.example',
      'x-a: &a [1, 2]',
      'x-b: |\n  two\n  lines',
    );
    fc.assert(
      fc.property(fc.uniqueArray(filler), fc.uniqueArray(filler), fc.boolean(), (above, below, crlf) => {
        const before = above.join('\n');
        const after = below.filter((line) => !above.includes(line)).join('\n');
        const newline = crlf ? '\r\n' : '\n';
        const text = `${before}\nhex_size: 8\n${after}\n${run}`.replaceAll('\n', newline);
        const found = problems(text);
        expect(found.map(({ key, line }) => ({ key, line }))).toEqual([
          { key: 'hex_size', line: before.split('\n').length + 1 },
        ]);
      }),
    );
  });

  test('a value that came through an anchor is shown where it was written', () => {
    const yaml = 'x-all: &all\n  cpus: lots\ncontainer_images:\n  web:\n    <<: *all\n    image: nginx\n';
    expect(problems(yaml).map(({ key, line }) => ({ key, line }))).toEqual([
      { key: 'container_images.web.cpus', line: 2 },
    ]);
  });

  test.each([
    ['a list without an end', 'a: [1', 'not valid YAML'],
    ['a second document', 'a: 1\n---\nb: 2\n', 'one YAML document'],
    ['a list', '- a list\n', 'expected lines such as `domain: example.com`, got a list'],
    ['a text', 'just text', 'expected lines such as'],
    ['a key that is a list', '? [a]\n: b\n', 'a key must be a plain text'],
    ['a tag', 'domain: !thing x\n', 'no such tag'],
    ['an alias of nothing', 'domain: *nowhere\n', 'no anchor above it'],
    ['an alias of itself', 'x-a: &a [*a]\n', 'stands inside of what it names'],
    ['a depth that exhausts the parser', `x-a: ${'['.repeat(30_000)}`, 'nested too deeply'],
    ['a depth that no configuration has', `x-a: ${'['.repeat(100)}${']'.repeat(100)}`, 'nested too deeply'],
    ['a file of more than 1 MiB', `x-a: ${'a'.repeat(1024 * 1024)}`, '1 MiB'],
    ['a merge of a number', '<<: 7\n', 'expected a map to merge, got 7'],
  ])('%s is refused', (_name, yaml, words) => {
    expect(complaint(yaml)).toContain(words);
  });

  test('the environment has JSON, without keys that are there twice', () => {
    expect(complaint(null, { CONTAINER_IMAGES: '{web: nginx}' })).toContain(
      'CONTAINER_IMAGES: expected JSON',
    );
    expect(complaint(null, { CONTAINER_IMAGES: '{"a":"x","b":{"image":"a"},"a":"y"}' })).toContain(
      'the key "a" is there twice',
    );
    expect(
      complaint(null, { CONTAINER_IMAGES: '{"a":{"image":"x","labels":{"a":"a\\": {"}},"b":"a"}' }),
    ).toBe('');
  });

  test('a wrong value does not bring complaints about what depends on it', () => {
    const yaml = `${run}api_listen: 0.0.0.0:3000\napi_tokens: [short]\n`;
    expect(problems(yaml).map(({ key }) => key)).toEqual(['api_tokens[0]']);
  });

  test('nothing to run is refused', () => {
    for (const yaml of [
      null,
      '',
      '# nothing\n',
      'domain: a.example\n',
      'container_images:\n',
      'container_images: {}',
    ]) {
      expect(complaint(yaml)).toContain('container_images: there is nothing to run');
    }
  });

  test('the error is one that a program can tell from others', () => {
    expect(() => load('')).toThrow(ConfigurationError);
  });
});

// A quadratic or exponential reading of these runs into the test's own timeout.
describe('hostile files', () => {
  test('aliases that expand to billions of values end at once', () => {
    const levels = Array.from({ length: 12 }, (_, i) => {
      const inner = i === 0 ? Array(10).fill('x') : Array(10).fill(`*l${i - 1}`);
      return `x-${i}: &l${i} [${inner.join(', ')}]`;
    });
    expect(complaint(`${levels.join('\n')}\n${run}`)).toContain('expand to too many values');
  });

  test('thousands of problems make a message that can be read', () => {
    const lines = Array.from({ length: 2000 }, (_, i) => `unknown_${i}:`);
    expect(problems(lines.join('\n'))).toHaveLength(2001);
    expect(complaint(lines.join('\n')).split('\n')).toHaveLength(101);
    expect(complaint(lines.join('\n'))).toContain('and 1901 more');
  });

  test('many keys cost no more than their number', () => {
    const lines = Array.from({ length: 50_000 }, (_, i) => `x-${i}:`);
    expect(complaint(`${lines.join('\n')}\n${run}`)).toBe('');
  });

  test('names that every object has are ordinary names', () => {
    const yaml = 'container_images: {__proto__: nginx, constructor: httpd, toString: caddy}\n';
    const { images } = load(yaml);
    expect([...images].map(([key, entry]) => [key, entry.key, entry.spec.image])).toEqual([
      ['__proto__', '__proto__', 'nginx'],
      ['constructor', 'constructor', 'httpd'],
      ['toString', 'toString', 'caddy'],
    ]);
    expect(complaint(`${run}__proto__: 1\nconstructor: 2\n`).split('\n')).toHaveLength(2);
    expect(
      complaint('container_images: {web: {image: a, __proto__: 1, toString: 2}}').split('\n'),
    ).toHaveLength(2);
    expect(load(null, { CONTAINER_IMAGES: '{"__proto__": "nginx"}' }).images.has('__proto__')).toBe(true);
  });
});

describe('secrets are in no message', () => {
  const secret = 'hunter2';
  test.each([
    ['a short token', `${run}api_tokens: [${secret}]`, {}],
    ['a token that is no list', `${run}api_tokens: ${secret}${secret}${secret}`, {}],
    ['a token that looks like an alias', `${run}api_tokens: [*${secret}]`, {}],
    ['a token that looks like a tag', `${run}api_tokens: [!${secret}]`, {}],
    ['a token after a slip in YAML', `${run}api_tokens: ["a" ${secret}]`, {}],
    ['tokens in the environment', run, { API_TOKENS: `${secret},${secret}` }],
    ['JSON with an error in it', null, { CONTAINER_IMAGES: `{"a": {"environment": {"P": ${secret}}}}` }],
    [
      'a variable with a placeholder that is none',
      `container_images: {a: {image: b, environment: {P: "${secret} {no}"}}}`,
      {},
    ],
    ['a variable that is a list', `container_images: {a: {image: b, environment: {P: [${secret}]}}}`, {}],
    ['variables that are one text', `container_images: {a: {image: b, environment: P=${secret}}}`, {}],
    [
      'a variable with a name that is none',
      `container_images: {a: {image: b, environment: ["=${secret}"]}}`,
      {},
    ],
    ['a variable without a sign', `container_images: {a: {image: b, environment: ["${secret}"]}}`, {}],
    ['a label with a NUL', `container_images: {a: {image: b, labels: {P: "${secret}\\0"}}}`, {}],
  ])('%s', (_name, yaml, env) => {
    const text = complaint(yaml, env);
    expect(text).not.toBe('');
    expect(text).not.toContain(secret);
  });
});

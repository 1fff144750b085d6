import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.ts';
import { ConfigurationError } from '../../../src/config/problems.ts';

/** Settings that name files of this machine are looked at in a directory that has some. */
const cwd = mkdtempSync(join(tmpdir(), 'config-files-'));
const at = (name: string) => join(cwd, name);

beforeAll(() => {
  makeCertificate('one', 'ec', 'ec_paramgen_curve:prime256v1');
  makeCertificate('two', 'ec', 'ec_paramgen_curve:prime256v1');
  makeCertificate('short', 'rsa', 'rsa_keygen_bits:1024');
  execFileSync('openssl', [
    'pkey',
    '-in',
    at('one.key'),
    '-aes256',
    '-passout',
    'pass:hunter2',
    '-out',
    at('locked.key'),
  ]);
  mkdirSync(at('directory'));
  writeFileSync(at('text'), 'hunter2\n');
});
afterAll(() => rmSync(cwd, { recursive: true }));

function makeCertificate(name: string, algorithm: string, option: string): void {
  const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.crt`)];
  const kind = ['-newkey', algorithm, '-pkeyopt', option, '-nodes', '-days', '2', '-subj', '/CN=a.test'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...files], { stdio: 'ignore' });
}

function load(lines: string, env: Record<string, string> = {}) {
  writeFileSync(at('docker-spawner.yaml'), `container_images: {web: nginx}\n${lines}\n`);
  return loadConfiguration({ file: null, cwd, env }).settings;
}

function complaint(lines: string): string {
  try {
    load(lines);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  }
  return '';
}

describe('certificates', () => {
  const tls = (certificate: string, key: string) =>
    `tls_listen: :8443\ntls_certificates: [{certificate: ${certificate}, key: ${key}}]`;

  test('are found from the working directory, or by an absolute path', () => {
    const files = { certFile: at('one.crt'), keyFile: at('one.key') };
    const read = load(tls('one.crt', at('one.key')));
    expect(read.tls_certificates).toEqual([files]);
    expect(read.tls_listen).toEqual({ host: '0.0.0.0', port: 8443 });
    const env = { TLS_LISTEN: ':8443', TLS_CERTIFICATES: '[{"certificate":"one.crt","key":"one.key"}]' };
    expect(load('', env).tls_certificates).toEqual([files]);
  });

  test.each([
    ['none.crt', 'one.key', 'there is no file /.*/none.crt'],
    ['one.crt', 'none.key', 'there is no file /.*/none.key'],
    ['directory', 'one.key', '/directory is a directory'],
    ['one.key', 'one.key', '/one.key is no certificate in PEM form'],
    ['text', 'one.key', '/text is no certificate in PEM form'],
    ['one.crt', 'text', '/text is no key in PEM form'],
    ['one.crt', 'one.crt', '/one.crt is no key in PEM form'],
    ['one.crt', 'two.key', '/two.key is not the key of /.*/one.crt'],
    ['one.crt', 'locked.key', '/locked.key is locked with a passphrase'],
    ['short.crt', 'short.key', '/short.crt cannot be used for https'],
  ])('%s with %s are refused', (certificate, key, words) => {
    const text = complaint(tls(certificate, key));
    expect(text).toMatch(/^docker-spawner\.yaml:3: tls_certificates\[0\]: /);
    expect(text).toMatch(new RegExp(words));
    expect(text).not.toContain('hunter2');
  });

  test.each([
    ['tls_certificates: [one.crt]', 'a map {certificate: FILE, key: FILE}'],
    ['tls_certificates: [{certificate: one.crt}]', 'both of `certificate` and `key`'],
    ['tls_certificates: [{certificate: one.crt, key: one.key, name: a}]', 'and nothing else'],
    ['tls_certificates: [{certificate: one.crt, key: [one.key]}]', 'a file in PEM form'],
    ['tls_certificates: {certificate: one.crt, key: one.key}', 'a list'],
  ])('%s is refused', (line, words) => {
    expect(complaint(`tls_listen: :8443\n${line}`)).toContain(words);
  });

  test.each([
    ['tls_listen: :8443', 'tls_listen: https needs a certificate'],
    [tls('one.crt', 'one.key').split('\n')[1]!, 'tls_certificates: nothing listens for https'],
    ['http_redirect: true', 'http_redirect: nothing listens for https'],
    [
      `${tls('one.crt', 'one.key')}\nhttp_redirect: true\npublic_url: "http://{id}.a.test"`,
      'begins with http:',
    ],
    [tls('one.crt', 'one.key').replace('8443', '8080'), 'tls_listen: port 8080 is taken by proxy_listen'],
    [
      tls('one.crt', 'one.key').replace(':8443', '127.0.0.1:3000'),
      'tls_listen: port 3000 is taken by api_listen',
    ],
    [
      tls('one.crt', 'one.key').replace('8443', '9000'),
      'tls_listen: port 9000 is one of the ports for containers',
    ],
  ])('%s do not go together', (lines, words) => {
    const text = complaint(lines);
    expect(text).toContain(words);
    expect(text.split('\n')).toHaveLength(1);
  });

  test('that are wrong bring no complaint that there are none', () => {
    expect(complaint(tls('none.crt', 'none.key')).split('\n')).toHaveLength(1);
  });

  test('and a redirection to them are fine together', () => {
    expect(load(`${tls('one.crt', 'one.key')}\nhttp_redirect: true`).http_redirect).toBe(true);
  });
});

describe('the access log', () => {
  test.each([
    ['access.log', at('access.log')],
    [at('text'), at('text')],
    ['directory/../access.log', at('access.log')],
    ['stdout', '-'],
    ['"-"', '-'],
    ['./stdout', at('stdout')],
  ])('%s', (written, path) => {
    expect(load(`access_log: ${written}`).access_log).toBe(path);
  });

  test.each([
    ['none/access.log', 'there is no directory /.*/none; make it first'],
    ['directory', '/directory is a directory; name a file'],
    ['directory/', 'a file, or stdout, got "directory/"'],
    ['text/access.log', '/text is no directory'],
    ['""', 'a file, or stdout'],
    ['[a]', 'a file, or stdout, got a list'],
  ])('%s is refused', (written, words) => {
    const text = complaint(`access_log: ${written}`);
    expect(text).toMatch(/^docker-spawner\.yaml:2: access_log: /);
    expect(text).toMatch(new RegExp(words));
  });
});

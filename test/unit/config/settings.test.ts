import { describe, expect, test } from 'vitest';
import { publicUrlOf, redirectPortOf, type Settings } from '../../../src/config/settings.ts';
import { complaint, load, withSetting } from './support.ts';

const day = 86_400_000;
const token = 'a'.repeat(16);

describe('a setting is read', () => {
  const table: readonly [keyof Settings, unknown, unknown][] = [
    ['domain', 'Example.COM.', 'example.com'],
    ['domain', 'xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['port_start', 1024, 1024],
    ['max_containers', 1, 1],
    ['with_users', false, false],
    ['user_limit', 3, 3],
    ['on_user_limit', 'replace', 'replace'],
    ['hex_size', 63, 63],
    ['container_prefix', 'lab_', 'lab_'],
    ['docker_timeout', 90, 90_000],
    ['docker_timeout', '90', 90_000],
    ['docker_timeout', 1.5, 1500],
    ['docker_timeout', '90s', 90_000],
    ['docker_timeout', '30m', 1_800_000],
    ['docker_timeout', '8h', 28_800_000],
    ['docker_timeout', '2d', 2 * day],
    ['docker_timeout', '1h30m', 5_400_000],
    ['docker_timeout', '1500ms', 1500],
    ['docker_timeout', '1s500ms', 1500],
    ['cleanup_timeout', '5m', 300_000],
    ['max_lifetime', '1d', day],
    ['warn_before', '10m', 600_000],
    ['warn_before', 0, 0],
    ['idle_timeout', '15m', 900_000],
    ['idle_timeout', 0, 0],
    ['on_idle', 'pause', 'pause'],
    ['idle_ignores_websockets', true, true],
    ['warm_max_age', '1h', 3_600_000],
    ['max_parallel_starts', 1, 1],
    ['queue_length', 5, 5],
    ['history_days', 365, 365],
    ['hold_timeout', '5s', 5000],
    [
      'trusted_proxies',
      ['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8'],
      ['10.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8'],
    ],
    ['proxy_protocol_from', ['0.0.0.0/0'], ['0.0.0.0/0']],
    ['instance', 'staging-2', 'staging-2'],
    ['api_listen', '[::1]:3001', { host: '::1', port: 3001 }],
    ['api_listen', 'localhost:0', { host: 'localhost', port: 0 }],
    ['proxy_listen', ':80', { host: '0.0.0.0', port: 80 }],
    ['proxy_listen', '[::]:80', { host: '::', port: 80 }],
    ['public_url', 'https://{id}.Example.com/', 'https://{id}.example.com'],
    ['public_url', 'http://{id}.example.com:8443', 'http://{id}.example.com:8443'],
    ['public_url', 'https://{id}.example.com:443', 'https://{id}.example.com'],
    ['api_hosts', ['API.example.com', '10.0.0.1', '[::1]'], ['api.example.com', '10.0.0.1', '::1']],
    [
      'api_origins',
      ['https://Shop.example.com', 'http://localhost:3000/'],
      ['https://shop.example.com', 'http://localhost:3000'],
    ],
    ['api_tokens', [token, `${token}==`], [token, `${token}==`]],
    ['log_level', 'silent', 'silent'],
  ];
  test.each(table)('%s: %j', (name, written, read) => {
    expect(load(withSetting(name, written)).settings[name]).toEqual(read);
  });
});

describe('a value that cannot be is refused, and the message says what can', () => {
  const table: readonly [keyof Settings, unknown, string][] = [
    ['domain', '10.0.0.1', 'not an IP address'],
    ['domain', '::1', 'a DNS name'],
    ['domain', '1.2.3', 'a DNS name'],
    ['domain', 'a..b', 'a DNS name'],
    ['domain', 'a b', 'a DNS name'],
    ['domain', 'a_b.example', 'a DNS name'],
    ['domain', 'https://example.com', 'a DNS name'],
    ['domain', 'example.com:80', 'a DNS name'],
    ['domain', '*.example.com', 'a DNS name'],
    ['domain', [...Array(3).fill('a'.repeat(63)), 'com'].join('.'), 'a DNS name'],
    ['domain', ['a'], 'got a list'],
    ['port_start', 0, 'from 1 to 65535, got 0'],
    ['port_start', 65_536, 'from 1 to 65535'],
    ['port_start', 1.5, 'a whole number'],
    ['port_start', '9000', 'a whole number from 1 to 65535, got "9000"'],
    ['max_containers', -1, 'a whole number'],
    ['with_users', 'yes', 'true or false, got "yes"'],
    ['with_users', 1, 'true or false, got 1'],
    ['user_limit', 0, 'from 1'],
    ['on_user_limit', 'refuse', 'reject, reuse or replace'],
    ['hex_size', 15, '16 to 63'],
    ['hex_size', 64, '16 to 63'],
    ['container_prefix', '-x', 'a letter or digit'],
    ['container_prefix', 'a/b', 'letters, digits'],
    ['container_prefix', '', 'a letter or digit'],
    ['docker_timeout', 0, 'at least 1s'],
    ['docker_timeout', -5, 'a duration'],
    ['docker_timeout', 'forever', 'a duration'],
    ['docker_timeout', '5m5m', 'a duration'],
    ['docker_timeout', '30m1h', 'a duration'],
    ['docker_timeout', '1h 30m', 'a duration'],
    ['docker_timeout', '99999999d', 'a duration'],
    ['docker_timeout', true, 'a duration'],
    ['max_lifetime', 0, 'at least 1s'],
    ['warn_before', '10ms', 'at least 1s, or 0 for no warning'],
    ['idle_timeout', -1, 'a duration'],
    ['on_idle', 'sleep', 'remove, stop or pause'],
    ['max_parallel_starts', 0, 'from 1'],
    ['queue_length', 0, 'from 1'],
    ['history_days', 0, 'from 1'],
    ['history_days', '30d', 'a whole number'],
    ['trusted_proxies', ['proxy.example'], 'an IP address or a range'],
    ['trusted_proxies', ['10.0.0.0/33'], 'an IP address or a range'],
    ['trusted_proxies', ['10.0.0.0/'], 'an IP address or a range'],
    ['trusted_proxies', ['10.0.0.0/8/8'], 'an IP address or a range'],
    ['trusted_proxies', ['::/129'], 'an IP address or a range'],
    ['trusted_proxies', ['fe80::1%eth0'], 'an IP address or a range'],
    ['trusted_proxies', '10.0.0.1', 'a list'],
    ['proxy_protocol_from', ['10.0.0.1:80'], 'an IP address or a range'],
    ['tls_listen', '8443', 'an address'],
    ['http_redirect', 'on', 'true or false'],
    ['data_dir', '', 'a directory'],
    ['instance', 'a b', 'a name'],
    ['api_listen', '3000', 'an address'],
    ['api_listen', 3000, 'an address'],
    ['api_listen', '127.0.0.1:65536', 'an address'],
    ['api_listen', '::1:3000', 'an address'],
    ['api_listen', '[127.0.0.1]:3000', 'an address'],
    ['api_listen', '256.0.0.1:3000', 'an address'],
    ['api_listen', 'http://localhost:3000', 'an address'],
    ['public_url', 'https://example.com', '{id}'],
    ['public_url', 'https://x.{id}.example.com', '{id}'],
    ['public_url', 'https://{id}.example.com/path', 'without a path'],
    ['public_url', 'https://{id}.example.com?x', 'a URL'],
    ['public_url', 'ftp://{id}.example.com', 'a URL'],
    ['public_url', 'https://{id}.{user_id}.example.com', 'a URL'],
    ['public_url', 'https://u@{id}.example.com', 'a URL'],
    ['api_hosts', 'a.example', 'a list'],
    ['api_hosts', ['a.example:80'], 'without port'],
    ['api_origins', ['*'], 'an origin'],
    ['api_origins', ['null'], 'an origin'],
    ['api_origins', ['https://*.example.com'], 'an origin'],
    ['api_origins', ['https://a.example/path'], 'an origin'],
    ['api_origins', ['a.example'], 'an origin'],
    ['api_tokens', ['short'], 'at least 16'],
    ['api_tokens', [`${token} ${token}`], 'letters, digits'],
    ['log_level', 'verbose', 'trace, debug'],
  ];
  test.each(table)('%s: %j', (name, written, words) => {
    const text = complaint(withSetting(name, written));
    expect(text).toMatch(new RegExp(`^docker-spawner\\.yaml:2: ${name}(\\[0\\])?: `));
    expect(text).toContain(words);
  });

  test('proxy_config, by name, since it is not there yet', () => {
    expect(complaint(withSetting('proxy_config', '/etc/x'))).toContain('proxy_config: not supported yet');
  });
});

describe('settings that do not go together are refused', () => {
  test.each([
    ['port_start: 65500', 'max_containers: 100 ports from 65500 on end at 65599'],
    ['port_start: 65000\nmax_containers: 537', 'lower it to 536'],
    ['api_listen: 127.0.0.1:9000', 'api_listen: port 9000 is one of the ports for containers'],
    [
      'proxy_listen: 0.0.0.0:9099',
      'proxy_listen: port 9099 is one of the ports for containers, 9000 to 9099',
    ],
    ['proxy_listen: 127.0.0.1:3000', 'proxy_listen: port 3000 is taken by api_listen'],
    ['proxy_listen: :3000', 'proxy_listen: port 3000 is taken by api_listen'],
    [
      'hex_size: 16\ndomain: d.example\napi_hosts: [0123456789abcdef.d.example]',
      'is the name of a container',
    ],
  ])('%j', (lines, words) => {
    expect(complaint(`container_images: {web: nginx}\n${lines}\n`)).toContain(words);
  });

  test.each([
    'port_start: 65436',
    'api_listen: 127.0.0.1:8999',
    'proxy_listen: 0.0.0.0:9100',
    'api_listen: 127.0.0.1:0\nproxy_listen: 127.0.0.1:0',
    'api_listen: 127.0.0.1:3000\nproxy_listen: 127.0.0.2:3000',
    'domain: d.example\napi_hosts: [api.d.example]',
  ])('but not %j', (lines) => {
    expect(complaint(`container_images: {web: nginx}\n${lines}\n`)).toBe('');
  });

  test.each(['0.0.0.0:3000', ':3000', '[::]:3000', '192.168.1.1:3000', 'host.example:3000'])(
    'an API on %s without tokens, and the message says both ways out',
    (address) => {
      const text = complaint(withSetting('api_listen', address));
      expect(text).toContain('set api_tokens, or set api_open: true');
      expect(complaint(`${withSetting('api_listen', address)}api_open: true\n`)).toBe('');
      expect(complaint(withSetting('api_listen', address), { API_TOKENS: token })).toBe('');
    },
  );

  test.each(['127.0.0.1:3000', '127.9.9.9:3000', '[::ffff:127.0.0.1]:3000', '[::1]:3000', 'localhost:3000'])(
    'an API on %s needs no token',
    (address) => {
      expect(complaint(withSetting('api_listen', address))).toBe('');
    },
  );
});

describe('the URL of a container', () => {
  const from = {
    domain: 'example.com',
    proxy_listen: { host: '0.0.0.0', port: 8080 },
    tls_listen: null,
    public_url: null,
  };
  test('is made from the domain and the port of the proxy', () => {
    expect(publicUrlOf(from)).toBe('http://{id}.example.com:8080');
    expect(publicUrlOf(from, 41_000)).toBe('http://{id}.example.com:41000');
    expect(publicUrlOf(from, 80)).toBe('http://{id}.example.com');
  });
  test('is what public_url says', () => {
    expect(publicUrlOf({ ...from, public_url: 'https://{id}.example.com' })).toBe('https://{id}.example.com');
  });
  test('is https, with that port, where there is a listener for it', () => {
    const tls = { ...from, tls_listen: { host: '0.0.0.0', port: 443 } };
    expect(publicUrlOf(tls)).toBe('https://{id}.example.com');
    expect(publicUrlOf(tls, 8080, 8443)).toBe('https://{id}.example.com:8443');
    expect(publicUrlOf({ ...tls, public_url: 'https://{id}.a.test:444' })).toBe('https://{id}.a.test:444');
  });
});

describe('the port of https that visitors are sent to', () => {
  const from = {
    domain: 'example.com',
    proxy_listen: { host: '0.0.0.0', port: 80 },
    tls_listen: { host: '0.0.0.0', port: 8443 },
    public_url: null,
    http_redirect: true,
  };
  test('is that of the listener, or of public_url where a router lies between', () => {
    expect(redirectPortOf(from)).toBe(8443);
    expect(redirectPortOf(from, 41_000)).toBe(41_000);
    expect(redirectPortOf({ ...from, public_url: 'https://{id}.example.com' })).toBe(443);
    expect(redirectPortOf({ ...from, public_url: 'https://{id}.example.com:444' })).toBe(444);
  });
  test('is none where they are not sent on', () => {
    expect(redirectPortOf({ ...from, http_redirect: false })).toBeNull();
    expect(redirectPortOf({ ...from, tls_listen: null })).toBeNull();
  });
});

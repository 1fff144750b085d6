import { describe, expect, test } from 'vitest';
import { checkHost, checkOrigin } from '../../../src/api/guards.ts';

describe('the host check', () => {
  const check = (host: string | readonly string[], options: Record<string, unknown> = {}) =>
    checkHost(
      {
        target: '/spawn',
        hosts: typeof host === 'string' ? [host] : host,
        localAddress: '192.0.2.7',
        localPort: 3000,
        ...options,
      },
      { listenHost: 'Machine', apiHosts: ['api.example.com', 'Other.example.com:8443', '[2001:db8::1]'] },
    )?.status ?? null;

  test.each([
    'localhost:3000',
    'LOCALHOST:3000',
    'localhost',
    '127.0.0.1:3000',
    '127.0.0.1',
    '[::1]:3000',
    '[::1]',
    'machine:3000',
    '192.0.2.7:3000',
    'api.example.com',
    'API.example.COM',
    'api.example.com:8443',
    'other.example.com:8443',
    '[2001:db8::1]:443',
  ])('answers for %s', (host) => {
    expect(check(host)).toBeNull();
  });

  test.each([
    'evil.example',
    'localhost:3001',
    '127.0.0.1:80',
    '127.0.0.2:3000',
    '192.0.2.8:3000',
    'localhost.:3000',
    'localhost.evil.example',
    'evil.example#localhost',
    'user@localhost:3000',
    'a.api.example.com',
    'other.example.com',
    'other.example.com:443',
    'localhost:',
    'localhost:3000:3000',
    'localhost:0x0bb8',
    'localhost, localhost',
    '2130706433:3000',
    '',
    ' ',
    '0123456789abcdef.localhost:3000',
  ])('refuses %j with 421', (host) => {
    expect(check(host)).toBe(421);
  });

  test('refuses a request without Host, or with two, with 400', () => {
    expect(check([])).toBe(400);
    expect(check(['localhost:3000', 'localhost:3000'])).toBe(400);
  });

  test.each(['http://localhost:3000/spawn', 'localhost:3000', '*', ''])('refuses the target %j', (target) => {
    expect(check('localhost:3000', { target })).toBe(421);
  });

  test('takes an IPv4 address on a dual-stack listener for what it is', () => {
    expect(check('192.0.2.9:3000', { localAddress: '::ffff:192.0.2.9' })).toBeNull();
    expect(check('[fe80::1]:3000', { localAddress: 'fe80::1' })).toBeNull();
  });

  test('on a Unix socket answers for names without a port', () => {
    const unix = { localAddress: undefined, localPort: undefined };
    expect(check('localhost', unix)).toBeNull();
    expect(check('localhost:3000', unix)).toBe(421);
  });
});

describe('the origin check', () => {
  const check = (origin?: string, secFetchSite?: string, host = 'localhost:3000') => {
    const decision = checkOrigin({ origin, secFetchSite, host }, [
      'https://site.example',
      'HTTPS://Upper.example:443/',
      'null',
      'not an origin',
    ]);
    return decision.allowed ? (decision.corsOrigin ?? 'yes') : decision.error.status;
  };

  test('lets programs pass, which send neither field', () => {
    expect(check()).toBe('yes');
  });

  test('lets a person pass who typed the address', () => {
    expect(check(undefined, 'none')).toBe('yes');
  });

  test("lets the API's own pages pass, behind TLS too", () => {
    expect(check('http://localhost:3000', 'same-origin')).toBe('yes');
    expect(check('http://localhost:3000', undefined, 'LocalHost:3000')).toBe('yes');
    expect(check('https://api.example.com', 'same-origin', 'api.example.com')).toBe('yes');
    expect(check(undefined, 'same-origin')).toBe('yes');
  });

  test('lets pages of api_origins pass, with that origin for CORS', () => {
    expect(check('https://site.example', 'cross-site')).toBe('https://site.example');
    expect(check('https://upper.example', 'same-site')).toBe('https://upper.example');
    expect(check('https://site.example')).toBe('https://site.example');
  });

  test.each([
    ['a page of a container', 'http://0123456789abcdef.localhost:8080', 'same-site'],
    ['a page of a container in an old browser', 'http://0123456789abcdef.localhost:8080', undefined],
    ['a GET of a page of a container', undefined, 'same-site'],
    ['an image in a foreign page', undefined, 'cross-site'],
    ['a form of a foreign page', 'https://evil.example', 'cross-site'],
    ['a sandboxed frame', 'null', 'cross-site'],
    ['a sandboxed frame in an old browser', 'null', undefined],
    ['another port of the same host', 'http://localhost:8080', 'same-site'],
    ['the own origin over the other scheme', 'https://localhost:3000', 'cross-site'],
    ['an origin that begins like an allowed one', 'https://site.example.evil.example', 'cross-site'],
    ['an allowed host over another scheme', 'http://site.example', 'cross-site'],
    ['an allowed host on another port', 'https://site.example:8443', 'cross-site'],
    ['a foreign origin that claims to be typed', 'https://evil.example', 'none'],
    ['several origins', 'http://localhost:3000, https://evil.example', undefined],
    ['an empty origin', '', undefined],
    ['an unknown site', undefined, 'something-new'],
    ['an empty site', undefined, ''],
    ['two sites', undefined, 'none,same-site'],
    ['text that is no origin but is configured', 'not an origin', undefined],
  ])('refuses %s', (_, origin, site) => {
    expect(check(origin, site)).toBe(403);
  });
});

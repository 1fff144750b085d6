import { expect, test } from 'vitest';
import { proxyLimitSettings, proxyLimitsOf } from '../../../src/config/proxy-settings.ts';
import { defaultLimits, type Limits, limitTable } from '../../../src/proxy/limits.ts';
import { complaint, load } from './support.ts';

const run = 'container_images: {web: nginx}\n';
type Name = keyof typeof proxyLimitSettings;
const names = Object.keys(proxyLimitSettings) as Name[];

/** The one limit of the proxy that a setting becomes. */
function limitOf(name: Name): keyof Limits {
  const settings = Object.fromEntries(names.map((each) => [each, each === name ? 1 : 0])) as Record<
    Name,
    number
  >;
  const set = Object.entries(proxyLimitsOf(settings)).filter(([, value]) => value === 1);
  expect(set).toHaveLength(1);
  return set[0]![0] as keyof Limits;
}

test('the proxy gets its own defaults where nobody sets a limit', () => {
  const limits: Limits = proxyLimitsOf(load(run).settings);
  expect(limits).toEqual(defaultLimits);
});

test.each(names)('%s says of its limit what the proxy says', (name) => {
  const limit = limitTable[limitOf(name)];
  const { description, type } = proxyLimitSettings[name];
  expect(description).toBe(limit.description);
  expect(type.expected).toContain({ bytes: 'a size', count: 'a whole number', ms: 'a duration' }[limit.unit]);
  expect(name).toMatch(
    { bytes: /_size$/, count: /s$|_count$|_address$|_container$/, ms: /_timeout$/ }[limit.unit],
  );
});

test.each(names)(
  '%s takes 0 exactly where its description says what 0 means, or it counts spares',
  (name) => {
    const takesZero = complaint(`${run}${name}: 0\n`) === '';
    expect(takesZero).toBe(
      /\b0: /.test(proxyLimitSettings[name].description) || name.includes('idle_upstream'),
    );
  },
);

test('limits are read in the units of people', () => {
  const { settings } = load(
    `${run}proxy_head_size: 64k\nproxy_body_size: 2g\nproxy_connect_timeout: 500ms\n`,
  );
  expect(proxyLimitsOf(settings)).toEqual({
    ...defaultLimits,
    headBytes: 65_536,
    bodyBytes: 2 * 1024 ** 3,
    connectMs: 500,
  });
});

test.each([
  ['proxy_head_size: 32g', 'at least 1k, at most 16m'],
  ['proxy_field_count: 1', 'from 10'],
  ['proxy_connect_timeout: 1ms', 'at least 250ms, at most 1d'],
  ['proxy_tunnel_idle_timeout: -1', 'or 0 for no limit'],
  ['hold_timeout: forever', 'a duration'],
])('%s is refused', (line, words) => {
  expect(complaint(`${run}${line}\n`)).toContain(words);
});

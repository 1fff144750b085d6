import { expect, test } from 'vitest';
import { eventKinds } from '../../../src/core/events.ts';
import { complaint, load, withSetting } from './support.ts';

const secret = 'a-secret-of-32-characters-or-so!';
const target = { url: 'https://hooks.example.com/in?token=precious', secret, events: ['ready', 'gone'] };

test('webhooks are read with the kinds of events that they are told of', () => {
  const { settings } = load(withSetting('webhooks', [target, { url: 'http://10.0.0.7:8080/', secret }]));
  expect(settings.webhooks).toEqual([target, { url: 'http://10.0.0.7:8080/', secret, events: null }]);
});

test('there are none unless somebody names one', () => {
  expect(load('container_images: {web: nginx}\n').settings.webhooks).toEqual([]);
});

test('the environment has them as JSON', () => {
  const env = { WEBHOOKS: JSON.stringify([target]) };
  expect(load('container_images: {web: nginx}\n', env).settings.webhooks).toEqual([target]);
});

test('every kind of event that is kept can be named', () => {
  for (const kind of Object.keys(eventKinds)) {
    const found = complaint(withSetting('webhooks', [{ ...target, events: [kind] }]));
    if (kind === 'pulling') expect(found).toContain('webhooks[0].events[0]');
    else expect(found).toBe('');
  }
});

test.each([
  ['no list', target, 'webhooks: expected a list'],
  ['an item that is only a URL', [target.url], 'webhooks[0]: expected a map {url: URL'],
  ['a missing secret', [{ url: target.url }], 'webhooks[0]: `secret` is missing'],
  ['a missing URL', [{ secret }], 'webhooks[0]: `url` is missing'],
  ['a short secret', [{ ...target, secret: 'short' }], 'webhooks[0].secret: expected at least 16'],
  ['a secret with a space', [{ ...target, secret: `${secret} ` }], 'webhooks[0].secret: expected'],
  ['another scheme', [{ ...target, url: 'ftp://example.com/precious' }], 'webhooks[0].url: expected a URL'],
  ['a URL with a password', [{ ...target, url: 'https://me:precious@example.com/' }], 'webhooks[0].url'],
  ['what is no URL', [{ ...target, url: 'precious' }], 'webhooks[0].url: expected a URL'],
  ['an unknown kind', [{ ...target, events: ['redy'] }], 'webhooks[0].events[0]: expected one of queued,'],
  ['no kind at all', [{ ...target, events: [] }], 'webhooks[0].events: expected at least one kind'],
  ['a misspelt word', [{ ...target, sekret: 1 }], 'webhooks[0].sekret: there is no such word'],
  ['the same URL twice', [target, { ...target, events: ['queued'] }], 'webhooks[1]: this URL is the one'],
])('%s is refused, and no address and no secret is quoted', (_what, value, message) => {
  const found = complaint(withSetting('webhooks', value));
  expect(found).toContain(message);
  expect(found).not.toContain('precious');
  expect(found).not.toContain(secret);
});

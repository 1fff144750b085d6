import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { eventKinds } from '../../../src/core/events.ts';
import { messageOf } from '../../../src/webhooks/message.ts';
import { signatureOf } from '../../../src/webhooks/signature.ts';

const page = readFileSync(new URL('../../../docs/webhooks.md', import.meta.url), 'utf8');
const example = (language: string) => new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(page)![1]!;

const secret = 'a secret with an ü in it';
const body = '{"user":"Zoë"}';
const nowMs = 1_893_553_445_678;
const genuine = signatureOf(secret, body, nowMs);

/** What each must say of a body, a header field and a time. */
const cases: readonly (readonly [string, string, string, number, boolean])[] = [
  ['a genuine message', body, genuine, nowMs, true],
  ['one that took four minutes', body, genuine, nowMs + 240_000, true],
  ['one that took six minutes', body, genuine, nowMs + 360_000, false],
  ['one from the future', body, genuine, nowMs - 360_000, false],
  ['another body', `${body} `, genuine, nowMs, false],
  ['another secret', body, signatureOf('other', body, nowMs), nowMs, false],
  ['another time', body, genuine.replace(/^t=\d+/, 't=1893553446'), nowMs, false],
  ['a short signature', body, genuine.slice(0, -2), nowMs, false],
  ['no signature', body, 't=1893553445', nowMs, false],
];

const python = spawnSync('python3', ['--version']).status === 0;
const withPython = python ? '' : ' (skipped: this machine has no python3)';

describe('the page tells receivers', () => {
  test.each(cases)('in JavaScript how to judge %s', async (_what, text, header, atMs, verdict) => {
    const { isGenuine } = await import(`data:text/javascript,${encodeURIComponent(example('js'))}`);
    expect(isGenuine(secret, Buffer.from(text), header, atMs)).toBe(verdict);
  });

  test.skipIf(!python)(`in Python the same${withPython}`, () => {
    const calls = cases.map(([, text, header, atMs]) => [text, header, atMs / 1000]);
    const program = `${example('python')}
import json, sys
print(json.dumps([is_genuine(${JSON.stringify(secret)}, text.encode(), header, now) for text, header, now in json.load(sys.stdin)]))`;
    const answer = execFileSync('python3', ['-c', program], {
      input: JSON.stringify(calls),
      encoding: 'utf8',
    });
    expect(JSON.parse(answer)).toEqual(cases.map(([, , , , verdict]) => verdict));
  });

  test('every kind of event that is delivered', () => {
    const rows = [...page.matchAll(/^\| `(\w+)` \| (.*) \|$/gm)].map(([, name, meaning]) => [name, meaning]);
    for (const [kind, meaning] of Object.entries(eventKinds)) {
      if (kind === 'pulling') continue;
      const row = rows.find(([name]) => name === kind);
      expect(row?.[1], kind).toContain(meaning);
    }
  });

  test('the form of a message', () => {
    const shown = JSON.parse(example('json'));
    const { id, type, at, instance, container, data } = shown;
    const event = {
      id,
      kind: type,
      atMs: Date.parse(at),
      containerId: container.id,
      imageKey: container.image,
      user: container.user,
      data,
    };
    const urlOf = (containerId: string) => `https://${containerId}.example.com`;
    expect(JSON.parse(messageOf(event, { instance, urlOf }))).toEqual(shown);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entryWords } from '../../../src/config/entry-words.ts';
import { settings } from '../../../src/config/settings.ts';
import { problems, withSetting, withWords } from './support.ts';

/** Values near to what the words take, and far from it. */
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    '/',
    ':',
    '::',
    '=',
    '{id}',
    '{user_id}',
    '{{',
    '-1',
    '1h',
    '{}',
    [],
    {},
    [[]],
    [{}],
    0,
    -1,
  ),
  fc.array(fc.stringMatching(/^[a-z/:={}._-]{0,12}$/), { maxLength: 3 }),
  fc.dictionary(
    fc.constantFrom('type', 'source', 'target', 'soft', 'hard', 'path', 'status', '__proto__'),
    fc.jsonValue(),
  ),
);

describe('whatever is written, it is taken or refused with a key and a sentence', () => {
  test('as a setting', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(settings)), value, (name, written) => {
        expectSentences(problems(withSetting(name, written)));
      }),
      { numRuns: 500 },
    );
  });

  test('as a word of an image entry', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(entryWords)), value, (word, written) => {
        expectSentences(problems(withWords({ [word]: written })));
      }),
      { numRuns: 1000 },
    );
  });

  test('as a variable of the environment', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(settings)),
        fc.oneof(fc.string(), fc.json()),
        (name, text) => {
          expectSentences(problems('container_images: {web: nginx}', { [name.toUpperCase()]: text }));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('as a file', () => {
    const line = fc.stringMatching(/^[ ]{0,4}[a-z&*<>!?|{}[\]:,'"#%@`-]{0,10}$/);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
        const found = problems(lines.join('\n'));
        expect(found.length).toBeGreaterThan(0);
        for (const problem of found) expect(problem.message).not.toBe('');
      }),
      { numRuns: 500 },
    );
  });
});

function expectSentences(found: ReturnType<typeof problems>): void {
  for (const problem of found) {
    expect(problem.key).not.toBe('');
    expect(problem.message.length).toBeGreaterThan(10);
    // What is quoted was made up by chance.
    expect(problem.message.replaceAll(/"[^"]*"/g, '')).not.toMatch(/undefined|NaN|\[object/);
  }
}

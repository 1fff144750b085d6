import { describe, expect, test } from 'vitest';
import { randomRequests, randomResponse } from '../../../fuzz/messages.ts';
import { type Finding, nodeAgrees, sameHoweverCut } from '../../../fuzz/opinions.ts';
import { Random } from '../../../fuzz/random.ts';

/** The short form of `npm run fuzz`: the same inputs each time, without other proxies. */
const inputs = 3000;

function shown(finding: Finding | null): string | null {
  return finding && `${finding.what}: ${JSON.stringify(finding.input.toString('latin1'))}\n${finding.detail}`;
}

describe.each([
  ['request', (random: Random) => randomRequests(random, 'fuzz.test')],
  ['response', randomResponse],
] as const)('a random %s', (side, make) => {
  test('reads the same however it is cut', () => {
    const random = new Random(20);
    for (let i = 0; i < inputs; i++) {
      const input = Buffer.from(make(random), 'latin1');
      expect(shown(sameHoweverCut(input, side, random))).toBeNull();
    }
  });

  test('that we accept means the same to Node', async () => {
    const random = new Random(21);
    let accepted = 0;
    for (let i = 0; i < inputs; i++) {
      const input = Buffer.from(make(random), 'latin1');
      const { kind, finding } = await nodeAgrees(input, side, random.pick(['GET', 'HEAD', 'POST']));
      expect(shown(finding)).toBeNull();
      if (kind === `${side}: accepted by both`) accepted++;
    }
    // A generator whose messages are all refused would prove nothing.
    expect(accepted).toBeGreaterThan(inputs / 10);
  });
});

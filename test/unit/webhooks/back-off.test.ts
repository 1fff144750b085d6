import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultBackOff, pauseAfter } from '../../../src/webhooks/back-off.ts';

const first = { attempts: 1, ageMs: 0, retryAfterMs: null };

describe('the pause after a failed attempt', () => {
  test('doubles from one second up to a quarter of an hour', () => {
    const pauses = [1, 2, 3, 10, 11, 100].map((attempts) =>
      pauseAfter(defaultBackOff, { ...first, attempts }, 1),
    );
    expect(pauses).toEqual([1000, 2000, 4000, 512_000, 900_000, 900_000]);
  });

  test('is spread over its second half', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempts, random) => {
          const full = pauseAfter(defaultBackOff, { ...first, attempts }, 1)!;
          const pause = pauseAfter(defaultBackOff, { ...first, attempts }, random)!;
          expect(pause).toBeGreaterThanOrEqual(full / 2);
          expect(pause).toBeLessThanOrEqual(full);
        },
      ),
    );
  });

  test('is at least what the receiver asks for, but not for ever', () => {
    const asked = (retryAfterMs: number) => pauseAfter(defaultBackOff, { ...first, retryAfterMs }, 1);
    expect(asked(500)).toBe(1000);
    expect(asked(60_000)).toBe(60_000);
    expect(asked(10 ** 12)).toBe(defaultBackOff.longestMs);
  });

  test('does not come where the event is a day old and was tried eight times', () => {
    const day = defaultBackOff.giveUpAfterMs;
    const pause = (attempts: number, ageMs: number) =>
      pauseAfter(defaultBackOff, { ...first, attempts, ageMs }, 1);
    expect(pause(8, day)).toBeNull();
    expect(pause(7, 10 * day)).not.toBeNull();
    expect(pause(1000, day - 1)).not.toBeNull();
  });
});

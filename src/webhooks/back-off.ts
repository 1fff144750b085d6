/** How long deliveries are tried, and how often. */
export interface BackOff {
  /** The pause after the first failure; it doubles with each further one. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** An event is given up when it is this old, and was tried so often. */
  readonly giveUpAfterMs: number;
  readonly leastAttempts: number;
}

export const defaultBackOff: BackOff = {
  firstMs: 1000,
  longestMs: 15 * 60_000,
  giveUpAfterMs: 24 * 3_600_000,
  // What waits behind a failing event is old when its own turn comes: it gets a fair trial too.
  leastAttempts: 8,
};

/**
 * What follows the failed attempt number `attempts` at an event of `ageMs`: the pause until the next one, or
 * null where it is given up. `random` is from 0 to 1: the pause is spread over its second half, so that what
 * failed together is not tried together. `retryAfterMs`: what the receiver asked for; it may be longer than the
 * pause, but not than the longest one.
 */
export function pauseAfter(
  backOff: BackOff,
  failure: { readonly attempts: number; readonly ageMs: number; readonly retryAfterMs: number | null },
  random: number,
): number | null {
  const { firstMs, longestMs, giveUpAfterMs, leastAttempts } = backOff;
  const { attempts, ageMs, retryAfterMs } = failure;
  if (attempts >= leastAttempts && ageMs >= giveUpAfterMs) return null;
  const fullMs = Math.min(firstMs * 2 ** (attempts - 1), longestMs);
  return Math.max(fullMs * (0.5 + random / 2), Math.min(retryAfterMs ?? 0, longestMs));
}

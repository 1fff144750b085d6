import type { Clock } from './clock.ts';

/** How often each caller may call. */
export interface RateLimit {
  /** Counts one call; null where it may go on, else in how many seconds the next one may. */
  take(key: string): number | null;
  /** Another limit, after a reload; 0: none. */
  set(perMinute: number): void;
}

/**
 * A bucket for each caller, filled evenly, that holds a minute's calls: bursts pass, and what goes on for longer
 * is held to the limit.
 */
export function createRateLimit(clock: Pick<Clock, 'monoMs'>, perMinute: number): RateLimit {
  const buckets = new Map<string, { left: number; atMonoMs: number }>();
  let limit = perMinute;
  return {
    take(key) {
      if (limit === 0) return null;
      const now = clock.monoMs();
      const bucket = buckets.get(key) ?? { left: limit, atMonoMs: now };
      const left = Math.min(limit, bucket.left + ((now - bucket.atMonoMs) * limit) / 60_000);
      const passes = left >= 1;
      buckets.set(key, { left: passes ? left - 1 : left, atMonoMs: now });
      return passes ? null : Math.max(1, Math.ceil(((1 - left) * 60) / limit));
    },
    set(next) {
      limit = next;
      buckets.clear();
    },
  };
}

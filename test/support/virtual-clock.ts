import type { Clock } from '../../src/core/clock.ts';

/** A clock that stands still until a test moves it. */
export interface VirtualClock extends Clock {
  /** Moves both clocks on, and fires what falls due, in its order. */
  advance(byMs: number): void;
  /** Lets the wall clock jump. */
  jump(byMs: number): void;
}

export function createVirtualClock(startMs = Date.parse('2030-01-02T03:04:05Z')): VirtualClock {
  let monoMs = 1000;
  let wallAheadMs = startMs - monoMs;
  const timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();

  function after(delayMs: number, fire: () => void): () => void {
    const timer = { atMs: monoMs + Math.max(delayMs, 0), fire };
    timers.add(timer);
    return () => void timers.delete(timer);
  }

  return {
    wallMs: () => monoMs + wallAheadMs,
    monoMs: () => monoMs,
    after,
    timeout(limitMs) {
      const controller = new AbortController();
      after(limitMs, () => controller.abort(new DOMException('The time is over', 'TimeoutError')));
      return controller.signal;
    },
    advance(byMs) {
      const untilMs = monoMs + byMs;
      for (;;) {
        const due = [...timers].filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
        if (!due) break;
        timers.delete(due);
        monoMs = Math.max(monoMs, due.atMs);
        due.fire();
      }
      monoMs = untilMs;
    },
    jump(byMs) {
      wallAheadMs += byMs;
    },
  };
}

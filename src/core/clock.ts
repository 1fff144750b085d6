import { untraced } from './trace.ts';

/** The two clocks and the timers of the core: a parameter, so that tests can move time. */
export interface Clock {
  /** Milliseconds since 1970, as people read it. It may jump. */
  wallMs(): number;
  /** Milliseconds since some start; it never jumps. Deadlines live on it (rule 8). */
  monoMs(): number;
  /** Calls `fire` once after `delayMs` (any length); the returned function cancels it. */
  after(delayMs: number, fire: () => void): () => void;
  /** A signal that fires after `limitMs`, with a `TimeoutError` as its reason; nothing need be done to drop it. */
  timeout(limitMs: number): AbortSignal;
}

/** The longest delay that Node's timers take; a longer one would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monoMs: () => performance.now(),
  after(delayMs, fire) {
    const due = performance.now() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = () => {
      const leftMs = due - performance.now();
      // Node's timers may fire up to a millisecond early on this clock.
      if (leftMs <= 0) fire();
      else timer = setTimeout(arm, Math.min(Math.max(leftMs, 1), maxTimerMs));
    };
    // One timer serves many: what it fires belongs to no request. Whoever awaits it keeps their own all the same.
    untraced(() => {
      timer = setTimeout(arm, Math.min(Math.max(delayMs, 0), maxTimerMs));
    });
    return () => clearTimeout(timer);
  },
  timeout: (limitMs) => AbortSignal.timeout(limitMs),
};

/** Resolves after `delayMs`, or at once when the signal fires. */
export function delay(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(delayMs, end);
    signal.addEventListener('abort', end, { once: true });
  });
}

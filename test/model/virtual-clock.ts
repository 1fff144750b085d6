import type { Clock } from '../../src/core/clock.ts';

/** Time that moves only when a test moves it, for both clocks of the core. */
export interface VirtualClock {
  /** Milliseconds since the beginning, whatever the wall clock says. */
  readonly nowMs: number;
  readonly wallMs: number;
  /** Sets the wall clock forward, or back. */
  jumpWall(byMs: number): void;
  /** Calls `fire` once at that time; the returned function cancels it. */
  after(delayMs: number, fire: () => void): () => void;
  /**
   * The clock of one process: its monotonic clock begins now, and `stop` silences its timers for ever, as the end
   * of a process does.
   */
  ofProcess(): Clock & { stop(): void };
  /** Lets `byMs` pass, timer by timer; whatever a timer has set off has settled before the next one fires. */
  advance(byMs: number): Promise<void>;
}

/** `afterEach` is called whenever everything that happened at one time has settled. */
export function createVirtualClock(afterEach: () => void = () => {}): VirtualClock {
  const timers: Timer[] = [];
  let nowMs = 0;
  let wallOffsetMs = Date.UTC(2030, 0, 1);
  let count = 0;

  function after(delayMs: number, fire: () => void): () => void {
    const timer: Timer = { atMs: nowMs + Math.max(delayMs, 0), order: count++, fire };
    timers.splice(indexFor(timers, timer), 0, timer);
    return () => {
      const index = timers.indexOf(timer);
      if (index >= 0) timers.splice(index, 1);
    };
  }

  return {
    get nowMs() {
      return nowMs;
    },
    get wallMs() {
      return nowMs + wallOffsetMs;
    },
    jumpWall(byMs) {
      wallOffsetMs += byMs;
    },
    after,
    ofProcess() {
      const startedMs = nowMs;
      let runs = true;
      const whileRuns = (fire: () => void) => () => {
        if (runs) fire();
      };
      return {
        wallMs: () => nowMs + wallOffsetMs,
        monoMs: () => nowMs - startedMs,
        after: (delayMs, fire) => after(delayMs, whileRuns(fire)),
        timeout(limitMs) {
          const controller = new AbortController();
          const timedOut = () => controller.abort(new DOMException('The time is over', 'TimeoutError'));
          after(limitMs, whileRuns(timedOut));
          return controller.signal;
        },
        stop() {
          runs = false;
        },
      };
    },
    async advance(byMs) {
      const endMs = nowMs + byMs;
      await settled();
      afterEach();
      while (timers.length > 0 && timers[0]!.atMs <= endMs) {
        nowMs = timers[0]!.atMs;
        while (timers.length > 0 && timers[0]!.atMs <= nowMs) {
          timers.shift()!.fire();
          await settled();
        }
        afterEach();
      }
      nowMs = endMs;
    },
  };
}

interface Timer {
  readonly atMs: number;
  /** Of two at the same time the older one fires first. */
  readonly order: number;
  readonly fire: () => void;
}

function indexFor(timers: readonly Timer[], { atMs }: Timer): number {
  let [low, high] = [0, timers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timers[middle]!.atMs <= atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** An immediate comes after all microtasks, however many they beget; nothing else is waited for in the model. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

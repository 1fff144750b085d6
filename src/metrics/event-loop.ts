import type { Instruments } from './registry.ts';

/** How often the event loop is asked. A block that is shorter than this may fall between two questions. */
const everyMs = 20;

/** Watches the delay of the event loop; the returned function ends it. */
export function watchEventLoop({ eventLoopDelay }: Pick<Instruments, 'eventLoopDelay'>): () => void {
  let askedMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    eventLoopDelay.observe(Math.max(0, nowMs - askedMs - everyMs) / 1000);
    askedMs = nowMs;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

import { type Clock, delay } from './clock.ts';
import type { Upstream } from './container.ts';
import type { ReadySpec } from './image-entry.ts';
import type { Reach } from './reach.ts';

/**
 * Asks the container's web server until it answers as the entry wants; resolves with true then, with false
 * when the entry's time is over, and rejects with the signal's reason when it fires.
 */
export async function untilReady(
  target: { readonly upstream: Upstream; readonly host: string; readonly ready: ReadySpec },
  deps: { readonly clock: Clock; readonly reach: Reach },
  signal: AbortSignal,
): Promise<boolean> {
  const { upstream, host, ready } = target;
  const startedMs = deps.clock.monoMs();
  for (;;) {
    const elapsedMs = deps.clock.monoMs() - startedMs;
    if (elapsedMs >= ready.timeoutMs) return false;
    const status = await attempt(Math.min(ready.timeoutMs - elapsedMs, attemptMs));
    signal.throwIfAborted();
    if (status !== null && accepts(ready, status)) return true;
    await delay(deps.clock, pauseMs(elapsedMs), signal);
    signal.throwIfAborted();
  }

  async function attempt(limitMs: number): Promise<number | null> {
    const limit = new AbortController();
    const cancel = deps.clock.after(limitMs, () => limit.abort());
    try {
      return await deps.reach.httpStatus(upstream, host, ready.path, AbortSignal.any([limit.signal, signal]));
    } finally {
      cancel();
    }
  }
}

/** A server that accepts and then says nothing is asked anew after this long. */
const attemptMs = 5000;

/**
 * Most web servers answer within half a second of their start, so asking is frequent at first: what it costs
 * is a connection on loopback, and what it saves is half a pause of every spawn.
 */
function pauseMs(elapsedMs: number): number {
  if (elapsedMs < 500) return 5;
  if (elapsedMs < 3000) return 25;
  if (elapsedMs < 15_000) return 100;
  return 250;
}

function accepts(ready: ReadySpec, status: number): boolean {
  return ready.statuses.some((range) => status >= range.from && status <= range.to);
}

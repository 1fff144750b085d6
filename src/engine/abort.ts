import { setTimeout as delay } from 'node:timers/promises';
import { EngineError } from '../core/engine.ts';

/**
 * What a call that its signal ended fails with: `unreachable` where the signal was a deadline (the engine did
 * not answer in time), else `aborted`.
 */
export function abortError(signal: AbortSignal): EngineError {
  const deadline = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
  return deadline
    ? new EngineError('unreachable', 'The engine did not answer in time', { cause: signal.reason })
    : new EngineError('aborted', 'The call to the engine was aborted', { cause: signal.reason });
}

/** Settles as `work` does, but no later than the signal: then it rejects with `abortError`. */
export function untilAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(abortError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Waits between two questions; rejects with `abortError` when the signal fires. */
export async function pauseFor(pauseMs: number, signal: AbortSignal): Promise<void> {
  await delay(pauseMs, undefined, { signal }).catch(() => {
    throw abortError(signal);
  });
}

import type { Container } from './container.ts';

/** A container that is being started, claimed or woken: who waits for it, and how to call it off. */
export interface Start {
  readonly signal: AbortSignal;
  /** Calls the start off; its waiters get `reason`. */
  abort(reason: Error): void;
  /** Settles as the start does: with the ready container, or with why there is none. */
  readonly done: Promise<Container>;
  /**
   * Resolves when the call that creates or wakes the container has ended, however it did: before that, a list
   * that does not have the container proves nothing.
   */
  readonly created: Promise<void>;
}

export interface Starts {
  /** Runs `work`; `markCreated` is to be called when the creating, or waking, call has ended. */
  begin(id: string, work: (signal: AbortSignal, markCreated: () => void) => Promise<Container>): Start;
  get(id: string): Start | undefined;
}

export function createStarts(): Starts {
  const running = new Map<string, Start>();
  return {
    begin(id, work) {
      const controller = new AbortController();
      const created = Promise.withResolvers<void>();
      const done = work(controller.signal, created.resolve).finally(() => {
        created.resolve();
        running.delete(id);
      });
      // The waiters handle it; where all of them went away, nobody does.
      done.catch(() => {});
      const start: Start = {
        signal: controller.signal,
        abort: (reason) => controller.abort(reason),
        done,
        created: created.promise,
      };
      running.set(id, start);
      return start;
    },
    get: (id) => running.get(id),
  };
}

/** Settles as `work` does, but no later than the signal: then it rejects with its reason. */
export function untilAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

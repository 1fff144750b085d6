import { AsyncLocalStorage } from 'node:async_hooks';
import type { Log } from './log.ts';

const requestIds = new AsyncLocalStorage<string | undefined>();

/** Runs `work`; all that it begins, and awaits, belongs to the request with this id. */
export function traced<T>(requestId: string, work: () => T): T {
  return requestIds.run(requestId, work);
}

/** Runs `work` outside of any request: for what is begun by one and goes on for all, such as a shared timer. */
export function untraced<T>(work: () => T): T {
  return requestIds.run(undefined, work);
}

/** The id of the request that this code works for; null where it works for none. */
export function currentRequestId(): string | null {
  return requestIds.getStore() ?? null;
}

/** A log that adds `requestId` to every line that is written for a request. */
export function tracedLog(log: Log): Log {
  const withId = (fields: object) => {
    const requestId = requestIds.getStore();
    return requestId === undefined ? fields : { requestId, ...fields };
  };
  return {
    debug: (fields, message) => log.debug(withId(fields), message),
    info: (fields, message) => log.info(withId(fields), message),
    warn: (fields, message) => log.warn(withId(fields), message),
    error: (fields, message) => log.error(withId(fields), message),
  };
}

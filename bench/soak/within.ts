import { setTimeout as delay } from 'node:timers/promises';

/** How long anything may take that nobody holds up. */
const patienceMs = 15_000;

/** Gives what is waited for. Throws, with its name, where it takes too long. */
export async function within<T>(what: Promise<T>, name: string): Promise<T> {
  const timer = new AbortController();
  const late = delay(patienceMs, null, { signal: timer.signal }).then(() => {
    throw new Error(`waited too long for ${name}`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([what, late]);
  } finally {
    timer.abort();
  }
}

import type { SpawnerEvent } from '../../core/events.ts';
import type { Views } from '../../core/views.ts';

/** The events that a listener gets. */
export interface EventSelection {
  readonly views: Pick<Views, 'events' | 'newestEvent' | 'onEvent'>;
  readonly wants: (event: SpawnerEvent) => boolean;
  /** The last one that the listener has; null: it wants only what comes. */
  readonly afterId: number | null;
  /** What is written for an event. */
  readonly format: (event: SpawnerEvent) => string;
  readonly heartbeatMs: number;
  readonly signal: AbortSignal;
  /** When the stream is over: with the event `gone`, or with what is kept now. */
  readonly until: 'never' | 'gone' | 'now';
}

/** How far back a listener that comes again can catch up. */
export const replayedEvents = 10_000;

/** How many events wait for a slow listener before it is dropped; it can come back with the last id it has. */
const waitingEvents = 10_000;

/** How many are read at once: reading and writing a page takes about a millisecond. */
const pageSize = 250;

/**
 * Writes the events after `afterId` that are kept, then every new one, in order and each once, until the signal
 * fires or `until`. Rejects where the listener is too slow.
 */
export async function streamEvents(
  write: (text: string) => Promise<void>,
  { views, wants, afterId, format, heartbeatMs, signal, until }: EventSelection,
): Promise<void> {
  const waiting: SpawnerEvent[] = [];
  const tooSlow = Promise.withResolvers<never>();
  tooSlow.promise.catch(() => {});
  let wake = () => {};
  const unsubscribe = views.onEvent((event) => {
    if (!wants(event)) return;
    if (waiting.push(event) > waitingEvents) {
      unsubscribe();
      tooSlow.reject(new Error('the listener reads slower than events come'));
    }
    wake();
  });
  /** Not held up by a listener that does not read at all. */
  const send = (text: string) => Promise.race([write(text), tooSlow.promise]);
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  const heartbeat = setInterval(() => wake(), heartbeatMs);
  try {
    // At once, so that the listener knows that it is connected.
    await send(': connected\n\n');
    const newest = views.newestEvent();
    let last = newest;
    if (afterId !== null) {
      last = Math.max(Math.min(afterId, newest), newest - replayedEvents);
      for (let more = true; more && !signal.aborted; ) {
        const page = views.events(last, pageSize);
        more = page.length === pageSize;
        last = page.at(-1)?.id ?? last;
        for (const event of page) {
          if (!wants(event)) continue;
          await send(format(event));
          if (until === 'gone' && event.kind === 'gone') return;
        }
        // Others get their turn between two pages.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    while (!signal.aborted && until !== 'now') {
      const event = waiting.shift();
      if (!event) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        if (waiting.length === 0 && !signal.aborted) await send(': still here\n\n');
      } else if (event.id === null || event.id > last) {
        await send(format(event));
        if (until === 'gone' && event.kind === 'gone') return;
      }
    }
  } finally {
    clearInterval(heartbeat);
    signal.removeEventListener('abort', onAbort);
    unsubscribe();
  }
}

/** One event of a stream (WHATWG HTML, section 9.2.6). JSON has no line breaks, so it is one `data` line. */
export function sseEvent(data: unknown, id: number | null = null): string {
  return `${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

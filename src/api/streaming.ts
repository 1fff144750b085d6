import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/** How long the head of an answer waits for its first text, or for the error that is answered instead. */
const headAfterMs = 250;

/**
 * Sends what `produce` writes, as it comes; `write` resolves when the client can take more, and rejects when it has
 * gone. Rejects with the error of `produce` where nothing was sent yet; later ones break the connection off, since
 * that is all that can still be told.
 */
export async function sendStream(
  reply: FastifyReply,
  contentType: string,
  produce: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const { raw } = reply;
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    reply.hijack();
    // nginx would keep the text until it has a buffer full of it.
    const headers = { ...reply.getHeaders(), 'content-type': contentType, 'x-accel-buffering': 'no' };
    raw.writeHead(reply.statusCode, headers as Record<string, string>);
    raw.flushHeaders();
  };
  const timer = setTimeout(begin, headAfterMs);
  const write = async (text: string) => {
    begin();
    if (raw.destroyed) throw new Error('the client has gone');
    if (!raw.write(text)) await drained(raw);
  };
  try {
    await produce(write);
    begin();
    raw.end();
  } catch (error) {
    if (!begun) throw error;
    raw.destroy();
  } finally {
    clearTimeout(timer);
  }
}

async function drained(raw: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const ends = [once(raw, 'drain', { signal }), once(raw, 'close', { signal })];
  try {
    await Promise.race(ends);
  } finally {
    over.abort();
    for (const end of ends) end.catch(() => {});
  }
  if (raw.destroyed) throw new Error('the client has gone');
}

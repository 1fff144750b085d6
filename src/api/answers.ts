import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { type ErrorCode, ledgerFailed, SpawnerError } from '../core/errors.ts';

/** The fields of every answer: nothing here is to be kept, guessed at, or embedded in a page of a container. */
export const commonHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  vary: 'Origin',
} as const;

/** Sends a text as one line, without a line break at its end. */
export function sendText(reply: FastifyReply, status: number, text: string): void {
  sendBody(reply, status, 'text/plain; charset=utf-8', oneLine(text));
}

/** Sends a short text, in such a way that it is read where it comes before the end of the request, too. */
export function sendBody(reply: FastifyReply, status: number, contentType: string, text: string): void {
  reply.code(status).header('content-type', contentType);
  const request = reply.request.raw;
  if (!mayHaveMoreBody(request) || request.method === 'HEAD') {
    reply.send(text);
    return;
  }
  reply.header('connection', 'close').header('content-length', Buffer.byteLength(text));
  reply.send(Readable.from(textThenLinger(text, request)));
}

/** The plain text answer of section 3 for an error. */
export function sendError(reply: FastifyReply, error: SpawnerError): void {
  if (error.retryAfterS !== null) reply.header('retry-after', Math.ceil(error.retryAfterS));
  sendText(reply, error.status, error.message);
}

/**
 * A thrown value as an error of the table; null where it is none that a caller can be told of. What Fastify
 * and Node throw while they read a body is the caller's doing.
 */
export function asSpawnerError(thrown: unknown, request: IncomingMessage): SpawnerError | null {
  if (thrown instanceof SpawnerError) return thrown;
  if (thrown instanceof Error && thrown.name === 'LedgerError') return ledgerFailed(thrown);
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  // With the whole request here, a broken connection was somebody else's.
  if (code === 'ECONNRESET' && request.complete) return null;
  const known = readingErrors.get(code);
  return known ? new SpawnerError(known.code, known.message, { cause: thrown }) : null;
}

/** Line breaks and other control characters become blanks: a text quotes what others wrote. */
export function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
}

const readingErrors: ReadonlyMap<string, { readonly code: ErrorCode; readonly message: string }> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', { code: 'body_too_large', message: 'The body is larger than 64 KiB' }],
  ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', { code: 'body_invalid', message: 'The body is not of its length' }],
  [
    'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    { code: 'unsupported_media_type', message: 'The Content-Type cannot be read' },
  ],
  ['ECONNRESET', { code: 'body_invalid', message: 'The body ended early' }],
]);

function mayHaveMoreBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return !request.complete && ((length !== undefined && length !== '0') || encoding !== undefined);
}

const lingerMs = 5_000;
const lingerBytes = 8 * 1024 * 1024;

/**
 * An answer that comes before the end of the body would be lost if the connection were closed at once: what
 * the client still sends then makes the kernel answer with a reset, which throws away what the client has not
 * yet read (RFC 9112, section 9.6). So the answer goes out, and the end is held back until the client has
 * finished or gone, for a bounded time and amount.
 */
async function* textThenLinger(text: string, request: IncomingMessage): AsyncGenerator<string> {
  yield text;
  await new Promise<void>((resolve) => {
    let leftBytes = lingerBytes;
    const timer = setTimeout(resolve, lingerMs);
    const finish = () => {
      clearTimeout(timer);
      resolve();
    };
    request.on('data', (chunk: Buffer) => {
      leftBytes -= chunk.length;
      if (leftBytes <= 0) finish();
    });
    request.once('end', finish).once('error', finish).once('close', finish);
    if (request.destroyed || request.readableEnded) finish();
    else request.resume();
  });
}

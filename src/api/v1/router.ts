import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../../core/tokens.ts';
import { traced } from '../../core/trace.ts';
import { checkIdempotencyKey } from '../fields.ts';
import { routerPath } from '../routes.ts';
import { sendStream } from '../streaming.ts';
import type { Operation, V1Call, V1Parts } from './operation.ts';
import { requestReader } from './validation.ts';

export interface V1RouterOptions {
  readonly operations: readonly Operation[];
  readonly parts: V1Parts;
  /** Who makes the call; it was let in. */
  readonly callerOf: (request: FastifyRequest) => Caller;
  /** Fires when the service is about to end. */
  readonly closing: AbortSignal;
}

/** Answers the operations on this server, which has its guards and its way with errors. */
export function registerOperations(server: FastifyInstance, options: V1RouterOptions): void {
  server.removeAllContentTypeParsers();
  const json = ['application/json', 'application/merge-patch+json'];
  // As bytes: validation.ts decodes strictly, and checks.
  server.addContentTypeParser(json, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  for (const operation of options.operations) {
    const read = requestReader(operation);
    server.route({
      method: operation.method,
      url: routerPath(operation.path),
      handler: (request, reply) =>
        traced(request.id, () => answer(operation, callOf(request, reply, read, options), reply, options)),
    });
  }
}

function callOf(
  request: FastifyRequest,
  reply: FastifyReply,
  read: ReturnType<typeof requestReader>,
  { callerOf, closing }: V1RouterOptions,
): V1Call<unknown, unknown, unknown> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const { params, headers, raw } = request;
  const body = request.body as Buffer | undefined;
  const parts = read({ target: raw.url ?? '', params, body, contentEncoding: headers['content-encoding'] });
  const lastEventId = headers['last-event-id'];
  return {
    ...parts,
    caller: callerOf(request),
    idempotencyKey: checkIdempotencyKey(headers['idempotency-key']),
    lastEventId: lastEventId === undefined ? null : String(lastEventId),
    signal: AbortSignal.any([gone.signal, closing]),
  };
}

async function answer(
  operation: Operation,
  call: V1Call<unknown, unknown, unknown>,
  reply: FastifyReply,
  { parts }: V1RouterOptions,
): Promise<FastifyReply> {
  const { status, body, location, stream } = await operation.handle(call, parts);
  if (location !== undefined) reply.header('location', location);
  reply.code(status);
  if (stream) {
    const isText = operation.answers[200]?.contentType === 'text/plain';
    await sendStream(reply, isText ? 'text/plain; charset=utf-8' : 'text/event-stream', stream);
    return reply;
  }
  if (body === undefined) return reply.send();
  return reply.header('content-type', 'application/json').send(JSON.stringify(body));
}

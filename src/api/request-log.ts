import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../core/log.ts';

/** One line for each request, written when its answer has gone out or its client has gone away. */
export function createRequestLog(log: Log) {
  const errorCodes = new WeakMap<object, string>();
  return {
    begin(request: FastifyRequest, reply: FastifyReply): void {
      const startedMs = performance.now();
      reply.raw.once('close', () => {
        const code = errorCodes.get(request.raw);
        const fields = {
          requestId: request.id,
          method: request.method,
          path: pathOf(request).slice(0, loggedPathLength),
          status: reply.raw.headersSent ? reply.raw.statusCode : null,
          ms: Math.round(performance.now() - startedMs),
          ...(code === undefined ? {} : { code }),
          ...(reply.raw.writableFinished ? {} : { clientLeft: true }),
        };
        if (reply.raw.statusCode >= 500) log.warn(fields, 'request');
        else log.info(fields, 'request');
      });
    },
    /** The code of the error that is answered. */
    note(request: FastifyRequest, code: string): void {
      errorCodes.set(request.raw, code);
    },
  };
}

const loggedPathLength = 200;

export function targetOf(request: FastifyRequest): string {
  return request.raw.url ?? '';
}

/** Never the query: it may hold a user id. */
export function pathOf(request: FastifyRequest): string {
  return targetOf(request).split('?', 1)[0]!;
}

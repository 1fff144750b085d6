import type { FastifyReply, FastifyRequest } from 'fastify';

/** Lets a page of `api_origins` read the answer, and send what the calls take. */
export function allowOrigin(reply: FastifyReply, origin: string): void {
  reply.header('access-control-allow-origin', origin);
  reply.header('access-control-expose-headers', 'Location, Retry-After, X-Request-Id');
}

export function isPreflight(request: FastifyRequest): boolean {
  return request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
}

export function sendPreflight(reply: FastifyReply): void {
  reply.headers({
    'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
    'access-control-allow-headers': 'Authorization, Content-Type, Idempotency-Key, Last-Event-ID',
    'access-control-max-age': '600',
  });
  reply.code(204).send();
}

import type { FastifyReply } from 'fastify';
import { type ErrorCode, errorTable, type SpawnerError } from '../core/errors.ts';
import { oneLine, sendBody } from './answers.ts';
import type { ProblemAnswer } from './v1/basic-schemas.ts';

/** The name of a kind of problem. A URN: it identifies, and says the same on every installation. */
export function problemType(code: ErrorCode): string {
  return `urn:docker-spawner:problem:${code}`;
}

/** The status of a code in the API's own calls: there an address names the container, so that it is not found. */
export function problemStatus(code: ErrorCode): number {
  return code === 'unknown_container' ? 404 : errorTable[code].status;
}

/** An error in the form of RFC 9457. */
export function problemOf(error: SpawnerError, requestId: string): ProblemAnswer {
  const { code, retryAfterS } = error;
  return {
    type: problemType(code),
    title: errorTable[code].title,
    status: problemStatus(code),
    code,
    detail: oneLine(error.message),
    request_id: requestId,
    ...(retryAfterS === null ? {} : { retry_after: Math.ceil(retryAfterS) }),
  };
}

export function sendProblem(reply: FastifyReply, error: SpawnerError): void {
  const problem = problemOf(error, reply.request.id);
  if (problem.retry_after !== undefined) reply.header('retry-after', problem.retry_after);
  sendBody(reply, problem.status, 'application/problem+json', JSON.stringify(problem));
}

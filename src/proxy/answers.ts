import { STATUS_CODES } from 'node:http';
import { contentSecurityPolicy, page, waitingBody, waitingPolicy } from './pages.ts';
import type { Refusal } from './refusal.ts';
import type { RequestHead } from './request-head.ts';
import { statusPath } from './target.ts';
import type { UpstreamFault } from './upstream-connection.ts';
import type { Route } from './waist.ts';

/** A response that the proxy makes itself. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** Further field lines, each with its CR LF. */
  readonly fields: string;
  /** Whether the connection can go on: it cannot where the request was not understood to its end. */
  readonly keepAlive: boolean;
}

/** The head of an answer. */
export function answerHead(answer: Answer, goesOn: boolean, oldClient: boolean): string {
  let out = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\nDate: ${new Date().toUTCString()}\r\n`;
  out += `Content-Type: ${answer.type}\r\nContent-Length: ${Buffer.byteLength(answer.body)}\r\n`;
  out += `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n${answer.fields}`;
  if (!goesOn) out += 'Connection: close\r\n';
  else if (oldClient) out += 'Connection: keep-alive\r\n';
  return `${out}\r\n`;
}

/** Counts an answer that the proxy makes itself. */
export function countAnswer(ownAnswers: Map<number, number>, { status }: Answer): void {
  ownAnswers.set(status, (ownAnswers.get(status) ?? 0) + 1);
}

/** A whole answer after which the connection is closed. */
export function answerText(answer: Answer): string {
  return answerHead(answer, false, false) + answer.body;
}

export function tooManyClients(): Answer {
  return failure(503, 'Too many connections', 'Try again in a moment.', '', { fields: 'Retry-After: 5\r\n' });
}

export function refusalAnswer(refusal: Refusal, accept: string): Answer {
  const fields = refusal.status === 405 ? 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n' : '';
  return failure(refusal.status, 'The request was refused', refusal.detail, accept, {
    fields,
    keepAlive: false,
  });
}

export function timeoutAnswer(): Answer {
  return failure(408, 'The request took too long', 'Its head did not arrive in time.', '', {
    keepAlive: false,
  });
}

export function noContainer(request: RequestHead): Answer {
  return failure(
    404,
    'No container here',
    'There is no container at this address. It may have been stopped, or its time is over.',
    request.accept,
  );
}

export function containerGone(request: RequestHead): Answer {
  return failure(502, 'The container is gone', 'It was stopped while it answered.', request.accept);
}

export function containerBusy(request: RequestHead): Answer {
  return failure(
    503,
    'Too many connections',
    'The container has as many connections as are allowed. Try again in a moment.',
    request.accept,
    { fields: 'Retry-After: 1\r\n' },
  );
}

export function notWoken(request: RequestHead, message: string, retryAfterS: number): Answer {
  return failure(503, 'The container is not available yet', message, request.accept, {
    fields: `Retry-After: ${Math.max(1, Math.ceil(retryAfterS))}\r\n`,
  });
}

export function upstreamAnswer(fault: UpstreamFault, request: RequestHead): Answer {
  const { status, title, detail } = faults[fault];
  return failure(status, title, detail, request.accept);
}

const faults = {
  unreachable: {
    status: 502,
    title: 'The container does not answer',
    detail: 'Its web server takes no connections. It may just be starting; try again in a moment.',
  },
  closed: {
    status: 502,
    title: 'The container broke off',
    detail: 'Its web server closed the connection before it answered.',
  },
  invalid: {
    status: 502,
    title: 'The container’s answer is not valid',
    detail: 'Its web server sent something that is not a proper HTTP response.',
  },
  slow: {
    status: 504,
    title: 'The container takes too long',
    detail: 'Its web server did not answer in time.',
  },
} as const;

/** What is served under the reserved prefix: the state of the host's container, and nothing else. */
export function statusAnswer(request: RequestHead, route: Route | undefined): Answer {
  const path = request.target.split('?', 1)[0];
  if (path !== statusPath) {
    return failure(404, 'Nothing here', 'This address is reserved for the service.', request.accept);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return failure(405, 'Method not allowed', 'This address is only read.', request.accept, {
      fields: 'Allow: GET, HEAD\r\n',
    });
  }
  if (route === undefined) return noContainer({ ...request, accept: '' });
  const body = JSON.stringify({ state: route.state, phase: route.phase });
  return { status: 200, type: 'application/json', body, fields: '', keepAlive: true };
}

/** The same address by https; 308 keeps the method and the body. */
export function redirectAnswer(request: RequestHead, port: number): Answer {
  const origin = `https://${request.host}${port === 443 ? '' : `:${port}`}`;
  const location = origin + (request.target === '*' ? '/' : request.target);
  return {
    ...failure(308, 'Moved to https', 'This address is served by https only.', request.accept),
    fields: `Location: ${location}\r\n`,
  };
}

/**
 * The page for a person who waits for a container; null for whoever would not understand a page. `problem`:
 * why the container could not be woken last.
 */
export function waitingPage(request: RequestHead, route: Route, problem: string | null): Answer | null {
  const reads = request.method === 'GET' || request.method === 'HEAD';
  if (!reads || request.upgrade !== null || !wantsHtml(request.accept)) return null;
  return {
    status: 503,
    type: htmlType,
    body: waitingBody(route.phase, problem),
    fields: `Retry-After: 2\r\nContent-Security-Policy: ${waitingPolicy}\r\nReferrer-Policy: no-referrer\r\n`,
    keepAlive: true,
  };
}

const htmlType = 'text/html; charset=utf-8';

function failure(
  status: number,
  title: string,
  detail: string,
  accept: string,
  options: { fields?: string; keepAlive?: boolean } = {},
): Answer {
  const { fields = '', keepAlive = true } = options;
  if (wantsHtml(accept)) {
    const policy = `Content-Security-Policy: ${contentSecurityPolicy}\r\nReferrer-Policy: no-referrer\r\n`;
    return { status, type: htmlType, body: page(status, title, detail), fields: fields + policy, keepAlive };
  }
  const body = `${JSON.stringify({ type: 'about:blank', title, status, detail })}\n`;
  return { status, type: 'application/problem+json', body, fields, keepAlive };
}

/** Browsers name text/html when they navigate; programs do not. */
function wantsHtml(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === 'text/html' && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

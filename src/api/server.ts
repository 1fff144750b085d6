import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { SpawnerError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { asSpawnerError, commonHeaders, sendError, sendText } from './answers.ts';
import { answerBrokenRequests } from './broken-requests.ts';
import { bodyLimitBytes } from './form.ts';
import { checkHost, checkOrigin, checkToken, digestToken } from './guards.ts';
import { type OriginalCommands, originalRoutes } from './original.ts';

export interface ApiOptions {
  readonly commands: OriginalCommands;
  readonly withUsers: boolean;
  /** `api_tokens`; with none, calls need no token. */
  readonly tokens: readonly string[];
  /** `api_origins`: origins whose pages may call the API. */
  readonly origins: readonly string[];
  /** `api_hosts`: host names to answer for beside the listener's own address. */
  readonly hosts: readonly string[];
  readonly log: Log;
  readonly limits?: Partial<ApiLimits>;
}

export interface ApiLimits {
  /** How long a request's head, and a whole request, may take to arrive. */
  readonly headTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How long a connection may wait for its next request. Longer than fronts keep theirs, which is 60 s. */
  readonly keepAliveTimeoutMs: number;
  readonly headBytes: number;
  readonly connections: number;
}

export interface Api {
  /** Resolves to the address it listens on. Rejects as Node's `listen` does, for example with EADDRINUSE. */
  listen(where: { host: string; port: number } | { fd: number }): Promise<{ host: string; port: number }>;
  /**
   * Accepts no more connections, answers further requests with 503, gives running ones `graceMs` to end, then
   * closes what is still open. The commands behind them go on. Resolves when every connection is closed.
   */
  close(graceMs: number): Promise<void>;
}

/** The control API over HTTP/1.1. It takes what it needs as values, and commands as its only way to act. */
export function createApi(options: ApiOptions): Api {
  const { log } = options;
  const limits: ApiLimits = { ...defaultLimits, ...options.limits };
  const tokenDigests = options.tokens.map(digestToken);
  const routes = originalRoutes(options);
  const allowedMethods = new Map(routes.map((route) => [route.path, route.methods.join(', ')]));
  const errorCodes = new WeakMap<IncomingMessage, string>();
  const brokenRequests = answerBrokenRequests();
  let listenHost: string | null = null;
  let closing = false;

  const server = Fastify({
    bodyLimit: bodyLimitBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    http: {
      headersTimeout: limits.headTimeoutMs,
      maxHeaderSize: limits.headBytes,
      // Half the head's time, or a client that sends its head byte by byte stays for up to 30 s longer.
      connectionsCheckingInterval: limits.headTimeoutMs / 2,
      // checkHost refuses a missing Host with a text that says so.
      requireHostHeader: false,
    },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    genReqId: () => randomBytes(6).toString('hex'),
    // Targets that the router cannot decode reach neither hooks nor routes; they get the same guards.
    frameworkErrors: (_error, request, reply) => {
      beginRequest(request, reply);
      admit(request, reply).then(
        (answered) => answered || fail(notFound(), request, reply),
        (error: unknown) => fail(error, request, reply),
      );
    },
    clientErrorHandler: brokenRequests.onClientError,
  });
  server.server.maxConnections = limits.connections;
  server.server.on('request', brokenRequests.onRequest);

  // A body is kept as bytes whatever its type: form.ts judges the type, and decodes strictly.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  server.addHook('onRequest', async (request, reply) => {
    beginRequest(request, reply);
    if (await admit(request, reply)) return reply;
    checkRoute(request, reply);
    return undefined;
  });
  server.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
  });
  server.setErrorHandler(fail);
  server.setNotFoundHandler((request, reply) => fail(notFound(), request, reply));
  for (const route of routes) {
    server.route({
      method: [...route.methods],
      url: route.path,
      handler: async (request, reply) => {
        const text = await route.answer({
          method: request.method,
          target: targetOf(request),
          contentType: request.headers['content-type'],
          contentEncoding: request.headers['content-encoding'],
          idempotencyKey: request.headers['idempotency-key'],
          body: request.body as Buffer | undefined,
        });
        sendText(reply, 200, text);
        return reply;
      },
    });
  }

  return { listen, close };

  async function listen(where: { host: string; port: number } | { fd: number }) {
    await server.ready();
    listenHost = 'host' in where ? where.host : null;
    const listening = once(server.server, 'listening');
    server.server.listen(where);
    await listening;
    // From here on an error is one of accepting, which must not end the process.
    server.server.on('error', (err) => log.error({ err }, 'the API could not accept a connection'));
    const address = server.server.address();
    if (address === null || typeof address === 'string') return { host: address ?? '', port: 0 };
    return { host: address.address, port: address.port };
  }

  async function close(graceMs: number): Promise<void> {
    closing = true;
    const timer = setTimeout(() => server.server.closeAllConnections(), graceMs);
    try {
      await server.close();
    } finally {
      clearTimeout(timer);
    }
  }

  /** One line for each request, written when its answer has gone out or its client has gone away. */
  function beginRequest(request: FastifyRequest, reply: FastifyReply): void {
    reply.headers(commonHeaders);
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
  }

  /** Host, origin, token, in this order; true where the request was a preflight and is answered. */
  async function admit(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    const { socket } = request.raw;
    const hostError = checkHost(
      {
        target: targetOf(request),
        hosts: request.raw.headersDistinct.host ?? [],
        localAddress: socket.localAddress,
        localPort: socket.localPort,
      },
      { listenHost, apiHosts: options.hosts },
    );
    if (hostError) throw hostError;
    const decision = checkOrigin(
      {
        origin: request.headers.origin,
        secFetchSite: request.raw.headersDistinct['sec-fetch-site']?.join(),
        host: request.headers.host ?? '',
      },
      options.origins,
    );
    if (!decision.allowed) throw decision.error;
    if (decision.corsOrigin !== null) {
      reply.header('access-control-allow-origin', decision.corsOrigin);
      reply.header('access-control-expose-headers', 'Retry-After');
      // A preflight carries no token (Fetch, CORS-preflight fetch), so it comes before that check.
      if (isPreflight(request)) {
        sendPreflight(reply);
        return true;
      }
    }
    const token = checkToken(request.headers.authorization, tokenDigests);
    if (token !== 'ok') throw unauthorized(token, reply);
    return false;
  }

  function checkRoute(request: FastifyRequest, reply: FastifyReply): void {
    if (closing) throw new SpawnerError('shutting_down', 'The service is about to stop; try again later');
    // To the letter: the router would also find /%73pawn, and what a front refuses by path must stay refused.
    const allowed = allowedMethods.get(pathOf(request));
    if (allowed === undefined) throw notFound();
    if (allowed.split(', ').includes(request.method)) return;
    reply.header('allow', allowed);
    throw new SpawnerError('method_not_allowed', `This address takes ${allowed} only`);
  }

  function fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = asSpawnerError(thrown, request.raw) ?? internal(thrown, request);
    errorCodes.set(request.raw, error.code);
    sendError(reply, error);
  }

  /** What went wrong is for the log alone; the caller gets what finds it there. */
  function internal(thrown: unknown, request: FastifyRequest): SpawnerError {
    const err = thrown instanceof Error ? thrown : new Error(String(thrown));
    log.error({ requestId: request.id, err }, 'a request failed for a reason that should not occur');
    const message = `Something went wrong in the service; its log has more under request id ${request.id}`;
    return new SpawnerError('internal', message);
  }
}

const defaultLimits: ApiLimits = {
  headTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 75_000,
  headBytes: 16 * 1024,
  connections: 4096,
};

const loggedPathLength = 200;

function targetOf(request: FastifyRequest): string {
  return request.raw.url ?? '';
}

/** Never the query: it may hold a user id. */
function pathOf(request: FastifyRequest): string {
  return targetOf(request).split('?', 1)[0]!;
}

function isPreflight(request: FastifyRequest): boolean {
  return request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
}

function sendPreflight(reply: FastifyReply): void {
  reply.headers({
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'Authorization, Content-Type',
    'access-control-max-age': '600',
  });
  reply.code(204).send();
}

/** RFC 6750, section 3: the error attribute only where a token was given. */
function unauthorized(token: 'missing' | 'wrong', reply: FastifyReply): SpawnerError {
  const challenge = 'Bearer realm="docker-spawner"';
  reply.header('www-authenticate', token === 'wrong' ? `${challenge}, error="invalid_token"` : challenge);
  const message =
    token === 'wrong'
      ? 'The token is not one of api_tokens'
      : 'A token is needed: send the header "Authorization: Bearer TOKEN" with one of api_tokens';
  return new SpawnerError('unauthorized', message);
}

function notFound(): SpawnerError {
  return new SpawnerError('not_found', 'There is nothing at this address');
}

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { SpawnerError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { RateLimit } from '../core/rate-limit.ts';
import type { Caller } from '../core/tokens.ts';
import { traced } from '../core/trace.ts';
import { admitCaller } from './access.ts';
import { openApiRoute, tableOfAll } from './all-routes.ts';
import { asSpawnerError, commonHeaders, sendError, sendText } from './answers.ts';
import { answerBrokenRequests } from './broken-requests.ts';
import { allowOrigin, isPreflight, sendPreflight } from './cors.ts';
import { docsRoutes } from './docs-page.ts';
import { bodyLimitBytes } from './form.ts';
import { checkHost, checkOrigin } from './guards.ts';
import { type OriginalCommands, originalRoutes } from './original.ts';
import { sendProblem } from './problems.ts';
import { createRequestLog, pathOf, targetOf } from './request-log.ts';
import { routerPath } from './routes.ts';
import type { StaticRoute } from './static-routes.ts';
import type { V1Parts } from './v1/operation.ts';
import { operations } from './v1/operations.ts';
import { registerOperations } from './v1/router.ts';

export interface ApiOptions extends Omit<V1Parts, 'commands' | 'heartbeatMs'> {
  readonly commands: OriginalCommands & V1Parts['commands'];
  /** How often a token may call. */
  readonly rateLimit: RateLimit;
  /** What others answer on this listener, behind the same guards, for example figures. */
  readonly extraRoutes?: readonly StaticRoute[];
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
  /** How often a stream of events says that it is still there. */
  readonly heartbeatMs: number;
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
  const originals = originalRoutes(options);
  const statics = [openApiRoute(), ...docsRoutes(), ...(options.extraRoutes ?? [])];
  const routes = tableOfAll(originals, statics);
  const requestLog = createRequestLog(log);
  const callers = new WeakMap<FastifyRequest, Caller>();
  const ending = new AbortController();
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
    routerOptions: { maxParamLength: maxSegmentLength },
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
    return (await admit(request, reply)) ? reply : undefined;
  });
  server.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
  });
  server.setErrorHandler(fail);
  server.setNotFoundHandler((request, reply) => fail(notFound(), request, reply));
  for (const route of originals) {
    server.route({
      method: [...route.methods],
      url: route.path,
      handler: async (request, reply) => {
        const call = {
          method: request.method,
          target: targetOf(request),
          contentType: request.headers['content-type'],
          contentEncoding: request.headers['content-encoding'],
          idempotencyKey: request.headers['idempotency-key'],
          body: request.body as Buffer | undefined,
          caller: callers.get(request)!,
        };
        sendText(reply, 200, await traced(request.id, () => route.answer(call)));
        return reply;
      },
    });
  }

  for (const { path, answer } of statics) {
    server.get(path, async (_request, reply) => {
      const { contentType, body, headers = {} } = await answer();
      return reply.headers(headers).header('content-type', contentType).send(body);
    });
  }
  server.register(async (scope) =>
    registerOperations(scope, {
      operations,
      parts: { ...options, heartbeatMs: limits.heartbeatMs },
      callerOf: (request) => callers.get(request)!,
      closing: ending.signal,
    }),
  );

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
    ending.abort();
    const timer = setTimeout(() => server.server.closeAllConnections(), graceMs);
    try {
      await server.close();
    } finally {
      clearTimeout(timer);
    }
  }

  function beginRequest(request: FastifyRequest, reply: FastifyReply): void {
    reply.headers(commonHeaders).header('x-request-id', request.id);
    requestLog.begin(request, reply);
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
      allowOrigin(reply, decision.corsOrigin);
      // A preflight carries no token (Fetch, CORS-preflight fetch), so it comes before that check.
      if (isPreflight(request)) {
        sendPreflight(reply);
        return true;
      }
    }
    admitToRoute(request, reply);
    return false;
  }

  /** What is nowhere needs a token like everything else: without one nobody learns what is there. */
  function admitToRoute(request: FastifyRequest, reply: FastifyReply): void {
    const found = routes.find(pathOf(request));
    const route = found?.methods.get(request.method);
    const access = route ? route.access : anyAccess;
    if (access !== null) {
      const { tokens, rateLimit } = options;
      callers.set(request, admitCaller(request.headers.authorization, access, { tokens, rateLimit, reply }));
    }
    if (closing) throw new SpawnerError('shutting_down', 'The service is about to stop; try again later');
    if (!found) throw notFound();
    if (route) {
      // What was let in must be what will be called, should the router ever read a path in another way.
      if (request.routeOptions.url !== routerPath(route.path)) throw notFound();
      return;
    }
    reply.header('allow', found.allow);
    throw new SpawnerError('method_not_allowed', `This address takes ${found.allow} only`);
  }

  function fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = asSpawnerError(thrown, request.raw) ?? internal(thrown, request);
    requestLog.note(request, error.code);
    if (tellsProblems(pathOf(request))) sendProblem(reply, error);
    else sendError(reply, error);
  }

  /** By the path alone, since the guards speak before any route does. */
  function tellsProblems(path: string): boolean {
    const [route] = routes.find(path)?.methods.values() ?? [];
    return route ? route.errors === 'problem' : /^\/+v1(\/|$)/.test(path);
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
  heartbeatMs: 15_000,
};

function notFound(): SpawnerError {
  return new SpawnerError('not_found', 'There is nothing at this address');
}

/** Longer than any user, percent-encoded. */
const maxSegmentLength = 1024;

/** For what there is no route to say of. */
const anyAccess = { scope: null } as const;

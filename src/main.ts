import { isDeepStrictEqual } from 'node:util';
import { createApi } from './api/server.ts';
import type { StaticRoute } from './api/static-routes.ts';
import type { Configuration } from './config/load.ts';
import { proxyLimitsOf } from './config/proxy-settings.ts';
import { publicUrlOf, redirectPortOf, type Settings } from './config/settings.ts';
import { systemClock } from './core/clock.ts';
import { type Core, createCore } from './core/core.ts';
import { type Engine, EngineError } from './core/engine.ts';
import { deadline, engineDeadlinesMs } from './core/engine-calls.ts';
import { SpawnerError } from './core/errors.ts';
import type { Log } from './core/log.ts';
import { createRateLimit } from './core/rate-limit.ts';
import { createTokens } from './core/tokens.ts';
import { tracedLog } from './core/trace.ts';
import { createDockerEngine, type DockerEngineOptions } from './engine/docker.ts';
import { openLedger } from './ledger/sqlite.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { type AccessLogSink, accessLogFile, createProxy } from './proxy/proxy.ts';
import { type Waist, WakeError } from './proxy/waist.ts';
import { createLoopbackReach } from './reach/loopback.ts';
import { createWebhooks } from './webhooks/webhooks.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A service that runs: both listeners are open. */
export interface Service {
  readonly api: Address;
  readonly proxy: Address;
  /**
   * Takes the entries, the limits and the webhooks of another configuration over; containers that live keep what
   * they have. Gives the settings that differ, but count only after a restart.
   */
  reload(configuration: Configuration): string[];
  /** Stops accepting, drains, and ends; the containers live on. Later calls join the first. */
  close(): Promise<void>;
}

/** Why a start failed for a reason that the operator can do something about; the message says what. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * The composition root: configuration -> ledger -> engine -> core -> listeners. Resolves when containers are
 * served and the API is open, in this order. `adopt`: take over containers that another ledger knows.
 */
export async function startService(
  { settings, images }: Configuration,
  options: {
    readonly adopt: boolean;
    readonly version: string;
    readonly env: NodeJS.ProcessEnv;
    readonly log: Log;
  },
): Promise<Service> {
  const log = tracedLog(options.log);
  let current = { settings, images };
  const ending = new AbortController();
  const closers: (() => Promise<void> | void)[] = [];
  const close = async () => {
    ending.abort();
    for (const closer of closers.splice(0).reverse()) await closer();
  };

  try {
    const ledger = openLedger(settings.data_dir);
    closers.push(() => ledger.close());
    const metrics = createMetrics({
      version: options.version,
      images: () => current.images,
      clock: systemClock,
      log,
    });
    closers.push(() => metrics.close());
    const docker = dockerEngine({
      owner: { instance: settings.instance, identity: () => ledger.identity },
      containerPrefix: settings.container_prefix,
      env: options.env,
      log,
    });
    const engine = metrics.measured(docker);
    const info = await engine.check(deadline(systemClock, engineDeadlinesMs.check, ending.signal));
    log.info({ engine: info.name, version: info.version }, 'the engine answers');

    // The ports are part of the containers' URLs, and they may be any free ones.
    const ports = { proxy: settings.proxy_listen.port, tls: settings.tls_listen?.port ?? null };
    const urlOf = (id: string) => publicUrlOf(settings, ports.proxy, ports.tls).replace('{id}', id);
    const core = createCore({
      images,
      ...coreSettings(settings),
      urlOf,
      adopt: options.adopt,
      engine,
      ledger,
      traffic: {
        release: (id) => proxy.release(id),
        quiesce: (id) => proxy.quiesce(id),
        noteNow: (id) => proxy.noteNow(id),
      },
      reach: createLoopbackReach(),
      clock: systemClock,
      log,
    });
    const proxy = createProxy({
      waist: waistOf(core, metrics, settings.domain),
      log,
      ...proxySettings(settings),
    });
    closers.push(() => core.close());
    closers.push(() => proxy.drain(drainMs));

    const webhooks = createWebhooks({
      targets: settings.webhooks,
      instance: settings.instance,
      urlOf,
      events: core.events,
      ledger: ledger.webhooks,
      clock: systemClock,
      log,
    });
    closers.push(() => webhooks.close());
    metrics.follow({ events: core.events, overview: core.overview, proxy, webhooks });

    await core.start();
    const { tls_listen: tlsListen } = settings;
    if (tlsListen) {
      const opened = await listen(tlsListen, 'tls_listen', (where) => proxy.listen(where, { tls: true }));
      ports.tls = opened.port;
    }
    const redirectToHttpsPort = redirectPortOf(settings, ports.tls);
    const proxyAddress = await listen(settings.proxy_listen, 'proxy_listen', (where) =>
      proxy.listen(where, redirectToHttpsPort === null ? {} : { redirectToHttpsPort }),
    );
    ports.proxy = proxyAddress.port;
    const tokens = createTokens({
      ledger: ledger.tokens,
      administrators: settings.api_tokens,
      clock: systemClock,
      log,
    });
    closers.push(() => tokens.close());
    const api = createApi({
      commands: core.commands,
      views: core.views,
      extraRoutes: [metricsRoute(metrics)],
      withUsers: settings.with_users,
      userLimit: settings.user_limit,
      engineName: info.name,
      urlOf,
      tokens,
      rateLimit: createRateLimit(systemClock, settings.api_rate_limit),
      origins: settings.api_origins,
      hosts: settings.api_hosts,
      log,
    });
    const apiAddress = await listen(settings.api_listen, 'api_listen', (where) => api.listen(where));
    closers.push(async () => {
      // Starts that callers still wait for are called off in time for their answers.
      const callOff = setTimeout(() => core.close(), drainMs - 1000);
      await api.close(drainMs);
      clearTimeout(callOff);
    });
    const reload = (next: Configuration) => {
      const { userLimit, onUserLimit, queueLength } = coreSettings(next.settings);
      core.reload({ images: next.images, userLimit, onUserLimit, queueLength });
      webhooks.setTargets(next.settings.webhooks);
      current = next;
      return needRestart(settings, next.settings);
    };
    return { api: apiAddress, proxy: proxyAddress, reload, close: once(close) };
  } catch (error) {
    await close();
    throw forOperator(error);
  }
}

/** What it throws is about DOCKER_HOST and its like, and for the operator to read. */
function dockerEngine(options: DockerEngineOptions): Engine {
  try {
    return createDockerEngine(options);
  } catch (error) {
    throw new StartError((error as Error).message, { cause: error });
  }
}

const toStandardOutput: AccessLogSink = (lines, done) => void process.stdout.write(lines, done);

/** The settings of the core, in its own words. */
function coreSettings(settings: Settings) {
  return {
    domain: settings.domain,
    instance: settings.instance,
    withUsers: settings.with_users,
    userLimit: settings.user_limit,
    onUserLimit: settings.on_user_limit,
    portStart: settings.port_start,
    maxContainers: settings.max_containers,
    maxParallelStarts: settings.max_parallel_starts,
    queueLength: settings.queue_length,
    hexSize: settings.hex_size,
    sweepEveryMs: settings.cleanup_timeout,
    historyMs: settings.history_days * 24 * 3_600_000,
  };
}

/** The settings that a reload takes over. */
const reloadable: ReadonlySet<string> = new Set(['user_limit', 'on_user_limit', 'queue_length', 'webhooks']);

function needRestart(before: Settings, after: Settings): string[] {
  const names = Object.keys(before) as (keyof Settings)[];
  return names.filter((name) => !reloadable.has(name) && !isDeepStrictEqual(before[name], after[name]));
}

/** The settings of the proxy, in its own words. */
function proxySettings(settings: Settings) {
  const { access_log: accessLog } = settings;
  return {
    limits: proxyLimitsOf(settings),
    trustedProxies: settings.trusted_proxies,
    proxyProtocolFrom: settings.proxy_protocol_from,
    certificates: settings.tls_certificates,
    ...(accessLog === null
      ? {}
      : { accessLog: accessLog === '-' ? toStandardOutput : accessLogFile(accessLog) }),
  };
}

/** For Prometheus; behind the same guards as the rest of the API. */
function metricsRoute(metrics: Metrics): StaticRoute {
  return {
    path: '/metrics',
    access: { scope: 'read', ofAll: true },
    answer: async () => ({ contentType: metrics.contentType, body: await metrics.text() }),
  };
}

/** The core as the proxy sees it. */
function waistOf(core: Core, metrics: Metrics, domain: string): Waist {
  return {
    routes: core.routes,
    noteActivity(id, delta) {
      metrics.noteActivity(delta);
      core.noteActivity(id, delta);
    },
    async wake(id) {
      try {
        await core.commands.wake(id);
      } catch (error) {
        // What the engine says is the operator's to read, not the visitor's.
        const retryAfterS = error instanceof SpawnerError ? error.retryAfterS : null;
        throw new WakeError('The container cannot be started at the moment.', retryAfterS ?? 5);
      }
      const route = core.routes.get(`${id}.${domain}`);
      if (!route) throw new WakeError('The container has ended.', 5);
      return route;
    },
  };
}

/** How long requests under way may take when the service ends. */
const drainMs = 10_000;

async function listen(
  where: Address,
  setting: string,
  open: (where: Address) => Promise<Address>,
): Promise<Address> {
  try {
    return await open(where);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reasons: Record<string, string> = {
      EADDRINUSE: 'another program listens there; stop it, or choose another address',
      EACCES: 'this user may not listen there; choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE',
      EADDRNOTAVAIL: 'this machine does not have that address',
    };
    const reason = reasons[code ?? ''] ?? (error as Error).message;
    throw new StartError(`${setting}: cannot listen on ${where.host}:${where.port}: ${reason}`, {
      cause: error,
    });
  }
}

function forOperator(error: unknown): unknown {
  if (!(error instanceof EngineError)) return error;
  return new StartError(`the container engine cannot be used: ${error.message}`, { cause: error });
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  return () => {
    running ??= work();
    return running;
  };
}

import { createServer, type Server, type Socket } from 'node:net';
import { AccessLog, type AccessLogSink } from './access-log.ts';
import { Slices } from './body-reader.ts';
import { ClientConnection } from './client-connection.ts';
import { Containers } from './containers.ts';
import type { Context } from './context.ts';
import { Head } from './head.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { Ticker } from './ticker.ts';
import type { ProxyLog, Waist } from './waist.ts';

export interface ProxyOptions {
  readonly waist: Waist;
  readonly log: ProxyLog;
  /** Where they differ from the defaults of limits.ts. */
  readonly limits?: Partial<Limits>;
  /** Gets a JSON line for each request; off where it is left out. */
  readonly accessLog?: AccessLogSink;
  /** How exact deadlines are (250 ms). */
  readonly tickMs?: number;
}

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly fd: number };

/** The embedded reverse proxy. */
export interface Proxy {
  /** Opens a listener, of which there may be several; resolves with where it listens. */
  listen(address: ListenAddress): Promise<{ host: string; port: number }>;
  /** Ends every connection, tunnel and held request of a container; resolves when all its sockets are closed. */
  release(id: string): Promise<void>;
  /** Ends the tunnels of a container; resolves when they are closed. */
  closeTunnels(id: string): Promise<void>;
  /** Stops: no new connections, idle ones closed at once, everything else after `graceMs` at the latest. */
  drain(graceMs: number): Promise<void>;
  stats(): ProxyStats;
}

/** What is open at this moment. */
export interface ProxyStats {
  readonly clientConnections: number;
  readonly upstreamConnections: number;
  readonly openRequests: number;
  readonly heldRequests: number;
  readonly openTunnels: number;
}

/** How often activity is handed to the core and the access log is written. */
const flushMs = 1000;

export function createProxy(options: ProxyOptions): Proxy {
  const limits = { ...defaultLimits, ...options.limits };
  const { log, waist } = options;
  let flushedMs = performance.now();
  const ticker = new Ticker(
    options.tickMs ?? 250,
    (nowMs) => {
      if (nowMs - flushedMs < flushMs) return;
      flushedMs = nowMs;
      context.containers.flush();
      context.accessLog?.flush();
    },
    (error) => log.error({ err: error }, 'the periodic work of the proxy failed'),
  );
  const context: Context = {
    waist,
    limits,
    log,
    ticker,
    containers: new Containers(),
    clients: new Set(),
    accessLog: options.accessLog === undefined ? null : new AccessLog(options.accessLog),
    requestHead: new Head(limits.fieldCount),
    responseHead: new Head(limits.fieldCount),
    slices: new Slices(),
    counts: { upstreamConnections: 0, openRequests: 0, heldRequests: 0, openTunnels: 0 },
    draining: false,
  };
  const servers = new Set<Server>();

  return {
    async listen(address) {
      const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
        accept(context, socket),
      );
      await listening(server, address);
      server.on('error', (error) => log.error({ err: error }, 'a listener of the proxy failed'));
      servers.add(server);
      ticker.start();
      const bound = server.address();
      if (bound === null || typeof bound === 'string') return { host: String(bound), port: 0 };
      return { host: bound.address, port: bound.port };
    },

    release: (id) => context.containers.release(id),

    closeTunnels: (id) => context.containers.get(id)?.closeTunnels() ?? Promise.resolve(),

    async drain(graceMs) {
      context.draining = true;
      const closed = [...servers].map(
        (server) => new Promise<void>((resolve) => server.close(() => resolve())),
      );
      servers.clear();
      for (const client of [...context.clients]) client.drain();
      const timer = setTimeout(() => {
        for (const client of [...context.clients]) client.destroy();
      }, graceMs);
      await Promise.all(closed);
      clearTimeout(timer);
      await context.containers.close();
      context.accessLog?.flush();
      ticker.stop();
    },

    stats: () => ({ clientConnections: context.clients.size, ...context.counts }),
  };
}

function accept(context: Context, socket: Socket): void {
  const address = socket.remoteAddress;
  // The client has gone before we looked.
  if (address === undefined || context.draining) {
    socket.destroy();
    return;
  }
  new ClientConnection(context, socket, { address, proto: 'http', trusted: false });
}

function listening(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

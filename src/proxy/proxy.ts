import { AccessLog, type AccessLogSink } from './access-log.ts';
import { addressSet } from './addresses.ts';
import { Admission } from './admission.ts';
import { Slices } from './body-reader.ts';
import { type CertificateFiles, Certificates } from './certificates.ts';
import { Containers } from './containers.ts';
import type { Context } from './context.ts';
import { Head } from './head.ts';
import { defaultLimits, type Limits, readAheadBytes } from './limits.ts';
import { type ListenAddress, Listener, type ListenOptions } from './listener.ts';
import { Ticker } from './ticker.ts';
import type { ProxyLog, Waist } from './waist.ts';

export { accessLogFile } from './access-log.ts';
export { limitTable } from './limits.ts';
export { WakeError } from './waist.ts';
export type { AccessLogSink, CertificateFiles, Limits, ListenAddress, ListenOptions, ProxyLog, Waist };

export interface ProxyOptions {
  readonly waist: Waist;
  readonly log: ProxyLog;
  /** Where they differ from the defaults of limits.ts. */
  readonly limits?: Partial<Limits>;
  /** Addresses and ranges whose X-Forwarded-* and Forwarded fields are believed and continued. */
  readonly trustedProxies?: readonly string[];
  /** Addresses and ranges that begin every connection with a PROXY header (version 1 or 2). */
  readonly proxyProtocolFrom?: readonly string[];
  /** For listeners with `tls`: the first certificate serves names that none of them has. */
  readonly certificates?: readonly CertificateFiles[];
  /** How often the certificate files are looked at (10 s). */
  readonly certificatePollMs?: number;
  /** Gets a JSON line for each request; off where it is left out. */
  readonly accessLog?: AccessLogSink;
  /** How exact deadlines are (250 ms). */
  readonly tickMs?: number;
}

/** The embedded reverse proxy. */
export interface Proxy {
  /** Opens a listener, of which there may be several; resolves with where it listens. */
  listen(address: ListenAddress, options?: ListenOptions): Promise<{ host: string; port: number }>;
  /** Ends every connection, tunnel and held request of a container; resolves when all its sockets are closed. */
  release(id: string): Promise<void>;
  /** Ends the connections and tunnels of a container that goes to sleep, not what is held for it; resolves when closed. */
  quiesce(id: string): Promise<void>;
  /** Hands what is not noted yet of the container's activity to the core, now. */
  noteNow(id: string): void;
  /** Stops: no new connections, idle ones closed at once, everything else after `graceMs` at the latest. */
  drain(graceMs: number): Promise<void>;
  stats(): ProxyStats;
  /** How many answers the proxy has made itself, by status, since it was made. */
  ownAnswers(): ReadonlyMap<number, number>;
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

/** Makes a proxy that listens nowhere yet. Throws where an address range is not valid. */
export function createProxy(options: ProxyOptions): Proxy {
  const context = createContext(options);
  const { certificates: files = [], log } = options;
  const certificates = files.length === 0 ? null : new Certificates(files, log, options.certificatePollMs);
  const listeners = new Set<Listener>();

  return {
    async listen(address, listenOptions = {}) {
      if (listenOptions.tls) {
        if (certificates === null) throw new Error('a listener with TLS needs a certificate and its key');
        await certificates.open();
      }
      const listener = new Listener(context, listenOptions, certificates);
      const bound = await listener.open(address);
      listeners.add(listener);
      context.ticker.start();
      return bound;
    },

    release: (id) => context.containers.release(id),

    quiesce: (id) => context.containers.get(id)?.quiesce() ?? Promise.resolve(),

    noteNow: (id) => context.containers.get(id)?.noteActivity(),

    async drain(graceMs) {
      context.draining = true;
      const closed = [...listeners].map((listener) => listener.close());
      listeners.clear();
      for (const client of [...context.clients]) client.drain();
      const timer = setTimeout(() => {
        for (const client of [...context.clients]) client.destroy();
        context.admission.destroyAll();
      }, graceMs);
      await Promise.all(closed);
      clearTimeout(timer);
      await context.containers.close();
      context.accessLog?.flush();
      context.ticker.stop();
      certificates?.close();
    },

    stats: () => ({ clientConnections: context.admission.count, ...context.counts }),

    ownAnswers: () => context.ownAnswers,
  };
}

function createContext(options: ProxyOptions): Context {
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
    admission: new Admission(limits),
    clients: new Set(),
    trustedProxies: addressSet(options.trustedProxies ?? []),
    proxyProtocolFrom: addressSet(options.proxyProtocolFrom ?? []),
    accessLog: options.accessLog === undefined ? null : new AccessLog(options.accessLog),
    requestHead: new Head(limits.fieldCount),
    responseHead: new Head(limits.fieldCount),
    slices: new Slices(),
    readBuffer: Buffer.allocUnsafeSlow(readAheadBytes),
    counts: { upstreamConnections: 0, openRequests: 0, heldRequests: 0, openTunnels: 0 },
    ownAnswers: new Map(),
    draining: false,
  };
  return context;
}

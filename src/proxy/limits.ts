/**
 * Every limit and deadline of the proxy, declared once: the configuration makes its settings and the reference
 * page from this table. Where 0 makes sense it switches the limit off, and the description says so.
 */
export const limitTable = {
  headBytes: { value: 32 * 1024, unit: 'bytes', description: 'longest head of a request or response' },
  targetBytes: { value: 16 * 1024, unit: 'bytes', description: 'longest request target (path and query)' },
  fieldCount: { value: 100, unit: 'count', description: 'most header fields in a request or response' },
  bodyBytes: { value: 0, unit: 'bytes', description: 'longest request body; 0: no limit' },
  chunkExtensionBytes: { value: 256, unit: 'bytes', description: 'longest extension of a single chunk' },
  trailerBytes: { value: 4096, unit: 'bytes', description: 'longest trailer section after a chunked body' },
  clientConnections: { value: 20_000, unit: 'count', description: 'most client connections in all' },
  clientConnectionsPerAddress: {
    value: 0,
    unit: 'count',
    description: 'most client connections from one address; 0: no limit (fronts connect from a single one)',
  },
  upstreamConnections: { value: 20_000, unit: 'count', description: 'most connections to containers in all' },
  upstreamConnectionsPerContainer: {
    value: 1000,
    unit: 'count',
    description: 'most connections to one container, tunnels included',
  },
  idleUpstreamConnections: {
    value: 64,
    unit: 'count',
    description: 'most unused connections kept open to one container',
  },
  requestHeadMs: {
    value: 10_000,
    unit: 'ms',
    description: 'longest time from a request’s first byte to its head’s end',
  },
  idleMs: {
    value: 60_000,
    unit: 'ms',
    description: 'how long a client connection may wait for its next request',
  },
  connectMs: { value: 3000, unit: 'ms', description: 'longest time to connect to a container' },
  responseHeadMs: {
    value: 300_000,
    unit: 'ms',
    description: 'longest time from the end of a request to the head of its response',
  },
  stalledBodyMs: {
    value: 60_000,
    unit: 'ms',
    description: 'how long a body may make no progress where its reader or the request’s sender stalls',
  },
  quietResponseMs: {
    value: 0,
    unit: 'ms',
    description:
      'how long a container may be silent within a response body; 0: no limit (event streams are quiet)',
  },
  upstreamIdleMs: {
    value: 4000,
    unit: 'ms',
    description:
      'how long an unused connection to a container is kept; below the five seconds of Node and Apache',
  },
  tunnelIdleMs: {
    value: 0,
    unit: 'ms',
    description: 'how long a tunnel (WebSocket) may carry nothing; 0: no limit',
  },
  holdTimeoutMs: {
    value: 30_000,
    unit: 'ms',
    description: 'how long a program’s request is held for a container that starts or wakes',
  },
  lingerMs: {
    value: 2000,
    unit: 'ms',
    description: 'how long a connection that is being closed waits for the client to take the answer',
  },
} as const satisfies Record<string, LimitSpec>;

interface LimitSpec {
  readonly value: number;
  readonly unit: 'bytes' | 'count' | 'ms';
  readonly description: string;
}

export type Limits = { readonly [K in keyof typeof limitTable]: number };

export const defaultLimits = Object.fromEntries(
  Object.entries(limitTable).map(([name, spec]) => [name, spec.value]),
) as Limits;

/** How many bytes are read ahead of a side that cannot take them yet, so that the other side's abort is seen. */
export const readAheadBytes = 64 * 1024;

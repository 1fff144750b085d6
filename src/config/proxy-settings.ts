import { setting } from './setting.ts';
import { duration, durationText, integer, size, sizeText } from './types.ts';

// Above these a limit protects nobody, and a slip of the hand (`32g`) is likelier than a wish.
const mostBytes = 16 * 1024 * 1024;
const mostMs = 86_400_000;
/** The proxy looks at its deadlines four times a second. */
const leastMs = 250;

/**
 * The limits and deadlines of the proxy. Part of settings.ts. The proxy has the same table for itself, since
 * neither imports the other; a test holds the two equal.
 */
export const proxyLimitSettings = {
  proxy_head_size: bytes(1024, 32 * 1024, 'longest head of a request or response'),
  proxy_target_size: bytes(256, 16 * 1024, 'longest request target (path and query)'),
  proxy_field_count: count(10, 100, 'most header fields in a request or response', 10_000),
  proxy_body_size: bytesOrNoLimit(0, 'longest request body; 0: no limit'),
  proxy_chunk_extension_size: bytes(1, 256, 'longest extension of a single chunk'),
  proxy_trailer_size: bytes(2, 4096, 'longest trailer section after a chunked body'),
  proxy_client_connections: count(1, 20_000, 'most client connections in all'),
  proxy_client_connections_per_address: count(
    0,
    0,
    'most client connections from one address; 0: no limit (fronts connect from a single one)',
  ),
  proxy_upstream_connections: count(1, 20_000, 'most connections to containers in all'),
  proxy_upstream_connections_per_container: count(
    1,
    1000,
    'most connections to one container, tunnels included',
  ),
  proxy_idle_upstream_connections: count(0, 64, 'most unused connections kept open to one container'),
  proxy_request_head_timeout: time(10_000, 'longest time from a request’s first byte to its head’s end'),
  proxy_idle_timeout: time(60_000, 'how long a client connection may wait for its next request'),
  proxy_connect_timeout: time(3000, 'longest time to connect to a container'),
  proxy_response_head_timeout: time(
    300_000,
    'longest time from the end of a request to the head of its response',
  ),
  proxy_stalled_body_timeout: time(
    60_000,
    'how long a body may make no progress where its reader or the request’s sender stalls',
  ),
  proxy_quiet_response_timeout: timeOrNoLimit(
    0,
    'how long a container may be silent within a response body; 0: no limit (event streams are quiet)',
  ),
  proxy_upstream_idle_timeout: time(
    4000,
    'how long an unused connection to a container is kept; below the five seconds of Node and Apache',
  ),
  proxy_tunnel_idle_timeout: timeOrNoLimit(0, 'how long a tunnel (WebSocket) may carry nothing; 0: no limit'),
  proxy_linger_timeout: time(
    2000,
    'how long a connection that is being closed waits for the client to take the answer',
  ),
  hold_timeout: time(30_000, 'how long a program’s request is held for a container that starts or wakes'),
} as const;

type ProxyLimitSettings = { readonly [Name in keyof typeof proxyLimitSettings]: number };

/** The limits as the proxy takes them. */
export function proxyLimitsOf(settings: ProxyLimitSettings) {
  return {
    headBytes: settings.proxy_head_size,
    targetBytes: settings.proxy_target_size,
    fieldCount: settings.proxy_field_count,
    bodyBytes: settings.proxy_body_size,
    chunkExtensionBytes: settings.proxy_chunk_extension_size,
    trailerBytes: settings.proxy_trailer_size,
    clientConnections: settings.proxy_client_connections,
    clientConnectionsPerAddress: settings.proxy_client_connections_per_address,
    upstreamConnections: settings.proxy_upstream_connections,
    upstreamConnectionsPerContainer: settings.proxy_upstream_connections_per_container,
    idleUpstreamConnections: settings.proxy_idle_upstream_connections,
    requestHeadMs: settings.proxy_request_head_timeout,
    idleMs: settings.proxy_idle_timeout,
    connectMs: settings.proxy_connect_timeout,
    responseHeadMs: settings.proxy_response_head_timeout,
    stalledBodyMs: settings.proxy_stalled_body_timeout,
    quietResponseMs: settings.proxy_quiet_response_timeout,
    upstreamIdleMs: settings.proxy_upstream_idle_timeout,
    tunnelIdleMs: settings.proxy_tunnel_idle_timeout,
    holdTimeoutMs: settings.hold_timeout,
    lingerMs: settings.proxy_linger_timeout,
  };
}

function bytes(min: number, value: number, description: string) {
  return setting(size(min, { maxBytes: mostBytes }), sizeText(value), value, description);
}

function bytesOrNoLimit(value: number, description: string) {
  return setting(size(1, { orZero: true }), sizeText(value), value, description);
}

function count(min: number, value: number, description: string, max = 1_000_000) {
  return setting(integer(min, max), String(value), value, description);
}

function time(value: number, description: string) {
  return setting(duration(leastMs, { maxMs: mostMs }), durationText(value), value, description);
}

function timeOrNoLimit(value: number, description: string) {
  return setting(duration(leastMs, { zero: 'no limit' }), String(value), value, description);
}

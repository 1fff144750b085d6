import { SpawnerError } from '../core/errors.ts';

/**
 * Who may call the API at all, decided from the head of a request before anything else looks at it. The pages
 * of containers run code of strangers in the browsers of people who can reach the API, and are same-site with
 * it; so the guards are what stands between a container's page and everybody's containers.
 */

/** Where a request was sent to, as it says itself and as the connection says. */
export interface HostFacts {
  /** The request target as received. */
  readonly target: string;
  /** Every Host field of the request. */
  readonly hosts: readonly string[];
  /** The local end of the connection; undefined on a Unix socket. */
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** The names the API was told to answer for. */
export interface OwnNames {
  /** The host part of `api_listen`; null where it is not known. */
  readonly listenHost: string | null;
  /** `api_hosts`: `name` (any port) or `name:port`. */
  readonly apiHosts: readonly string[];
}

/**
 * null where the request is meant for this API, else the error. Without this check a page could have its own
 * name resolve to our address (DNS rebinding), and would then be of the same origin as the API for the
 * browser. A Host that is the very address the connection came to is safe: nobody can rebind an address.
 */
export function checkHost(facts: HostFacts, own: OwnNames): SpawnerError | null {
  // An absolute target (RFC 9112, section 3.2.2) overrides Host. Only proxies are sent one, and we are none.
  if (!facts.target.startsWith('/')) return misdirected('The request target must be a path');
  const [text] = facts.hosts;
  // RFC 9112, section 3.2 asks for 400 here.
  if (text === undefined || facts.hosts.length > 1) {
    return new SpawnerError('field_invalid', 'The request must have exactly one Host header');
  }
  const host = parseHost(text);
  if (host && (isOwnAddress(host, facts, own) || isApiHost(host, own.apiHosts))) return null;
  const name = host ? ` "${text}"` : ' in this Host header';
  return misdirected(`The API does not answer for the host name${name}; if it should, add it to api_hosts`);
}

/** Where a request comes from, as a browser says it. Programs send none of these fields. */
export interface OriginFacts {
  readonly origin: string | undefined;
  readonly secFetchSite: string | undefined;
  /** The Host field, which `checkHost` has let pass. */
  readonly host: string;
}

export type OriginDecision =
  | { readonly allowed: true; readonly corsOrigin: string | null }
  | { readonly allowed: false; readonly error: SpawnerError };

/**
 * Lets pass programs, the API's own pages, a person who typed the address, and pages of `api_origins`, which
 * alone get CORS headers.
 *
 * Pages of containers are `same-site`, so that is not good enough. A form of another page is sent without
 * asking (no preflight), but with Origin. Referer is not looked at: a page can leave it out, so it proves
 * nothing. What that leaves are GETs of browsers that send no Sec-Fetch-Site: those from before 2023, and all
 * where the API is reached over plain HTTP and not on loopback. They change nothing, and the page cannot read
 * their answers.
 */
export function checkOrigin(facts: OriginFacts, apiOrigins: readonly string[]): OriginDecision {
  const { origin, secFetchSite } = facts;
  if (origin !== undefined && apiOrigins.some((allowed) => canonicalOrigin(allowed) === origin)) {
    return { allowed: true, corsOrigin: origin };
  }
  // `Origin: null` (sandboxed frames, redirects across origins) equals none of these.
  if (origin !== undefined && !isOwnOrigin(origin, facts.host)) return foreign();
  if (secFetchSite !== undefined && secFetchSite !== 'none' && secFetchSite !== 'same-origin')
    return foreign();
  return { allowed: true, corsOrigin: null };
}

interface Host {
  readonly name: string;
  readonly port: number | null;
}

function parseHost(text: string): Host | null {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(text.toLowerCase());
  return match && { name: match[1]!, port: match[2] === undefined ? null : Number(match[2]) };
}

/** Without a port it was sent through a front on the standard port. */
function isOwnAddress(host: Host, facts: HostFacts, own: OwnNames): boolean {
  if (host.port !== null && host.port !== facts.localPort) return false;
  const names = ['localhost', '127.0.0.1', '[::1]'];
  if (own.listenHost !== null) names.push(bracketed(own.listenHost));
  // On a dual-stack listener IPv4 addresses come as ::ffff:192.0.2.1.
  if (facts.localAddress !== undefined) names.push(bracketed(facts.localAddress.replace(/^::ffff:/i, '')));
  return names.includes(host.name);
}

function bracketed(address: string): string {
  const lower = address.toLowerCase();
  return lower.includes(':') && !lower.startsWith('[') ? `[${lower}]` : lower;
}

function isApiHost(host: Host, apiHosts: readonly string[]): boolean {
  return apiHosts.some((text) => {
    const allowed = parseHost(text);
    return allowed?.name === host.name && (allowed.port === null || allowed.port === host.port);
  });
}

/** A front may speak TLS for us, so both schemes are our own; browsers leave standard ports out of both fields. */
function isOwnOrigin(origin: string, host: string): boolean {
  const name = host.toLowerCase();
  return origin === `http://${name}` || origin === `https://${name}`;
}

function canonicalOrigin(text: string): string | null {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  return origin === 'null' ? null : origin;
}

function misdirected(message: string): SpawnerError {
  return new SpawnerError('misdirected', message);
}

function foreign(): OriginDecision {
  const message =
    'A page of another origin may not call the API; if this one should, add its origin to api_origins';
  return { allowed: false, error: new SpawnerError('forbidden_origin', message) };
}

import type { AccessLog } from './access-log.ts';
import type { AddressSet } from './addresses.ts';
import type { Admission } from './admission.ts';
import type { Slices } from './body-reader.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Containers } from './containers.ts';
import type { Head } from './head.ts';
import type { Limits } from './limits.ts';
import type { Ticker } from './ticker.ts';
import type { ProxyLog, Waist } from './waist.ts';

/** What all parts of one proxy share. */
export interface Context {
  readonly waist: Waist;
  readonly limits: Limits;
  readonly log: ProxyLog;
  readonly ticker: Ticker;
  readonly containers: Containers;
  readonly admission: Admission;
  readonly clients: Set<ClientConnection>;
  /** Whose X-Forwarded fields are believed, and who begins each connection with a PROXY header. */
  readonly trustedProxies: AddressSet;
  readonly proxyProtocolFrom: AddressSet;
  /** Null where it is off. */
  readonly accessLog: AccessLog | null;
  /** Filled for each message and used up at once, so one of each does for all connections. */
  readonly requestHead: Head;
  readonly responseHead: Head;
  readonly slices: Slices;
  /** What all plain connections read into. */
  readonly readBuffer: Buffer;
  readonly counts: Counts;
  /** How many answers the proxy has made itself, by status. */
  readonly ownAnswers: Map<number, number>;
  /** Set by drain: no connection is kept alive any more. */
  draining: boolean;
}

/** Exact counts of what is open, beside those that sets know. */
export interface Counts {
  upstreamConnections: number;
  openRequests: number;
  heldRequests: number;
  openTunnels: number;
}

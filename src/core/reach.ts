import type { Upstream } from './container.ts';

/** How the core finds out what is reachable from this host. */
export interface Reach {
  /** Whether nobody listens on this port of the loopback address. */
  portIsFree(port: number): Promise<boolean>;
  /**
   * Sends `GET path` with this Host; resolves with the status of the final response, or null where none came
   * before the signal fired. An accepted connection proves nothing: Docker's port forwarder accepts before the
   * container listens.
   */
  httpStatus(upstream: Upstream, host: string, path: string, signal: AbortSignal): Promise<number | null>;
}

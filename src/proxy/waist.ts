import type { ActivityDelta } from '../core/activity.ts';
import type { Route, RouteTable } from '../core/route.ts';

export type { ActivityDelta, Route, RouteTable };

/**
 * All that the proxy knows of the core: look up a host, note activity, wake a container. Nothing else crosses,
 * so that the proxy can later run in processes of its own.
 */
export interface Waist {
  readonly routes: RouteTable;
  /** Called at most about once a second for a container with traffic, and once more when it is released. */
  noteActivity(id: string, delta: ActivityDelta): void;
  /** Resolves with a ready route. Rejects with WakeError when the container cannot be had, or when the signal fires. */
  wake(id: string, signal: AbortSignal): Promise<Route>;
}

/** Why a container cannot be reached now; becomes 503 with Retry-After. The message is shown to the visitor. */
export class WakeError extends Error {
  override readonly name = 'WakeError';
  readonly retryAfterS: number;

  constructor(message: string, retryAfterS: number) {
    super(message);
    this.retryAfterS = retryAfterS;
  }
}

/** What the proxy needs of a logger; pino's fits. */
export interface ProxyLog {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

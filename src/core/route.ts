import type { Upstream } from './container.ts';

/**
 * Host name -> where its requests go. A route is immutable: when anything of it changes, the registry puts a
 * new object in its place, so whoever holds one holds a consistent picture.
 */
export interface Route {
  /** The container's id. Connections belong to it, never to the address (rule 5). */
  readonly id: string;
  /** The exact host name: lower case, without port or trailing dot. */
  readonly host: string;
  /** `ready`: send requests to `upstream`. `waiting`: hold them and ask for a wake. */
  readonly state: 'ready' | 'waiting';
  /** Set when `ready`. */
  readonly upstream: Upstream | null;
  /** What a person who waits is told, for example `starting`. */
  readonly phase: string;
}

/** The routes as whoever carries requests sees them. */
export interface RouteTable {
  /** Goes up with every change. */
  readonly version: number;
  /** `host` lower case, without port or trailing dot. */
  get(host: string): Route | undefined;
}

/** What the core needs of whoever carries requests to containers. */
export interface Traffic {
  /**
   * Ends every connection and tunnel to the container, and resolves when all are closed. It is called after
   * the route is gone, so no new ones come; only then may the address be given out again (rule 5).
   */
  release(id: string): Promise<void>;
  /**
   * Ends the tunnels and idle connections of a container that goes to sleep, and resolves when they are closed.
   * Requests that are held for it stay.
   */
  quiesce(id: string): Promise<void>;
  /** Delivers what was not noted yet of the container's activity, now. */
  noteNow(id: string): void;
}

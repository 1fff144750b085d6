import {
  type Container,
  type GoneReason,
  type Phase,
  type PortBinding,
  transitions,
  type Upstream,
} from './container.ts';
import type { Route, RouteTable } from './route.ts';

/** A change of one container; `before` is null for one that has just been added. */
export interface RegistryChange {
  readonly before: Container | null;
  readonly after: Container;
}

/** What may change with a phase, or without one. */
export interface ContainerPatch {
  readonly reason?: GoneReason;
  readonly ref?: string;
  readonly refSinceMonoMs?: number;
  readonly upstream?: Upstream | null;
  readonly acknowledged?: boolean;
  readonly readyAtMs?: number;
  readonly ports?: readonly PortBinding[];
  readonly waking?: boolean;
}

/**
 * All containers that live, with their indexes and routes. The only writer of phases: containers are replaced,
 * never changed, so whoever holds one holds a consistent picture.
 */
export interface Registry {
  /** The number of places taken: everything that is not gone counts. */
  readonly size: number;
  get(id: string): Container | undefined;
  all(): Iterable<Container>;
  /** A user's containers, oldest first, those that are stopping included. */
  ofUser(user: string): readonly Container[];
  readonly routes: RouteTable;

  /** Adds a container in any phase but `gone`; an id that is taken is a defect, and throws. */
  add(container: Container): void;
  /** Moves a container along the table of transitions; any other move is a defect, and throws. */
  move(id: string, phase: Phase, patch?: ContainerPatch): Container;
  /** Changes what is not the phase. */
  amend(id: string, patch: ContainerPatch): Container;

  /** Calls `listener` after every change, in the order of subscription. */
  subscribe(listener: (change: RegistryChange) => void): void;
}

/** `hostOf`: the host name under which a container is reached, lower case. */
export function createRegistry(hostOf: (id: string) => string): Registry {
  const byId = new Map<string, Container>();
  const byUser = new Map<string, Map<string, Container>>();
  const byHost = new Map<string, Route>();
  const listeners: ((change: RegistryChange) => void)[] = [];
  let version = 0;

  function put(before: Container | null, after: Container): Container {
    if (after.phase === 'gone') byId.delete(after.id);
    else byId.set(after.id, after);
    indexUser(after);
    indexRoute(after);
    for (const listener of listeners) listener({ before, after });
    return after;
  }

  function indexUser(container: Container): void {
    if (container.user === null) return;
    const own = byUser.get(container.user) ?? new Map<string, Container>();
    if (container.phase === 'gone') own.delete(container.id);
    else own.set(container.id, container);
    if (own.size === 0) byUser.delete(container.user);
    else byUser.set(container.user, own);
  }

  function indexRoute(container: Container): void {
    const host = hostOf(container.id);
    const route = routeOf(container, host);
    const old = byHost.get(host);
    if (route === null ? old === undefined : old !== undefined && sameRoute(old, route)) return;
    if (route === null) byHost.delete(host);
    else byHost.set(host, route);
    version++;
  }

  function known(id: string): Container {
    const container = byId.get(id);
    if (!container) throw new Error(`the registry has no container ${id}`);
    return container;
  }

  return {
    get size() {
      return byId.size;
    },
    get: (id) => byId.get(id),
    all: () => byId.values(),
    ofUser: (user) => [...(byUser.get(user)?.values() ?? [])],
    routes: {
      get version() {
        return version;
      },
      get: (host) => byHost.get(host),
    },
    add(container) {
      if (byId.has(container.id) || container.phase === 'gone') {
        throw new Error(`the registry cannot add ${container.id} (${container.phase})`);
      }
      put(null, container);
    },
    move(id, phase, patch = {}) {
      const before = known(id);
      if (!transitions[before.phase].includes(phase)) {
        throw new Error(`container ${id} cannot go from ${before.phase} to ${phase}`);
      }
      return put(before, { ...before, ...patch, phase });
    },
    amend(id, patch) {
      const before = known(id);
      return put(before, { ...before, ...patch });
    },
    subscribe: (listener) => void listeners.push(listener),
  };
}

/** Which route a container has; null: its host is unknown to visitors. */
function routeOf(container: Container, host: string): Route | null {
  switch (container.phase) {
    case 'queued':
    case 'creating':
    case 'starting':
    case 'asleep':
      return { id: container.id, host, state: 'waiting', upstream: null, phase: container.phase };
    case 'ready':
      return { id: container.id, host, state: 'ready', upstream: container.upstream, phase: container.phase };
    case 'stopping':
    case 'gone':
      return null;
  }
}

function sameRoute(a: Route, b: Route): boolean {
  return a.state === b.state && a.phase === b.phase && a.upstream === b.upstream;
}

import {
  type Container,
  type GoneReason,
  type Labels,
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
  readonly changedMonoMs?: number;
  readonly upstream?: Upstream | null;
  readonly acknowledged?: boolean;
  readonly readyAtMs?: number;
  readonly ports?: readonly PortBinding[];
  readonly stopsUntilMonoMs?: number;
  readonly moving?: Container['moving'];
  readonly warm?: boolean;
  readonly user?: string | null;
  readonly createdAtMs?: number;
  readonly expiresAtMs?: number;
  readonly expiresAtMonoMs?: number;
  readonly usedSinceMonoMs?: number;
  readonly labels?: Labels;
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
  /** How many of an image entry have a place, those that are stopping included. */
  countOfImage(imageKey: string): number;
  /** Those of an image entry that are warm, oldest first, those that are stopping included. */
  warmOf(imageKey: string): readonly Container[];
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
  const byUser = createIndex();
  const byImage = createIndex();
  const warmByImage = createIndex();
  const byHost = new Map<string, Route>();
  const listeners: ((change: RegistryChange) => void)[] = [];
  let version = 0;

  function put(before: Container | null, after: Container): Container {
    if (after.phase === 'gone') byId.delete(after.id);
    else byId.set(after.id, after);
    const lives = after.phase !== 'gone';
    if (after.user !== null) byUser.put(after.user, after, lives);
    byImage.put(after.imageKey, after, lives);
    warmByImage.put(after.imageKey, after, lives && after.warm);
    indexRoute(after);
    for (const listener of listeners) listener({ before, after });
    return after;
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
    ofUser: byUser.get,
    countOfImage: byImage.count,
    warmOf: warmByImage.get,
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

/** Containers by something they share, each group in the order of arrival. */
function createIndex() {
  const groups = new Map<string, Map<string, Container>>();
  return {
    get: (key: string): readonly Container[] => [...(groups.get(key)?.values() ?? [])],
    count: (key: string): number => groups.get(key)?.size ?? 0,
    put(key: string, container: Container, belongs: boolean): void {
      const group = groups.get(key) ?? new Map<string, Container>();
      if (belongs) group.set(container.id, container);
      else group.delete(container.id);
      if (group.size === 0) groups.delete(key);
      else groups.set(key, group);
    },
  };
}

/** Which route a container has; null: its host is unknown to visitors. */
function routeOf(container: Container, host: string): Route | null {
  if (container.warm) return null;
  switch (container.phase) {
    case 'queued':
    case 'creating':
    case 'starting':
    case 'asleep':
      return { id: container.id, host, state: 'waiting', upstream: null, phase: container.phase };
    case 'ready':
      // A warm one that is being claimed is ready before anybody may know of it.
      if (!container.acknowledged) return null;
      return { id: container.id, host, state: 'ready', upstream: container.upstream, phase: container.phase };
    case 'stopping':
    case 'gone':
      return null;
  }
}

function sameRoute(a: Route, b: Route): boolean {
  return a.state === b.state && a.phase === b.phase && a.upstream === b.upstream;
}

import { createProxy, type Limits } from '../src/proxy/proxy.ts';
import type { Route } from '../src/proxy/waist.ts';
import { answerAsks } from './proxy/programs.ts';

/** The proxy alone in a process, with a table of routes in memory, so that its cost is counted alone. */
export interface ProxySettings {
  readonly port: number;
  readonly limits?: Partial<Limits>;
}

export type ProxyAsk =
  /** Adds `count` routes: `nameOf(i)` to `ports[i % ports.length]`, of `containers` containers in turn. */
  | {
      readonly do: 'fill';
      readonly count: number;
      readonly containers: number;
      readonly ports: readonly number[];
    }
  | { readonly do: 'add'; readonly routes: readonly { host: string; id: string; port: number }[] }
  | { readonly do: 'drop'; readonly host: string; readonly id: string }
  | { readonly do: 'quiesce'; readonly id: string }
  | { readonly do: 'state' };

/** What the process holds, after a garbage collection. */
export interface ProxyState {
  readonly stats: Readonly<Record<string, number>>;
  readonly heapBytes: number;
  readonly bufferBytes: number;
  /** Timers, sockets and the like that keep the process busy, by kind. */
  readonly resources: Readonly<Record<string, number>>;
  /** Errors of the proxy's own: there must be none. */
  readonly errors: readonly string[];
}

export function nameOf(route: number): string {
  return `h${route}.bench.test`;
}

if (process.argv[1] === import.meta.filename) await serve(JSON.parse(process.argv[2]!) as ProxySettings);

async function serve(settings: ProxySettings): Promise<void> {
  const routes = new Map<string, Route>();
  const errors: string[] = [];
  let version = 0;
  const proxy = createProxy({
    limits: settings.limits ?? {},
    log: {
      warn: () => {},
      error: (fields, message) => {
        const { err } = fields as { err?: Error };
        errors.push(`${message}: ${err?.stack ?? JSON.stringify(fields)}`);
      },
    },
    waist: {
      routes: {
        get version() {
          return version;
        },
        get: (host) => routes.get(host),
      },
      noteActivity: () => {},
      wake: () => Promise.reject(new Error('nothing sleeps here')),
    },
  });
  await proxy.listen({ host: '127.0.0.1', port: settings.port });

  const add = (host: string, id: string, port: number) => {
    version++;
    routes.set(host, { id, host, state: 'ready', upstream: { address: '127.0.0.1', port }, phase: 'ready' });
  };

  answerAsks<ProxyAsk>((ask) => {
    switch (ask.do) {
      case 'fill':
        for (let i = 0; i < ask.count; i++)
          add(nameOf(i), `c${i % ask.containers}`, ask.ports[i % ask.ports.length]!);
        return null;
      case 'add':
        for (const { host, id, port } of ask.routes) add(host, id, port);
        return null;
      case 'drop':
        version++;
        routes.delete(ask.host);
        return proxy.release(ask.id);
      case 'quiesce':
        return proxy.quiesce(ask.id);
      case 'state':
        return stateNow(proxy.stats(), errors);
    }
  });
}

function stateNow(stats: object, errors: readonly string[]): ProxyState {
  // Twice: what the first one's finalizers let go of is collected by the second.
  global.gc?.();
  global.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  const resources: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
  return { stats: { ...stats }, heapBytes: heapUsed, bufferBytes: external, resources, errors };
}

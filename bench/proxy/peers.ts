import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePortRange } from '../../test/support/core-harness.ts';
import { eventually } from '../../test/support/eventually.ts';
import { nameOf, type ProxyAsk, type ProxySettings } from '../proxy-process.ts';
import { findProgram, Helper, startProgram, stop } from './programs.ts';

/** A proxy that runs and is measured. */
export interface Peer {
  readonly name: string;
  readonly port: number;
  /** Of the process whose family is counted. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** Our own, which can be told more than others. */
export interface OwnProxy extends Peer {
  readonly helper: Helper<ProxyAsk>;
}

export interface PeerRoute {
  readonly host: string;
  readonly port: number;
}

interface PeerKind {
  readonly program: string;
  readonly package: string;
  /** Of bench/peers; none where all is said in arguments. */
  readonly template: string | null;
  /** A second file beside the first. */
  readonly map?: string;
  args(folder: string, config: string, port: number): readonly string[];
  readonly env?: (folder: string) => NodeJS.ProcessEnv;
  /** What is left to do once it listens. */
  readonly after?: (port: number, routes: readonly PeerRoute[]) => Promise<void>;
}

export const peerKinds = {
  nginx: {
    program: 'nginx',
    package: 'nginx',
    template: 'nginx.conf',
    args: (folder, config) => ['-e', join(folder, 'error.log'), '-p', folder, '-c', config],
  },
  HAProxy: {
    program: 'haproxy',
    package: 'haproxy',
    template: 'haproxy.cfg',
    map: 'haproxy.map',
    args: (_folder, config) => ['-db', '-f', config],
  },
  Caddy: {
    program: 'caddy',
    package: 'caddy',
    template: 'Caddyfile',
    args: (_folder, config) => ['run', '--adapter', 'caddyfile', '--config', config],
    env: (folder) => ({ XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, HOME: folder }),
  },
  Apache: {
    program: 'apache2',
    package: 'apache2',
    template: 'apache.conf',
    args: (_folder, config) => ['-D', 'FOREGROUND', '-f', config],
  },
  'configurable-http-proxy': {
    program: 'configurable-http-proxy',
    package: 'npm i --no-save configurable-http-proxy',
    template: null,
    args: (_folder, _config, port) =>
      `--ip 127.0.0.1 --port ${port} --api-ip 127.0.0.1 --api-port ${port + 1} --host-routing --no-include-prefix --log-level error`.split(
        ' ',
      ),
    env: () => ({ NODE_ENV: 'production', CONFIGPROXY_AUTH_TOKEN: '' }),
    after: async (port, routes) => {
      for (const { host, port: upstream } of routes) {
        const answer = await eventually(() =>
          fetch(`http://127.0.0.1:${port + 1}/api/routes/${host}`, {
            method: 'POST',
            body: JSON.stringify({ target: `http://127.0.0.1:${upstream}` }),
          }),
        );
        if (answer.status !== 201) throw new Error(`its API answered ${answer.status} to a new route`);
      }
    },
  },
} as const satisfies Record<string, PeerKind>;

export type PeerName = keyof typeof peerKinds;

/** Routes to each of the ports in turn, with the names that our own proxy's `fill` makes. */
export function peerRoutes(count: number, ports: readonly number[]): PeerRoute[] {
  return Array.from({ length: count }, (_, i) => ({ host: nameOf(i), port: ports[i % ports.length]! }));
}

/** Starts another proxy, or says why it is left out. */
export async function startPeer(name: PeerName, routes: readonly PeerRoute[]): Promise<Peer | string> {
  const kind: PeerKind = peerKinds[name];
  const path = findProgram(kind.program);
  if (path === null) return `not installed (${kind.package})`;
  const folder = temporaryFolder();
  const port = await freePortRange(2);
  const config = join(folder, kind.template ?? 'none');
  for (const template of [kind.template, kind.map ?? null])
    if (template !== null) writeFileSync(join(folder, template), render(template, { folder, port }, routes));
  try {
    const child = await startProgram(path, kind.args(folder, config, port), port, kind.env?.(folder));
    await kind.after?.(port, routes);
    return {
      name,
      port,
      pid: child.pid!,
      async stop() {
        await stop(child);
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    return `does not start: ${(error as Error).message}`;
  }
}

export async function startOwn(
  fill: { routes: number; containers: number; ports: readonly number[] } | null,
  settings: Omit<ProxySettings, 'port'> = {},
  name = 'docker-spawner',
): Promise<OwnProxy> {
  const port = await freePortRange(1);
  const helper = new Helper<ProxyAsk>(
    '../proxy-process.ts',
    { ...settings, port },
    { execArgv: ['--expose-gc'] },
  );
  if (fill !== null)
    await helper.ask({ do: 'fill', count: fill.routes, containers: fill.containers, ports: fill.ports });
  return { name, port, pid: helper.child.pid!, helper, stop: () => stop(helper.child) };
}

/** A folder that a daemon's unprivileged workers can enter too. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'docker-spawner-bench-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** Fills {{words}}; what stands between the lines `#each` and `#end` is repeated for each route. */
export function render(
  template: string,
  words: Record<string, string | number>,
  routes: readonly PeerRoute[],
): string {
  const text = readFileSync(join(import.meta.dirname, '../peers', template), 'utf8');
  return fill(
    text.replace(/^ *#each\n([\s\S]*?)^ *#end\n/gm, (_, lines: string) =>
      routes.map(({ host, port }, i) => fill(lines, { host, upstream: port, number: i })).join(''),
    ),
    words,
  );
}

function fill(text: string, words: Record<string, string | number>): string {
  return text.replace(/\{\{(\w+)\}\}/g, (whole, word: string) => String(words[word] ?? whole));
}

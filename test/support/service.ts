import { type ChildProcess, spawn as spawnProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { freePortRange } from './core-harness.ts';

export const docker = new Docker();

const root = join(import.meta.dirname, '../..');

/** The answer to a request, its body as text. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** The service as an operator runs it: a process of its own, on free ports of loopback. */
export interface RunningService extends AsyncDisposable {
  readonly api: { readonly host: string; readonly port: number };
  readonly proxy: { readonly host: string; readonly port: number };
  readonly instance: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly portStart: number;
  /** Everything it wrote to standard error. */
  readonly log: () => string;
  /** `POST /spawn`, `POST /stop`, `GET /get_container_hex` of the original API. */
  spawn(image: string, user: string): Promise<Answer>;
  /** A spawn that must succeed: resolves with the id. */
  spawned(image: string, user: string): Promise<string>;
  stop(id: string): Promise<Answer>;
  find(user: string): Promise<Answer>;
  /** A request to a container through the proxy. */
  visit(id: string, path?: string, options?: Pick<Call, 'method' | 'body' | 'headers'>): Promise<Answer>;
  /** The host name, with the proxy's port, at which a container is visited. */
  hostOf(id: string): string;
  /** Containers of this instance in the engine, by the label. */
  containers(): Promise<Docker.ContainerInfo[]>;
  /** Ends the process and resolves with its exit code (null: by the signal). */
  end(signal: NodeJS.Signals): Promise<number | null>;
  /** Starts the process anew, on the same data, ports and instance. */
  restart(changes?: Partial<ServiceOptions>): Promise<RunningService>;
}

export interface ServiceOptions {
  /** Settings, as in the file. `container_images` is one of them. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts the service and resolves when it says that it is ready; rejects with its output where it ends before. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-service-'));
  try {
    return await boot(home, { ...options, settings: await completed(options.settings, home) });
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    throw error;
  }
}

/** Starts the service with a file of this very text (or settings), which it is to refuse. */
export async function refusedStart(
  file: string | Readonly<Record<string, unknown>>,
  options: Pick<ServiceOptions, 'args' | 'env'> = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-service-'));
  const text = typeof file === 'string' ? file : JSON.stringify(await completed(file, home), null, 2);
  const child = launch(home, text, options);
  const ended = once(child, 'close');
  const output = { stdout: collect(child.stdout!), stderr: collect(child.stderr!) };
  // A start that goes on says that it is ready: it is ended, and its exit code tells.
  child.stdout!.once('data', () => child.kill('SIGKILL'));
  const [code] = await ended;
  rmSync(home, { recursive: true, force: true });
  return { code, stdout: output.stdout(), stderr: output.stderr() };
}

/** What a test leaves open: an instance, a data_dir, and free ports of loopback. */
async function completed(settings: Readonly<Record<string, unknown>>, home: string) {
  const places = Number(settings.max_containers ?? 20);
  return {
    instance: `test-${randomBytes(4).toString('hex')}`,
    data_dir: join(home, 'data'),
    api_listen: '127.0.0.1:0',
    proxy_listen: '127.0.0.1:0',
    port_start: await freePortRange(places),
    max_containers: places,
    ...settings,
  };
}

function launch(home: string, text: string, options: Pick<ServiceOptions, 'args' | 'env'>): ChildProcess {
  const config = join(home, 'docker-spawner.yaml');
  writeFileSync(config, text);
  return spawnProcess(
    join(root, 'node_modules/.bin/node'),
    [join(root, 'src/cli/main.ts'), 'serve', '--config', config, ...(options.args ?? [])],
    {
      cwd: home,
      env: { ...process.env, ...compileCache, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
}

/** Halves the processor time of a start, of which the tests make dozens. */
const compileCache = { NODE_COMPILE_CACHE: join(tmpdir(), 'docker-spawner-test-compile-cache') };

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  return () => text;
}

async function boot(home: string, options: ServiceOptions): Promise<RunningService> {
  const settings = options.settings;
  // JSON is YAML.
  const child = launch(home, JSON.stringify(settings, null, 2), options);
  const log = collect(child.stderr!);
  const ready = await readyLine(child, log);
  const instance = String(settings.instance);
  const [api, proxy] = [ready.api, ready.proxy];
  const hostOf = (id: string) => `${id}.localhost:${proxy.port}`;
  const form = (path: string, fields: Record<string, string>) =>
    call(api, { method: 'POST', path, body: new URLSearchParams(fields).toString(), type: formType });
  const spawn = (image: string, user: string) => form('/spawn', { container_id: image, user_id: user });

  return {
    api,
    proxy,
    instance,
    pid: child.pid!,
    dataDir: String(settings.data_dir),
    portStart: Number(settings.port_start),
    log,
    spawn,
    async spawned(image, user) {
      const { status, body } = await spawn(image, user);
      if (status !== 200) throw new Error(`spawn of ${image} for ${user}: ${status} ${body}`);
      return body;
    },
    stop: (id) => form('/stop', { container_hex: id }),
    find: (user) => call(api, { path: `/get_container_hex?user_id=${encodeURIComponent(user)}` }),
    visit: (id, path = '/', options = {}) => call(proxy, { path, host: hostOf(id), ...options }),
    hostOf,
    containers: () =>
      docker.listContainers({ all: true, filters: { label: [`docker-spawner.instance=${instance}`] } }),
    end: (signal) => end(child, signal),
    async restart(changes = {}) {
      await end(child, 'SIGKILL');
      return boot(home, { ...options, ...changes, settings: { ...settings, ...changes.settings } });
    },
    async [Symbol.asyncDispose]() {
      await end(child, 'SIGKILL');
      await removeAll(instance);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

const formType = 'application/x-www-form-urlencoded';

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly host?: string;
  readonly body?: string | Buffer;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request on a connection of its own. */
export function call(
  to: { readonly host: string; readonly port: number },
  { method = 'GET', path, host, body, type, headers = {} }: Call,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        ...{ host: to.host, port: to.port, path, method, agent: false },
        headers: { ...(host ? { host } : {}), ...(type ? { 'content-type': type } : {}), ...headers },
      },
      (response) => {
        const text = collect(response);
        response.on('end', () => {
          resolve({ status: response.statusCode!, headers: response.headers, body: text() });
        });
        response.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

interface Ready {
  readonly api: { host: string; port: number };
  readonly proxy: { host: string; port: number };
}

/** Waits for the one line on standard output that says where the service listens. */
function readyLine(child: ChildProcess, log: () => string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      output += text;
      const line = /^ready api=http:\/\/(\S+):(\d+) proxy=http:\/\/(\S+):(\d+)\n/.exec(output);
      if (!line) return;
      const [, apiHost, apiPort, proxyHost, proxyPort] = line as unknown as string[];
      resolve({
        api: { host: apiHost!, port: Number(apiPort) },
        proxy: { host: proxyHost!, port: Number(proxyPort) },
      });
    });
    // Unlike `exit`, `close` comes after the last of its output.
    child.once('close', (code) => reject(new Error(`the service ended with ${code}:\n${log()}`)));
    child.once('error', reject);
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
  return child.exitCode;
}

/** Removes what a test's instance left in the engine: containers, then networks and volumes. */
async function removeAll(instance: string): Promise<void> {
  const filters = { label: [`docker-spawner.instance=${instance}`] };
  const containers = await docker.listContainers({ all: true, filters });
  await Promise.all(
    containers.map((c) =>
      docker
        .getContainer(c.Id)
        .remove({ force: true, v: true })
        .catch(() => {}),
    ),
  );
  const networks = await docker.listNetworks({ filters });
  const { Volumes: volumes } = await docker.listVolumes({ filters: JSON.stringify(filters) });
  await Promise.all([
    ...networks.map((n) =>
      docker
        .getNetwork(n.Id)
        .remove()
        .catch(() => {}),
    ),
    ...volumes.map((v) =>
      docker
        .getVolume(v.Name)
        .remove()
        .catch(() => {}),
    ),
  ]);
}

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { Specification } from '../../src/core/container.ts';
import type { ContainerSpec, LifecycleSpec } from '../../src/core/image-entry.ts';

/** A specification with a fresh id and a host port that was free a moment ago. */
export async function specify(spec: Partial<ContainerSpec>): Promise<Specification> {
  const createdAtMs = Date.parse('2030-01-02T03:04:05.678Z');
  return {
    id: randomBytes(16).toString('hex'),
    imageKey: 'test',
    user: 'Zoë <&> "it\'s me"',
    createdAtMs,
    expiresAtMs: createdAtMs + 3_600_000,
    ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: await freePort() }],
    configHash: 'c0ffee',
    ready: { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 60_000 },
    lifecycle: plainLifecycle,
    labels: {},
    spec: { ...plainSpec, ...spec },
  };
}

export const plainLifecycle: LifecycleSpec = {
  idleMs: null,
  onIdle: 'remove',
  idleIgnoresTunnels: false,
  warnBeforeMs: 0,
  maxLifetimeMs: 3_600_000,
};

export const plainSpec: ContainerSpec = {
  image: 'web',
  command: null,
  entrypoint: null,
  environment: {},
  volumes: [],
  tmpfs: [],
  workingDir: null,
  user: null,
  labels: {},
  memLimitBytes: 128 * 1024 * 1024,
  cpus: 1,
  pidsLimit: 64,
  shmSizeBytes: null,
  ulimits: [],
  readOnly: false,
  capabilities: ['NET_BIND_SERVICE'],
  securityOpt: ['no-new-privileges:true'],
  runtime: null,
  init: null,
  devices: [],
  dns: [],
  extraHosts: [],
  stopSignal: null,
  stopGracePeriodMs: null,
  pullPolicy: 'missing',
  platform: null,
  networkMode: null,
  logMaxSizeBytes: 10 * 1024 * 1024,
  logMaxFiles: 2,
};

export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once('error', reject).listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

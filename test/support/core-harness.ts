import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.ts';
import { type Core, type CoreOptions, createCore } from '../../src/core/core.ts';
import type {
  Allowed,
  ContainerSpec,
  ImageEntry,
  LifecycleSpec,
  ReadySpec,
  WarmSpec,
} from '../../src/core/image-entry.ts';
import type { Ledger } from '../../src/core/ledger.ts';
import type { Log } from '../../src/core/log.ts';
import { openLedger } from '../../src/ledger/sqlite.ts';
import { createLoopbackReach } from '../../src/reach/loopback.ts';
import { createMemoryEngine } from './memory-engine.ts';
import { MemoryMachine } from './memory-machine.ts';

/** A core on the engine in memory, with a real ledger; everything is undone at the end of the block. */
export interface CoreHarness extends AsyncDisposable {
  readonly machine: MemoryMachine;
  readonly core: Core;
  readonly ledger: Ledger;
  readonly portStart: number;
  /** Ids whose connections were told to close. */
  readonly released: string[];
  /** What was logged as a warning or an error. */
  readonly warnings: string[];
  /** Ends this core as a crash does, and starts another on the same ledger, machine and ports. */
  restart(options?: Partial<CoreOptions>): Promise<CoreHarness>;
  /** Another service on the same machine, with a ledger of its own. */
  neighbour(options?: Partial<CoreOptions>): Promise<CoreHarness>;
}

export async function startCore(options: Partial<CoreOptions> = {}): Promise<CoreHarness> {
  const dataDir = mkdtempSync(join(tmpdir(), 'docker-spawner-test-'));
  const machine = new MemoryMachine();
  const portStart = options.portStart ?? (await freePortRange(options.maxContainers ?? 20));
  const instance = options.instance ?? `t${randomBytes(4).toString('hex')}`;
  return boot(dataDir, machine, { ...options, portStart, instance });
}

async function boot(
  dataDir: string,
  machine: MemoryMachine,
  options: Partial<CoreOptions> & { portStart: number; instance: string },
): Promise<CoreHarness> {
  const ledger = openLedger(dataDir);
  const released: string[] = [];
  const warnings: string[] = [];
  const owner = { instance: options.instance, identity: () => ledger.identity };
  const core = createCore({
    images: entries('web', 'never-listens', 'silent', 'exits', 'idle'),
    domain: 'example.test',
    urlOf: (id) => `http://${id}.example.test`,
    withUsers: true,
    userLimit: 1,
    onUserLimit: 'reject',
    maxContainers: 20,
    hexSize: 32,
    adopt: false,
    sweepEveryMs: 60_000,
    historyMs: 3_600_000,
    maxParallelStarts: 8,
    queueLength: 1000,
    engine: createMemoryEngine({ machine, owner }),
    ledger,
    traffic: { release: async (id) => void released.push(id), quiesce: async () => {}, noteNow() {} },
    reach: createLoopbackReach(),
    clock: systemClock,
    log: collect(warnings),
    ...options,
  });
  const end = () => {
    core.close();
    ledger.close();
  };
  try {
    await core.start();
  } catch (error) {
    end();
    throw error;
  }
  let ended = false;
  return {
    machine,
    core,
    ledger,
    portStart: options.portStart,
    released,
    warnings,
    restart(changes = {}) {
      ended = true;
      end();
      return boot(dataDir, machine, { ...options, ...changes });
    },
    neighbour: (changes = {}) =>
      boot(mkdtempSync(join(tmpdir(), 'docker-spawner-test-')), machine, { ...options, ...changes }),
    async [Symbol.asyncDispose]() {
      if (!ended) end();
      await machine.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Entries whose keys are their images' names on the machine in memory. */
export function entries(...images: string[]): Map<string, ImageEntry> {
  return new Map(images.map((image) => [image, entry(image)]));
}

export function entry(
  image: string,
  changes: {
    spec?: Partial<ContainerSpec>;
    ready?: Partial<ReadySpec>;
    lifetimeMs?: number;
    lifecycle?: Partial<LifecycleSpec>;
    max?: number;
    warm?: Partial<WarmSpec>;
    configHash?: string;
    allow?: readonly Allowed[];
  } = {},
): ImageEntry {
  return {
    key: image,
    configHash: changes.configHash ?? 'a'.repeat(64),
    ports: [{ name: 'web', port: 80, protocol: 'http' }],
    ready: { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 2000, ...changes.ready },
    lifetimeMs: changes.lifetimeMs ?? 3_600_000,
    lifecycle: {
      idleMs: null,
      onIdle: 'remove',
      idleIgnoresTunnels: false,
      warnBeforeMs: 0,
      maxLifetimeMs: changes.lifetimeMs ?? 3_600_000,
      ...changes.lifecycle,
    },
    max: changes.max ?? null,
    warm: { count: 0, maxAgeMs: 3_600_000, onClaim: null, ...changes.warm },
    allow: changes.allow ?? ['lifetime', 'labels'],
    spec: { ...plainSpec(image), ...changes.spec },
  };
}

function plainSpec(image: string): ContainerSpec {
  return {
    image,
    command: null,
    entrypoint: null,
    environment: {},
    volumes: [],
    tmpfs: [],
    workingDir: null,
    user: null,
    labels: {},
    memLimitBytes: 0,
    cpus: 0,
    pidsLimit: -1,
    shmSizeBytes: null,
    ulimits: [],
    readOnly: false,
    capabilities: [],
    securityOpt: [],
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
    logMaxSizeBytes: 1 << 20,
    logMaxFiles: 1,
  };
}

/** The start of `count` ports below the range that the kernel gives to outgoing connections, all free now. */
export async function freePortRange(count: number): Promise<number> {
  for (;;) {
    const start = 10_000 + Math.floor(Math.random() * 20_000);
    const checks = Array.from({ length: count }, (_, i) => canListen(start + i));
    if ((await Promise.all(checks)).every(Boolean)) return start;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function collect(warnings: string[]): Log {
  const keep = (_fields: object, message: string) => void warnings.push(message);
  return { debug() {}, info() {}, warn: keep, error: keep };
}

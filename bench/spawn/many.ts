import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../../src/core/clock.ts';
import { type Core, createCore } from '../../src/core/core.ts';
import { encodeLabels } from '../../src/core/labels.ts';
import { createDockerEngine } from '../../src/engine/docker.ts';
import { openLedger } from '../../src/ledger/sqlite.ts';
import { entries, entry } from '../../test/support/core-harness.ts';
import type { Report } from '../main.ts';
import { line, median, ratio } from '../stats.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** A core with the real Docker client, on an engine that answers at once and has `live` containers of ours. */
interface Service extends AsyncDisposable {
  readonly core: Core;
  /** How long the core took until all were routed, and one list call of the engine before it. */
  readonly startMs: number;
  readonly listMs: number;
}

async function startWith(live: number): Promise<Service> {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-bench-'));
  const socket = join(home, 'engine.sock');
  const ledger = openLedger(home);
  const owner = { instance: 'bench', ledger: ledger.identity };
  const listed = Array.from({ length: live }, (_, i) => {
    const birth = birthOf(i);
    const { spec, ready, lifecycle } = entry('web');
    ledger.add(
      { ...birth, spec, ready, lifecycle, labels: {} },
      { acknowledged: false, warm: false, idempotency: null },
    );
    ledger.becomeReady(birth.id, birth.createdAtMs);
    const Names = [`/spawned__${birth.id}`];
    return {
      Id: birth.id.padStart(64, '0'),
      Names,
      Image: 'web',
      State: 'running',
      Labels: encodeLabels(owner, birth),
    };
  });
  const child = fork(join(import.meta.dirname, 'instant-engine.ts'), [socket]);
  child.send(listed);
  await once(child, 'message');
  const engine = createDockerEngine({
    owner: { instance: 'bench', identity: () => ledger.identity },
    containerPrefix: 'spawned__',
    env: { DOCKER_HOST: `unix://${socket}` },
    log: silent,
  });
  // The first call pays for what the process has not compiled yet.
  await engine.list({}, AbortSignal.timeout(30_000));
  const listStartedMs = performance.now();
  await engine.list({}, AbortSignal.timeout(30_000));
  const listMs = performance.now() - listStartedMs;
  const core = createCore({
    images: entries('web'),
    domain: 'example.test',
    urlOf: (id) => `http://${id}.example.test`,
    instance: 'bench',
    withUsers: true,
    userLimit: 1,
    onUserLimit: 'reject',
    portStart: 10_000,
    maxContainers: 20_000,
    maxParallelStarts: 8,
    queueLength: 100,
    hexSize: 32,
    adopt: false,
    sweepEveryMs: 3_600_000,
    historyMs: 3_600_000,
    engine,
    ledger,
    traffic: { release: async () => {}, quiesce: async () => {}, noteNow() {} },
    reach: { portIsFree: async () => true, httpStatus: async () => 200 },
    clock: systemClock,
    log: silent,
  });
  const startedMs = performance.now();
  await core.start();
  const startMs = performance.now() - startedMs;
  for (let i = 0; i < live; i++) {
    if (core.routes.get(`${birthOf(i).id}.example.test`)?.state !== 'ready') throw new Error('not routed');
  }
  return {
    core,
    startMs,
    listMs,
    async [Symbol.asyncDispose]() {
      core.close();
      child.disconnect();
      await once(child, 'exit');
      ledger.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The same for the same number, so that ledger and engine agree. */
function birthOf(i: number) {
  const createdAtMs = 1_800_000_000_000;
  return {
    id: i.toString(16).padStart(32, '0'),
    imageKey: 'web',
    user: `resident-${i}`,
    createdAtMs: Date.now() - (Date.now() % 86_400_000),
    expiresAtMs: createdAtMs + 10 * 365 * 86_400_000,
    ports: [{ name: 'web', port: 80, protocol: 'http' as const, hostPort: 10_000 + i }],
    configHash: 'a'.repeat(64),
  };
}

/** Spawn and stop with 10,000 live containers over 10: CPU time each, and the longest stop of the event loop. */
export async function cost(rounds = 10, pairs = 200): Promise<Report> {
  const few: number[] = [];
  const many: number[] = [];
  const delays = { few: 0, many: 0 };
  await using small = await startWith(10);
  await using large = await startWith(10_000);
  for (let round = -2; round < rounds; round++) {
    const a = await measure(small.core, pairs);
    const b = await measure(large.core, pairs);
    if (round < 0) continue;
    few.push(a.cpuUs);
    many.push(b.cpuUs);
    delays.few = Math.max(delays.few, a.delayMs);
    delays.many = Math.max(delays.many, b.delayMs);
  }
  const r = ratio(many, few);
  return {
    lines: [
      line({ name: 'spawn and stop, 10 live', values: few }, 'us CPU'),
      line({ name: 'spawn and stop, 10,000 live', values: many }, 'us CPU'),
      `ratio, round by round                median ${r.median.toFixed(3)}   (10-90 %: ${r.low.toFixed(3)} - ${r.high.toFixed(3)})   (to reach: 1.2)`,
      `longest event-loop delay             ${delays.few.toFixed(1)} ms with 10, ${delays.many.toFixed(1)} ms with 10,000`,
    ],
    data: { fewUs: few, manyUs: many, delays },
  };
}

async function measure(core: Core, pairs: number): Promise<{ cpuUs: number; delayMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = process.cpuUsage();
  for (let i = 0; i < pairs; i++) {
    const { id } = await core.commands.spawn({ imageKey: 'web', user: `visitor-${i}` });
    await core.commands.stop(id);
  }
  const { user, system } = process.cpuUsage(before);
  delay.disable();
  return { cpuUs: (user + system) / pairs, delayMs: delay.max / 1e6 };
}

/** Start with 1,000 live containers until all are routed, over one list call of the engine. */
export async function start(rounds = 10): Promise<Report> {
  const starts: number[] = [];
  const lists: number[] = [];
  for (let round = -1; round < rounds; round++) {
    await using service = await startWith(1000);
    if (round < 0) continue;
    starts.push(service.startMs);
    lists.push(service.listMs);
  }
  const r = ratio(starts, lists);
  return {
    lines: [
      line({ name: 'one list call, 1,000 live', values: lists }, 'ms'),
      line({ name: 'start until all are routed', values: starts }, 'ms'),
      `ratio, round by round                median ${r.median.toFixed(2)}   (10-90 %: ${r.low.toFixed(2)} - ${r.high.toFixed(2)})   (to reach: 1.5)`,
      `ratio of the medians                 ${(median(starts) / median(lists)).toFixed(2)}`,
    ],
    data: { startMs: starts, listMs: lists },
  };
}

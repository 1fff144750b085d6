import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts';
import { metricsPage } from '../../src/metrics/page.ts';
import { createProxy } from '../../src/proxy/proxy.ts';
import { type CoreHarness, entry, freePortRange, startCore } from '../support/core-harness.ts';
import { eventually } from '../support/eventually.ts';
import { createMemoryEngine } from '../support/memory-engine.ts';
import { MemoryMachine } from '../support/memory-machine.ts';
import { call } from '../support/service.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const machine = new MemoryMachine();
const closers: (() => unknown)[] = [];
let harness: CoreHarness;
let metrics: Metrics;
let served: { host: string; port: number };
let prometheus: { host: string; port: number };

beforeAll(async () => {
  for (const program of ['promtool', 'prometheus']) {
    if (spawnSync(program, ['--version']).error === undefined) continue;
    throw new Error(`these tests need ${program}: "npm test" installs it (Debian package prometheus)`);
  }
  await startMeasuredService();
  served = await serve(async () => ({ type: metrics.contentType, text: await metrics.text() }));
  prometheus = await startPrometheus(served.port);
});

afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

test('promtool finds nothing to say about the metrics', async () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: await metrics.text(),
    encoding: 'utf8',
  });
  expect(stdout + stderr).toBe('');
  expect(status).toBe(0);
});

test('a Prometheus scrapes them, and knows what the service knows', async () => {
  const ready = await eventually(async () => {
    const result = await query('docker_spawner_containers{phase="ready"}');
    expect(result).toHaveLength(1);
    return result[0]!;
  });
  expect(ready).toMatchObject({
    metric: { image: 'web', job: 'docker-spawner' },
    value: [expect.any(Number), '1'],
  });
  const targets = await ask('/api/v1/targets');
  expect(targets.activeTargets).toMatchObject([{ health: 'up', lastError: '' }]);

  const all = await query('{__name__=~"docker_spawner_.+"}');
  expect(all.length).toBeGreaterThan(100);
  expect(await query('docker_spawner_proxy_own_answers_total{status="404"}')).toMatchObject([
    { value: [expect.any(Number), '1'] },
  ]);
  expect(await query('docker_spawner_engine_calls_total{verb="create"} > 0')).toHaveLength(1);
  expect(await query('docker_spawner_spawn_duration_seconds_count{image="web"} == 1')).toHaveLength(1);
});

test('a Prometheus understands every expression of the dashboard, and every alarm of the page', async () => {
  const dashboard = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../deploy/grafana/docker-spawner.json'), 'utf8'),
  ) as { panels: { targets?: { expr: string }[] }[] };
  const shown = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  const alarms = [...metricsPage().matchAll(/\| `(.*)` \|$/gm)].map(([, expression]) => expression!);
  const expressions = [...shown, ...alarms.filter((text) => text.includes('docker_spawner_'))];
  expect(expressions.length).toBeGreaterThan(40);
  for (const expression of expressions) {
    const filled = expression
      .replaceAll('$__rate_interval', '1m')
      .replaceAll('$job', '.*')
      .replaceAll('$instance', '.*');
    await query(filled);
  }
});

/** A core on the engine in memory, measured, with a proxy before it: one container, one visit, one wrong host. */
async function startMeasuredService(): Promise<void> {
  const images = new Map([['web', entry('web')]]);
  metrics = createMetrics({ version: '1.2.3', images: () => images, clock: systemClock, log: quiet });
  const owner = { instance: 'prometheus-test', identity: () => harness.ledger.identity };
  const engine = metrics.measured(createMemoryEngine({ machine, owner }));
  harness = await startCore({ engine, images, instance: owner.instance });
  const { core } = harness;
  const proxy = createProxy({
    log: quiet,
    tickMs: 10,
    waist: {
      routes: core.routes,
      noteActivity(id, delta) {
        metrics.noteActivity(delta);
        core.noteActivity(id, delta);
      },
      wake: () => Promise.reject(new Error('nothing sleeps here')),
    },
  });
  closers.push(
    () => machine.close(),
    () => harness[Symbol.asyncDispose](),
    () => metrics.close(),
    () => proxy.drain(0),
  );
  metrics.follow({
    events: core.events,
    overview: core.overview,
    proxy,
    webhooks: {
      figures: () => [{ target: 'http://127.0.0.1', waiting: 0, delivered: 1, failed: 0, dead: 0 }],
    },
  });
  const { id } = await core.commands.spawn({ imageKey: 'web', user: 'ada' });
  const listening = await proxy.listen({ host: '127.0.0.1', port: 0 });
  expect((await call(listening, { path: '/', host: `${id}.example.test` })).status).toBe(200);
  expect((await call(listening, { path: '/', host: 'nobody.example.test' })).status).toBe(404);
}

async function serve(answer: () => Promise<{ type: string; text: string }>) {
  const server = createServer(async (_request, response) => {
    const { type, text } = await answer();
    response.writeHead(200, { 'content-type': type }).end(text);
  });
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

async function startPrometheus(scrapedPort: number) {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-prometheus-'));
  const config = join(home, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [
        { job_name: 'docker-spawner', static_configs: [{ targets: [`127.0.0.1:${scrapedPort}`] }] },
      ],
    }),
  );
  const port = await freePortRange(1);
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(home, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { cwd: home, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  closers.push(() => end(child, home));
  const address = { host: '127.0.0.1', port };
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}: ${output}`);
    expect((await call(address, { path: '/-/ready' })).status).toBe(200);
  }, 60_000);
  return address;
}

async function end(child: ChildProcess, home: string): Promise<void> {
  if (child.exitCode === null) {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  rmSync(home, { recursive: true, force: true });
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** The result of an expression; rejects with what Prometheus says where it does not understand it. */
async function query(expression: string): Promise<Series[]> {
  const { result } = await ask(`/api/v1/query?query=${encodeURIComponent(expression)}`);
  return result as Series[];
}

async function ask(path: string): Promise<Record<string, unknown>> {
  const { body } = await call(prometheus, { path });
  const answer = JSON.parse(body) as { status: string; error?: string; data: Record<string, unknown> };
  if (answer.status !== 'success') throw new Error(`${decodeURIComponent(path)}: ${answer.error}`);
  return answer.data;
}

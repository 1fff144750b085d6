import type Docker from 'dockerode';
import { systemClock } from '../../src/core/clock.ts';
import { untilReady } from '../../src/core/readiness.ts';
import { createLoopbackReach } from '../../src/reach/loopback.ts';
import { testImage } from '../../test/support/images.ts';
import { docker, type RunningService, startService } from '../../test/support/service.ts';
import type { Report } from '../main.ts';
import { line, median, ratio } from '../stats.ts';

const rounds = 30;

/**
 * A cold spawn: from the call of /spawn to the first byte through the subdomain, over create + start + first
 * byte with the bare Engine API, with the same host configuration and the same polling. Interleaved, and who
 * goes first changes from round to round.
 */
export async function coldSpawn(): Promise<Report> {
  const image = await testImage();
  await using service = await startService({
    settings: { container_images: { web: image }, log_level: 'error' },
  });
  const sample = await sampleOf(service);
  const own: number[] = [];
  const bare: number[] = [];
  for (let round = -2; round < rounds; round++) {
    const first = round % 2 === 0 ? ownSpawn : bareSpawn;
    const second = first === ownSpawn ? bareSpawn : ownSpawn;
    const results = new Map([
      [first, await first(service, sample)],
      [second, await second(service, sample)],
    ]);
    // The first rounds warm both sides up.
    if (round < 0) continue;
    own.push(results.get(ownSpawn)!);
    bare.push(results.get(bareSpawn)!);
    process.stderr.write(`round ${round + 1}/${rounds}\r`);
  }
  const r = ratio(own, bare);
  return {
    lines: [
      line({ name: 'bare create + start + first byte', values: bare }, 'ms'),
      line({ name: 'cold spawn, first byte by subdomain', values: own }, 'ms'),
      `ratio, round by round                median ${r.median.toFixed(3)}   (10-90 %: ${r.low.toFixed(3)} - ${r.high.toFixed(3)})`,
      `ratio of the medians                 ${(median(own) / median(bare)).toFixed(3)}   (to reach: 1.03)`,
    ],
    data: { ownMs: own, bareMs: bare },
  };
}

async function ownSpawn(service: RunningService): Promise<number> {
  const startedMs = performance.now();
  const { body: id, status } = await service.spawn('web', 'bench');
  if (status !== 200) throw new Error(`spawn answered ${status}: ${id}`);
  const { status: page } = await service.visit(id);
  const tookMs = performance.now() - startedMs;
  if (page !== 200) throw new Error(`the container answered ${page}`);
  await service.stop(id);
  return tookMs;
}

async function bareSpawn(_service: RunningService, sample: Docker.ContainerInspectInfo): Promise<number> {
  const startedMs = performance.now();
  const container = await bareStart(sample);
  const tookMs = performance.now() - startedMs;
  await removeBare(container);
  return tookMs;
}

/** Creates, starts, and waits for the first byte, with the polling of the service. */
export async function bareStart(sample: Docker.ContainerInspectInfo): Promise<Docker.Container> {
  const port = nextBarePort();
  const container = await docker.createContainer(bareBody(sample, port));
  await container.start();
  const ready = { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 60_000 };
  const target = { upstream: { address: '127.0.0.1', port }, host: 'localhost', ready };
  const deps = { clock: systemClock, reach: createLoopbackReach() };
  if (!(await untilReady(target, deps, new AbortController().signal))) throw new Error('not ready');
  return container;
}

export async function removeBare(container: Docker.Container): Promise<void> {
  await container.remove({ force: true, v: true });
}

/** Each once, so that no port is asked for before the engine has let go of it. */
function nextBarePort(): number {
  barePort = barePort >= 9999 ? 6000 : barePort + 1;
  return barePort;
}
let barePort = 6000;

/** The host configuration of a container that the service made: same limits, same network, same logs. */
export async function sampleOf(service: RunningService): Promise<Docker.ContainerInspectInfo> {
  const { body: id } = await service.spawn('web', 'sample');
  const [sample] = await service.containers();
  const inspected = await docker.getContainer(sample!.Id).inspect();
  await service.stop(id);
  return inspected;
}

/** Without our labels, or the service would take it for one of its own that nobody asked for. */
function bareBody(sample: Docker.ContainerInspectInfo, port: number): Docker.ContainerCreateOptions {
  return {
    Image: sample.Config.Image,
    Env: sample.Config.Env,
    ExposedPorts: sample.Config.ExposedPorts,
    HostConfig: {
      ...sample.HostConfig,
      PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: String(port) }] },
    },
  };
}

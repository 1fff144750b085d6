import type Docker from 'dockerode';
import { createLoopbackReach } from '../src/reach/loopback.ts';
import { freePortRange } from '../test/support/core-harness.ts';
import { testImage } from '../test/support/images.ts';
import { docker, type RunningService, startService } from '../test/support/service.ts';
import type { Report } from './main.ts';
import { line, median, ratio } from './stats.ts';

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
  const port = await freePortRange(1);
  const body = bareBody(sample, port);
  const reach = createLoopbackReach();
  const startedMs = performance.now();
  const container = await docker.createContainer(body);
  await container.start();
  while (
    (await reach.httpStatus({ address: '127.0.0.1', port }, 'localhost', '/', AbortSignal.timeout(5000))) ===
    null
  ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const tookMs = performance.now() - startedMs;
  await container.remove({ force: true, v: true });
  return tookMs;
}

/** The host configuration of a container that the service made: same limits, same network, same logs. */
async function sampleOf(service: RunningService): Promise<Docker.ContainerInspectInfo> {
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

import { testImage } from '../../test/support/images.ts';
import { type RunningService, startService } from '../../test/support/service.ts';
import type { Report } from '../main.ts';
import { line, median, quantile, ratio } from '../stats.ts';
import { bareStart, removeBare, sampleOf } from './cold.ts';

/** A warm spawn: from the call to the first byte through the subdomain. */
export async function warmSpawn(rounds = 100): Promise<Report> {
  const image = await testImage();
  await using service = await startService({
    settings: { container_images: { web: { image, warm: 3 } }, log_level: 'error' },
  });
  const values: number[] = [];
  for (let round = -3; round < rounds; round++) {
    await poolIsFull(service, 3);
    const startedMs = performance.now();
    const { body: id, status } = await service.spawn('web', 'bench');
    const page = await service.visit(id);
    const tookMs = performance.now() - startedMs;
    if (status !== 200 || page.status !== 200) throw new Error(`${status} ${id}, ${page.status}`);
    if (round >= 0) values.push(tookMs);
    await service.stop(id);
  }
  const [p50, p99] = [quantile(values, 0.5), quantile(values, 0.99)];
  return {
    lines: [
      line({ name: 'warm spawn, first byte by subdomain', values }, 'ms'),
      `warm spawn                           p50 ${p50.toFixed(1)} ms (to reach: 5), p99 ${p99.toFixed(1)} ms (to reach: 20)`,
    ],
    data: { warmMs: values },
  };
}

/** All that are running and not condemned are warm here, since nobody else has one. */
async function poolIsFull(service: RunningService, count: number): Promise<void> {
  for (;;) {
    const running = (await service.containers()).filter((c) => c.State === 'running');
    if (running.length === count && running.every((c) => c.Names[0]!.includes('warm-'))) {
      // The engine shows it before its web server has answered: that takes a moment more.
      await new Promise((resolve) => setTimeout(resolve, 300));
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** 32 spawns at once over 32 unbounded bare starts: mean time to ready, and the last of them. */
export async function burst(rounds = 10, width = 32): Promise<Report> {
  const image = await testImage();
  await using service = await startService({
    settings: { container_images: { web: image }, log_level: 'error', max_containers: width + 8 },
  });
  const sample = await sampleOf(service);
  const own: { mean: number; last: number }[] = [];
  const bare: { mean: number; last: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const sides = [() => ownBurst(service, width), () => bareBurst(sample, width)] as const;
    const order = round % 2 === 0 ? [0, 1] : [1, 0];
    const results: { mean: number; last: number }[] = [];
    for (const side of order) results[side] = await sides[side]!();
    if (round < 0) continue;
    own.push(results[0]!);
    bare.push(results[1]!);
    process.stderr.write(`round ${round + 1}/${rounds}\r`);
  }
  const row = (name: string, of: 'mean' | 'last', reach: string) => {
    const [a, b] = [own.map((x) => x[of]), bare.map((x) => x[of])];
    const r = ratio(a, b);
    return [
      line({ name: `${name}, bare`, values: b }, 'ms'),
      line({ name: `${name}, spawned`, values: a }, 'ms'),
      `ratio of the ${of}, round by round     median ${r.median.toFixed(3)}   (10-90 %: ${r.low.toFixed(3)} - ${r.high.toFixed(3)})   (to reach: ${reach})   of the medians ${(median(a) / median(b)).toFixed(3)}`,
    ];
  };
  return {
    lines: [
      ...row(`mean of ${width} at once`, 'mean', '0.8'),
      ...row(`last of ${width} at once`, 'last', '1.1'),
    ],
    data: { own, bare },
  };
}

async function ownBurst(service: RunningService, width: number) {
  const startedMs = performance.now();
  const ids: string[] = [];
  const times = await Promise.all(
    Array.from({ length: width }, async (_, i) => {
      const { status, body } = await service.spawn('web', `u${i}`);
      if (status !== 200) throw new Error(`${status} ${body}`);
      ids.push(body);
      return performance.now() - startedMs;
    }),
  );
  for (const id of ids) await service.stop(id);
  return summary(times);
}

async function bareBurst(sample: Parameters<typeof bareStart>[0], width: number) {
  const startedMs = performance.now();
  const started = await Promise.all(
    Array.from({ length: width }, async () => {
      const container = await bareStart(sample);
      return { container, ms: performance.now() - startedMs };
    }),
  );
  for (const { container } of started) await removeBare(container);
  return summary(started.map((s) => s.ms));
}

function summary(times: readonly number[]) {
  return { mean: times.reduce((sum, ms) => sum + ms, 0) / times.length, last: Math.max(...times) };
}

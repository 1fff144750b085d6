import { line, median, quantile, ratio } from '../stats.ts';
import { type Noise, noiseNow } from './noise.ts';
import type { Peer } from './peers.ts';

/** How much is measured: enough to trust, or just enough to see that it works. */
export interface Extent {
  readonly rounds: number;
  readonly loadSeconds: number;
  readonly bodyBytes: number;
  readonly webSockets: number;
}

export const fullExtent: Extent = { rounds: 10, loadSeconds: 3, bodyBytes: 2 ** 30, webSockets: 5000 };
export const quickExtent: Extent = { rounds: 3, loadSeconds: 1, bodyBytes: 2 ** 27, webSockets: 500 };

/** Lines for a person, numbers for a program. */
export interface Row {
  readonly lines: readonly string[];
  readonly data: unknown;
}

/** Values by the name of what was measured, one of each round. */
export type Values = Readonly<Record<string, readonly number[]>>;

const noises: Noise[] = [];

/**
 * Measures every peer once in each round, and who goes first changes from round to round; a round before the
 * first warms up and does not count.
 */
export async function inRounds<T>(
  title: string,
  peers: readonly Peer[],
  rounds: number,
  measure: (peer: Peer) => Promise<T>,
): Promise<Map<string, T[]>> {
  const results = new Map<string, T[]>(peers.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    progress(`${title}: round ${round + 1} of ${rounds}`);
    if (round >= 0) noises.push(noiseNow());
    const first = (round + peers.length) % peers.length;
    for (const peer of [...peers.slice(first), ...peers.slice(0, first)]) {
      const result = await measure(peer);
      if (round >= 0) results.get(peer.name)!.push(result);
    }
  }
  progress('');
  return results;
}

/** Shows a person at a terminal what is being done; '' when it is over. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

export function pick<T>(results: ReadonlyMap<string, readonly T[]>, value: (result: T) => number): Values {
  return Object.fromEntries([...results].map(([name, list]) => [name, list.map(value)]));
}

export function seriesLines(values: Values, unit: string): string[] {
  return Object.entries(values).map(([name, list]) => line({ name: `  ${name}`, values: list }, unit));
}

/** The ratio of two of the series, beside what it is to be at most (or, with `least`, at least). */
export function ratioLine(
  values: Values,
  of: string,
  over: string,
  toReach: number | null,
  least = false,
): string {
  if (values[of] === undefined || values[over] === undefined) return `  ${of} / ${over}: not measured`;
  const r = ratio(values[of], values[over]);
  const reached = toReach === null || (least ? r.median >= toReach : r.median <= toReach);
  const verdict = toReach === null ? '' : `; to reach: ${toReach}${reached ? '' : ', NOT REACHED'}`;
  return `  ${`${of} / ${over}`.padEnd(44)} ${r.median.toFixed(2)}   (10-90 %: ${r.low.toFixed(2)} - ${r.high.toFixed(2)}${verdict})`;
}

/** A single number beside its limit. */
export function limitLine(name: string, value: number, unit: string, limit: number): string {
  const verdict = value <= limit ? '' : ', NOT REACHED';
  return `  ${name.padEnd(44)} ${value.toFixed(2)} ${unit}   (to reach: ${limit}${verdict})`;
}

export function noiseRow(): Row {
  const walls = noises.map(({ wallMs }) => wallMs);
  const cpus = noises.map(({ cpuMs }) => cpuMs);
  const loads = noises.map(({ load }) => load);
  const spread = (values: readonly number[]) =>
    `median ${median(values).toFixed(1)}, from ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
  return {
    lines: [
      `Noise of the machine over ${noises.length} rounds (quiet: both times alike and always the same)`,
      `  a fixed loop, ms on the clock: ${spread(walls)}`,
      `  the same, ms of CPU: ${spread(cpus)}; 90 % below ${quantile(cpus, 0.9).toFixed(1)}`,
      `  load average: ${spread(loads)}`,
    ],
    data: noises,
  };
}

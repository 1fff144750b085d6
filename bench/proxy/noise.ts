import { loadavg } from 'node:os';

/** How quiet the machine was: taken beside every round, since what others run is in every number. */
export interface Noise {
  /** A fixed piece of work: how long it took, and how much CPU time (which should never change). */
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Processes that want a core, as a mean of the last minute. */
  readonly load: number;
}

const loops = 20_000_000;

export function noiseNow(): Noise {
  const before = process.cpuUsage();
  const startedMs = performance.now();
  let x = 1;
  for (let i = 0; i < loops; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(before);
  // The condition keeps the loop from being thrown away.
  if (x === 0) throw new Error('unreachable');
  return { wallMs, cpuMs: (user + system) / 1000, load: loadavg()[0]! };
}

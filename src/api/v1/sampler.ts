import type { ContainerStats } from '../../core/engine.ts';
import type { StatsAnswer } from './view-schemas.ts';

/** Looks at what a container uses; the use of processors is that since the look before. */
export function sampler(look: () => Promise<ContainerStats>) {
  let before: { readonly cpuMs: number; readonly atMs: number } | null = null;

  async function sample(): Promise<StatsAnswer> {
    const stats = await look();
    const atMs = performance.now();
    const cpus = before === null ? null : (stats.cpuMs - before.cpuMs) / (atMs - before.atMs);
    before = { cpuMs: stats.cpuMs, atMs };
    return {
      at: new Date().toISOString(),
      // It was started anew where its time is less than before.
      cpus: cpus === null || cpus < 0 || !Number.isFinite(cpus) ? null : Math.round(cpus * 1000) / 1000,
      cpu_seconds: Math.round(stats.cpuMs) / 1000,
      memory_bytes: stats.memoryBytes,
      memory_limit_bytes: stats.memoryLimitBytes,
      received_bytes: stats.receivedBytes,
      sent_bytes: stats.sentBytes,
      pids: stats.pids,
    };
  }

  return Object.assign(sample, { taken: () => before !== null });
}

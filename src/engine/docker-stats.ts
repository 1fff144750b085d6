import type { ContainerStats } from '../core/engine.ts';

/** What of the engine's answer is read; of a stopped container most of it is missing. */
export interface DockerStats {
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage?: number } };
  readonly memory_stats?: {
    readonly usage?: number;
    readonly limit?: number;
    readonly stats?: Readonly<Record<string, number>>;
  };
  readonly pids_stats?: { readonly current?: number };
  readonly networks?: Readonly<Record<string, { readonly rx_bytes: number; readonly tx_bytes: number }>>;
}

export function fromStats({ cpu_stats, memory_stats, pids_stats, networks }: DockerStats): ContainerStats {
  const { usage = 0, limit = 0, stats = {} } = memory_stats ?? {};
  // As `docker stats` counts: cgroup v1 and v2 have a name each for files that the kernel could drop.
  const droppable = stats.total_inactive_file ?? stats.inactive_file ?? 0;
  const interfaces = Object.values(networks ?? {});
  return {
    cpuMs: (cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e6,
    memoryBytes: Math.max(0, usage - (droppable < usage ? droppable : 0)),
    // cgroup v1 says "no limit" with a number that no machine has.
    memoryLimitBytes: limit > 0 && limit < Number.MAX_SAFE_INTEGER ? limit : null,
    receivedBytes: interfaces.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
    sentBytes: interfaces.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
    pids: pids_stats?.current ?? 0,
  };
}

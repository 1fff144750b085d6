import { freePortRange } from '../../test/support/core-harness.ts';
import { median } from '../stats.ts';
import { residentBytes } from './cost.ts';
import { connections, loadWith } from './load.ts';
import type { OpenLoopAsk, OpenLoopResult } from './open-loop-process.ts';
import { type OwnProxy, type Peer, startOwn } from './peers.ts';
import { Helper, stop } from './programs.ts';
import { type Extent, inRounds, limitLine, pick, type Row, ratioLine, seriesLines } from './rounds.ts';

/** What a small request costs, and how long it takes. */

export async function cpuRow(
  peers: readonly Peer[],
  hosts: number,
  extent: Extent,
): Promise<Row & { nginxRequestsPerS: number }> {
  const results = await inRounds('CPU of a request', peers, extent.rounds, (peer) =>
    loadWith(peer, hosts, extent.loadSeconds),
  );
  const costs = pick(results, (load) => load.cpuUsPerRequest);
  const rates = pick(results, (load) => load.requestsPerS);
  return {
    nginxRequestsPerS: median(rates.nginx ?? [3000]),
    lines: [
      `CPU of the proxy for a small request: ${connections} connections, ${hosts} hosts, all threads and processes`,
      ...seriesLines(costs, 'us'),
      ratioLine(costs, 'docker-spawner', 'nginx', 1.2),
      ratioLine(costs, 'docker-spawner', 'HAProxy', null),
      ratioLine(costs, 'docker-spawner', 'Caddy', 0.33),
      ratioLine(costs, 'docker-spawner', 'Apache', null),
      ratioLine(costs, 'docker-spawner', 'configurable-http-proxy', 0.15),
      '  Requests per second of that load (proxy, load and containers share the cores):',
      ...seriesLines(rates, '/s'),
    ],
    data: { cpuUsPerRequest: costs, requestsPerS: rates },
  };
}

const manyRoutes = 100_000;
const fewRoutes = 10;
const manyName = '100,000 routes';
const fewName = '10 routes';

/**
 * Both tables lead to the same ten containers: with a container for each of 100,000 routes hit at random the
 * connections to them would be measured, not the routes.
 */
export async function routesRow(ports: readonly number[], extent: Extent): Promise<Row> {
  const ten = ports.slice(0, fewRoutes);
  const few = await startOwn({ routes: fewRoutes, containers: fewRoutes, ports: ten }, {}, fewName);
  const many = await startOwn({ routes: manyRoutes, containers: fewRoutes, ports: ten }, {}, manyName);
  try {
    const results = await inRounds('routes', [few, many], extent.rounds, (peer) =>
      loadWith(peer, peer === many ? manyRoutes : fewRoutes, extent.loadSeconds),
    );
    const costs = pick(results, (load) => load.cpuUsPerRequest);
    const routeBytes = await bytesOfARoute(ten);
    return {
      lines: [
        `CPU for a small request with ${manyRoutes} routes hit at random, all to ten containers`,
        ...seriesLines(costs, 'us'),
        ratioLine(costs, manyName, fewName, 1.1),
        limitLine('memory of a route, its object and key included', routeBytes / 1024, 'KiB', 1),
      ],
      data: { cpuUsPerRequest: costs, routeBytes },
    };
  } finally {
    await Promise.all([few.stop(), many.stop()]);
  }
}

/** Resident memory that a route adds, each with a container of its own. */
async function bytesOfARoute(ports: readonly number[]): Promise<number> {
  const proxy: OwnProxy = await startOwn(null);
  try {
    await proxy.helper.ask({ do: 'state' });
    const beforeBytes = residentBytes(proxy.pid);
    await proxy.helper.ask({ do: 'fill', count: manyRoutes, containers: manyRoutes, ports });
    await proxy.helper.ask({ do: 'state' });
    return (residentBytes(proxy.pid) - beforeBytes) / manyRoutes;
  } finally {
    await proxy.stop();
  }
}

/** Open loop, in turn through each of the peers and straight to a container, which shows what is not theirs. */
export async function latencyRow(
  peers: readonly Peer[],
  hosts: number,
  upstreamPort: number,
  requestsPerS: number,
  extent: Extent,
): Promise<Row> {
  const generator = new Helper<OpenLoopAsk>('open-loop-process.ts', null);
  const direct: Peer = { name: 'no proxy', port: upstreamPort, pid: process.pid, stop: async () => {} };
  const rate = Math.floor(requestsPerS / 3);
  try {
    const results = await inRounds('latency', [...peers, direct], extent.rounds, (peer) =>
      generator.ask<OpenLoopResult>({
        do: 'run',
        port: peer.port,
        hosts,
        connections,
        requestsPerS: rate,
        seconds: extent.loadSeconds,
      }),
    );
    const p99 = pick(results, (result) => result.p99Us);
    const p50 = pick(results, (result) => result.p50Us);
    const p999 = pick(results, (result) => result.p999Us);
    return {
      lines: [
        `Latency, open loop at ${rate} requests/s (a third of nginx's maximum), from when a request was due; p99`,
        ...seriesLines(p99, 'us'),
        ratioLine(p99, 'docker-spawner', 'nginx', 1.5),
        '  p50',
        ...seriesLines(p50, 'us'),
      ],
      data: { requestsPerS: rate, p50Us: p50, p99Us: p99, p999Us: p999 },
    };
  } finally {
    await stop(generator.child);
  }
}

/** A free range for so many containers. */
export function upstreamPorts(count: number): Promise<number[]> {
  return freePortRange(count).then((start) => Array.from({ length: count }, (_, i) => start + i));
}

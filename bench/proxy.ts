import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { freePortRange } from '../test/support/core-harness.ts';
import type { Report } from './main.ts';
import { bodyRow, slowReaderRow, webSocketRow } from './proxy/body-rows.ts';
import {
  type Peer,
  type PeerName,
  type PeerRoute,
  peerKinds,
  peerRoutes,
  render,
  startOwn,
  startPeer,
  temporaryFolder,
} from './proxy/peers.ts';
import { findProgram, Helper, startProgram, stop } from './proxy/programs.ts';
import { cpuRow, latencyRow, routesRow, upstreamPorts } from './proxy/request-rows.ts';
import { fullExtent, noiseRow, quickExtent, type Row } from './proxy/rounds.ts';
import { webSocketHosts } from './proxy/web-sockets.ts';

const hosts = 100;

/**
 * `npm run bench -- proxy [--quick]`: the proxy beside those that are installed, all in front of the same
 * containers, on loopback. Each runs in processes of its own, so that its CPU time and memory are its alone.
 */
export async function proxyBench(): Promise<Report> {
  const quick = process.argv.includes('--quick');
  const extent = quick ? quickExtent : fullExtent;
  const nginx = findProgram('nginx');
  if (nginx === null)
    throw new Error('nginx is what the proxy is compared with, and the container: apt-get install nginx');
  const started = loadavg()[0]!;
  const notes: string[] = [];

  const rows: Row[] = [];
  const ports = await upstreamPorts(hosts);
  const container = await startContainers(nginx, ports);
  const peers = await startAll(Object.keys(peerKinds) as PeerName[], peerRoutes(hosts, ports), notes);
  const small = peers.filter(({ name }) => name === 'docker-spawner' || name === 'nginx');
  const cpu = await cpuRow(peers, hosts, extent);
  rows.push(cpu, await routesRow(ports, extent));
  rows.push(await latencyRow(small, hosts, ports[0]!, cpu.nginxRequestsPerS, extent));
  await Promise.all(peers.map((peer) => peer.stop()));
  await stop(container);

  const endsPort = await freePortRange(1);
  const ends = new Helper('ends-process.ts', { port: endsPort });
  const large = await startAll(['nginx'], peerRoutes(1, [endsPort]), []);
  rows.push(await bodyRow(large, 'down', extent), await bodyRow(large, 'up', extent));
  rows.push(await slowReaderRow(large[0]!, extent));
  await Promise.all(large.map((peer) => peer.stop()));
  // Fresh processes, since one that still gives back what large bodies took would seem to need less than nothing.
  // Apache and configurable-http-proxy are left out: a thread, or far more than 10 KiB, for each tunnel.
  const several = peerRoutes(webSocketHosts, [endsPort]);
  const fresh = await startAll(['nginx', 'HAProxy', 'Caddy'], several, []);
  rows.push(await webSocketRow(fresh, extent), noiseRow());
  await Promise.all(fresh.map((peer) => peer.stop()));
  await stop(ends.child);

  return {
    lines: [
      `${quick ? 'A short run, which proves nothing but that it works. ' : ''}${cpus()[0]?.model}, load average ${started.toFixed(1)} at the start`,
      ...notes,
      ...rows.flatMap(({ lines }) => ['', ...lines]),
    ],
    data: { quick, notes, rows: rows.map(({ data }) => data) },
  };
}

/** Our own first, then the named ones that are installed; what is left out is noted. */
async function startAll(
  names: readonly PeerName[],
  routes: readonly PeerRoute[],
  notes: string[],
): Promise<Peer[]> {
  const ports = routes.map(({ port }) => port);
  const peers: Peer[] = [await startOwn({ routes: routes.length, containers: routes.length, ports })];
  for (const name of names) {
    const peer = await startPeer(name, routes);
    if (typeof peer === 'string') notes.push(`${name} is left out: ${peer}`);
    else peers.push(peer);
  }
  for (const peer of peers) for (const route of [routes[0]!, routes.at(-1)!]) await checkRoute(peer, route);
  return peers;
}

async function startContainers(nginx: string, ports: readonly number[]) {
  const folder = temporaryFolder();
  const config = join(folder, 'nginx.conf');
  writeFileSync(config, render('upstream-nginx.conf', { folder }, peerRoutes(ports.length, ports)));
  return startProgram(nginx, ['-e', join(folder, 'error.log'), '-p', folder, '-c', config], ports[0]!);
}

/** A proxy that answers by itself would be fast indeed. */
function checkRoute(peer: Peer, route: PeerRoute): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request({ port: peer.port, host: '127.0.0.1', path: '/1', headers: { host: route.host } });
    asked.on('response', (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => {
        if (response.statusCode === 200 && body.length > 0) resolve();
        else reject(new Error(`${peer.name} answers ${response.statusCode} for ${route.host}: ${body}`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

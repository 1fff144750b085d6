import { slowReader, transfer } from './bodies.ts';
import type { Peer } from './peers.ts';
import {
  type Extent,
  inRounds,
  limitLine,
  pick,
  progress,
  type Row,
  ratioLine,
  seriesLines,
} from './rounds.ts';
import { idleWebSocketBytes } from './web-sockets.ts';

/** Large bodies, and many idle WebSockets. */

const mib = 1024 * 1024;

export async function bodyRow(peers: readonly Peer[], way: 'down' | 'up', extent: Extent): Promise<Row> {
  const results = await inRounds(`body ${way}`, peers, extent.rounds, (peer) =>
    transfer(peer, way, extent.bodyBytes),
  );
  const rates = pick(results, (result) => result.mibPerS);
  const added = pick(results, (result) => result.addedBytes / mib);
  const cpu = pick(results, (result) => result.cpuMs);
  return {
    lines: [
      `A body of ${extent.bodyBytes / mib} MiB, ${way === 'down' ? 'from the container' : 'to the container'}`,
      ...seriesLines(rates, 'MiB/s'),
      ratioLine(rates, 'docker-spawner', 'nginx', 0.8, true),
      '  CPU of the proxy for it',
      ...seriesLines(cpu, 'ms'),
      limitLine('memory added, highest of all rounds', Math.max(...added['docker-spawner']!), 'MiB', 64),
    ],
    data: { mibPerS: rates, addedMib: added, cpuMs: cpu },
  };
}

export async function slowReaderRow(own: Peer, extent: Extent): Promise<Row> {
  const addedMib = (await slowReader(own, 2 ** 30, extent.rounds * 5, 50)) / mib;
  return {
    lines: [
      'A container that sends 1 GiB at once to a reader that takes 64 KiB, 20 times a second',
      limitLine('memory added', addedMib, 'MiB', 64),
    ],
    data: { addedMib },
  };
}

/** Each proxy once, since memory hardly depends on what else the machine does. */
export async function webSocketRow(peers: readonly Peer[], extent: Extent): Promise<Row> {
  const kib: Record<string, number> = {};
  for (const peer of peers) {
    progress(`WebSockets: ${peer.name}`);
    kib[peer.name] = (await idleWebSocketBytes(peer, extent.webSockets)) / 1024;
  }
  progress('');
  return {
    lines: [
      `Resident memory that an idle WebSocket adds, both sides together, at ${extent.webSockets} of them`,
      ...Object.entries(kib).map(([name, value]) =>
        name === 'docker-spawner'
          ? limitLine(name, value, 'KiB', 10)
          : `  ${name.padEnd(44)} ${value.toFixed(2)} KiB`,
      ),
    ],
    data: { kib },
  };
}

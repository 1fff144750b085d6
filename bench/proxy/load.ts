import { join } from 'node:path';
import { cpuUs } from './cost.ts';
import type { Peer } from './peers.ts';
import { findProgram, runProgram } from './programs.ts';

/** What a proxy did under a closed loop of requests, and what it cost. */
export interface Load {
  readonly requestsPerS: number;
  readonly cpuUsPerRequest: number;
}

export const connections = 64;

/** Keeps 64 connections busy with small requests, at random over the first `hosts` hosts. Throws where one fails. */
export async function loadWith(peer: Peer, hosts: number, seconds: number): Promise<Load> {
  const wrk = findProgram('wrk');
  if (wrk === null) throw new Error('this needs wrk: apt-get install wrk');
  const beforeUs = cpuUs(peer.pid);
  const output = await runProgram(wrk, [
    ...['-t', '1', '-c', String(connections), '-d', `${seconds}s`],
    ...['-s', join(import.meta.dirname, 'hosts.lua'), `http://127.0.0.1:${peer.port}/`],
    ...['--', String(hosts), String(Math.floor(Math.random() * 2 ** 31))],
  ]);
  const usedUs = cpuUs(peer.pid) - beforeUs;
  const counts = JSON.parse(output.slice(output.lastIndexOf('\n{'))) as Record<string, number>;
  if (counts.failed! > 0 || counts.requests === 0)
    throw new Error(`${peer.name}: ${counts.failed} of ${counts.requests} requests failed`);
  return {
    requestsPerS: (counts.requests! * 1e6) / counts.durationUs!,
    cpuUsPerRequest: usedUs / counts.requests!,
  };
}

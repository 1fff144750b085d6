import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { nameOf } from '../proxy-process.ts';
import { cpuUs, peakBytes, resetPeak, residentBytes } from './cost.ts';
import type { Peer } from './peers.ts';

/** One large body through a proxy. */
export interface Transfer {
  readonly mibPerS: number;
  /** Highest resident memory during the transfer, above what it was before. */
  readonly addedBytes: number;
  readonly cpuMs: number;
}

const block = Buffer.alloc(1024 * 1024, 'x');
const mib = 1024 * 1024;

/** Fetches, or sends, so many bytes. Throws where they do not arrive. */
export async function transfer(peer: Peer, way: 'down' | 'up', bytes: number): Promise<Transfer> {
  const idleBytes = residentBytes(peer.pid);
  const beforeUs = cpuUs(peer.pid);
  resetPeak(peer.pid);
  const startedMs = performance.now();
  if (way === 'down') await download(peer.port, bytes);
  else await upload(peer.port, bytes);
  const tookMs = performance.now() - startedMs;
  return {
    mibPerS: bytes / mib / (tookMs / 1000),
    addedBytes: Math.max(0, peakBytes(peer.pid) - idleBytes),
    cpuMs: (cpuUs(peer.pid) - beforeUs) / 1000,
  };
}

/**
 * Lets a reader take `takes` times 64 KiB of a body, with a pause after each, and goes away; gives the highest
 * memory meanwhile above what it was. The container sends as fast as it can.
 */
export async function slowReader(peer: Peer, bytes: number, takes: number, pauseMs: number): Promise<number> {
  const idleBytes = residentBytes(peer.pid);
  resetPeak(peer.pid);
  const socket = await open(peer.port);
  socket.write(`GET /${bytes} HTTP/1.1\r\nHost: ${nameOf(0)}\r\nConnection: close\r\n\r\n`);
  for (let take = 0; take < takes; take++) {
    if (socket.read(64 * 1024) === null) await once(socket, 'readable');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  socket.destroy();
  return Math.max(0, peakBytes(peer.pid) - idleBytes);
}

async function download(port: number, bytes: number): Promise<void> {
  let got = 0;
  let head = '';
  const ended = new Promise<void>((resolve, reject) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      // One buffer for all reads, or the garbage of the measuring side would be measured too.
      onread: {
        buffer: Buffer.alloc(256 * 1024),
        callback(length, buffer) {
          if (got === 0 && !head.includes('\r\n\r\n')) {
            head += Buffer.from(buffer).toString('latin1', 0, length);
            const end = head.indexOf('\r\n\r\n');
            if (end >= 0) got = head.length - end - 4;
          } else {
            got += length;
          }
          return true;
        },
      },
    });
    socket.on('close', () => resolve());
    socket.on('error', reject);
    socket.write(`GET /${bytes} HTTP/1.1\r\nHost: ${nameOf(0)}\r\nConnection: close\r\n\r\n`);
  });
  await ended;
  if (got !== bytes) throw new Error(`${got} of ${bytes} bytes arrived: ${head.slice(0, 100)}`);
}

async function upload(port: number, bytes: number): Promise<void> {
  const socket = await open(port);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
  });
  const closed = once(socket, 'close');
  socket.write(
    `POST / HTTP/1.1\r\nHost: ${nameOf(0)}\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`,
  );
  for (let left = bytes; left > 0; left -= block.length) {
    const piece = left < block.length ? block.subarray(0, left) : block;
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), closed]);
  }
  await closed;
  if (!answer.endsWith(`\r\n\r\n${bytes}`)) throw new Error(`the answer to ${bytes} bytes: ${answer}`);
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket;
}

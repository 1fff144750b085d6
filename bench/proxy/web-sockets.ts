import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { nameOf } from '../proxy-process.ts';
import { residentBytes } from './cost.ts';
import type { Peer } from './peers.ts';

/** One container may not have all of them: the proxy limits the connections to each. */
export const webSocketHosts = 10;
const atOnce = 100;
const payloadBytes = 2048;
/** How long memory is left alone before it is looked at: what a proxy frees when it is idle shall be free. */
const restMs = 3000;

/**
 * Opens so many WebSockets, lets each carry a message and its echo, and gives the resident memory that one of
 * them adds while all are idle, in bytes; both sides of it together.
 */
export async function idleWebSocketBytes(peer: Peer, count: number): Promise<number> {
  // What the first ones make a process grow to stays, and is no cost of any single one.
  for (const socket of await openAll(peer.port, atOnce)) socket.destroy();
  await rest();
  const beforeBytes = residentBytes(peer.pid);
  const sockets = await openAll(peer.port, count);
  await rest();
  const addedBytes = residentBytes(peer.pid) - beforeBytes;
  for (const socket of sockets) socket.destroy();
  return addedBytes / count;
}

async function openAll(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const missing = Math.min(atOnce, count - sockets.length);
    sockets.push(
      ...(await Promise.all(Array.from({ length: missing }, (_, i) => openOne(port, i % webSocketHosts)))),
    );
  }
  return sockets;
}

async function openOne(port: number, host: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  socket.write(
    `GET /socket HTTP/1.1\r\nHost: ${nameOf(host)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  if (!head.toString('latin1').startsWith('HTTP/1.1 101 '))
    throw new Error(`no 101: ${head.toString('latin1', 0, 60)}`);
  const frame = maskedFrame(payloadBytes);
  const echoed = new Promise<void>((resolve, reject) => {
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes === frame.length) resolve();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('a WebSocket was closed')));
  });
  socket.write(frame);
  await echoed;
  return socket;
}

/** A binary frame as a client sends it (RFC 6455, 5.2), of a payload of 126 to 65535 bytes. */
function maskedFrame(bytes: number): Buffer {
  const head = Buffer.from([0x82, 0xfe, bytes >> 8, bytes & 255]);
  return Buffer.concat([head, randomBytes(4), randomBytes(bytes)]);
}

function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, restMs));
}

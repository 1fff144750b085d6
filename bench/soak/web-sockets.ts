import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { askForEnd, askForReset } from './containers.ts';
import type { Tally } from './requests.ts';
import type { SoakRoute, SoakRoutes } from './routes.ts';
import { within } from './within.ts';

const ways = [
  'close frame',
  'end by the client',
  'reset by the client',
  'end by the container',
  'reset by the container',
  'quiet before a sleep',
] as const;

const longestLifeMs = 8000;

/** One WebSocket: opened, used, left alone for a while, and ended in a random way. */
export async function liveOneWebSocket(
  port: number,
  route: SoakRoute,
  routes: SoakRoutes,
  signal: AbortSignal,
  tally: Tally,
): Promise<void> {
  const way = ways[Math.floor(Math.random() * ways.length)]!;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  try {
    await handshake(socket, route.host);
    await echo(socket);
    await Promise.race([closed, delay(Math.random() * longestLifeMs, null, { signal }).catch(() => {})]);
    if (socket.destroyed) throw new Error('closed, though nobody asked for it');
    await endIt(socket, way, route, routes);
    await within(closed, `its end (${way})`);
    tally.done++;
  } catch (error) {
    if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`WebSocket ${route.host}: ${(error as Error).message}`);
  } finally {
    socket.destroy();
  }
}

async function endIt(
  socket: Socket,
  way: (typeof ways)[number],
  route: SoakRoute,
  routes: SoakRoutes,
): Promise<void> {
  switch (way) {
    case 'close frame':
      socket.write(frame(8, ''));
      break;
    case 'end by the client':
      socket.end();
      break;
    case 'end by the container':
      socket.write(frame(1, askForEnd));
      break;
    case 'reset by the container':
      socket.write(frame(1, askForReset));
      break;
    case 'quiet before a sleep':
      if (!(await routes.quiesce(route))) socket.resetAndDestroy();
      break;
    default:
      socket.resetAndDestroy();
  }
}

async function handshake(socket: Socket, host: string): Promise<void> {
  await within(once(socket, 'connect'), 'a connection');
  const key = randomBytes(16).toString('base64');
  socket.write(
    `GET /socket HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  const head = await within(nextBytes(socket), 'the answer to its handshake');
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`answered ${head.slice(0, 30)}`);
}

async function echo(socket: Socket): Promise<void> {
  const sent = frame(1, 'is anybody there?');
  socket.write(sent);
  const got = await within(nextBytes(socket), 'an echo');
  if (got !== sent.toString('latin1')) throw new Error(`another echo: ${got}`);
}

/** What comes next, which is short enough to come at once. */
function nextBytes(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(new Error('closed'));
    socket.once('close', onClose);
    socket.once('data', (chunk) => {
      socket.off('close', onClose);
      resolve(chunk.toString('latin1'));
    });
  });
}

/** A frame of a client with a mask of zeros, which leaves the text readable (RFC 6455, 5.2). */
function frame(opcode: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

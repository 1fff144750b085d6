import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { rawContainer, rig } from './support/rig.ts';

const bodyBytes = 192 * 1024 * 1024;
const piece = Buffer.alloc(256 * 1024);
for (let i = 0; i < piece.length; i++) piece[i] = (i * 31 + (i >> 8)) & 255;

/** What 192 MiB of the pieces hash to. */
function expectedHash(): string {
  const hash = createHash('sha1');
  for (let sent = 0; sent < bodyBytes; sent += piece.length) hash.update(piece);
  return hash.digest('hex');
}

/** Writes the whole body to a socket as fast as it takes it; resolves with the bytes taken at each moment. */
function pour(socket: import('node:net').Socket): { sent: () => number } {
  let sent = 0;
  const more = () => {
    while (sent < bodyBytes && !socket.destroyed) {
      sent += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on('drain', more);
  more();
  return { sent: () => sent };
}

test('a large response waits for a client that does not read, then arrives whole', async () => {
  let poured = { sent: () => 0 };
  const container = await rawContainer((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bodyBytes}\r\n\r\n`);
    poured = pour(socket);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.socket.removeAllListeners('data');
  client.socket.pause();
  const before = process.memoryUsage().external;
  client.send('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n');
  await standsStill(() => poured.sent());
  // What is under way is in the sockets' buffers, the kernel's included.
  expect(poured.sent()).toBeLessThan(40 * 1024 * 1024);
  expect(process.memoryUsage().external - before).toBeLessThan(64 * 1024 * 1024);
  const hash = createHash('sha1');
  let bytes = 0;
  let head = '';
  await new Promise<void>((resolve) => {
    client.socket.on('data', (chunk) => {
      let body = chunk;
      if (!head.includes('\r\n\r\n')) {
        head += chunk.toString('latin1');
        body = Buffer.from(head.slice(head.indexOf('\r\n\r\n') + 4), 'latin1');
      }
      hash.update(body);
      bytes += body.length;
    });
    client.socket.on('end', resolve);
    client.socket.resume();
  });
  expect(bytes).toBe(bodyBytes);
  expect(hash.digest('hex')).toBe(expectedHash());
  client.socket.destroy();
  await own.settled();
});

test('a large request waits for a container that does not read, then arrives whole', async () => {
  const hash = createHash('sha1');
  let bytes = 0;
  const container = await rawContainer(() => {});
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: ${bodyBytes}\r\n\r\n`);
  const socket = await eventually(() => {
    if (container.received() === '') throw new Error('nothing yet');
    return container.sockets[0]!;
  });
  socket.removeAllListeners('data');
  socket.pause();
  const poured = pour(client.socket);
  await standsStill(() => poured.sent());
  expect(poured.sent()).toBeLessThan(40 * 1024 * 1024);
  socket.on('data', (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes === bodyBytes) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  socket.resume();
  await eventually(() => expect(client.text()).toMatch(/ok$/));
  expect(hash.digest('hex')).toBe(expectedHash());
  client.socket.destroy();
  await own.settled();
});

test('a client that reads nothing for too long is cut off, and the container’s connection with it', async () => {
  const container = await rawContainer((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bodyBytes}\r\n\r\n`);
    pour(socket);
  });
  const own = await rig({ limits: { stalledBodyMs: 150 } });
  own.route('c.test', container.port);
  const client = await own.client();
  client.socket.pause();
  client.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(container.sockets).toHaveLength(1));
  await eventually(() => expect(container.open()).toBe(0));
  await own.settled();
});

test('a tunnel waits for the side that does not read', async () => {
  let poured = { sent: () => 0 };
  const container = await rawContainer((socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
    poured = pour(socket);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.socket.pause();
  client.send('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
  await standsStill(() => poured.sent());
  expect(poured.sent()).toBeLessThan(40 * 1024 * 1024);
  client.socket.destroy();
  await own.settled();
});

test('a tunnel whose container was slow to read is not taken for an unused connection afterwards', async () => {
  const container = await rawContainer((socket, text) => {
    if (text.length > 4096 || !text.includes('Upgrade')) return;
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
    socket.pause();
  });
  const own = await rig({ limits: { upstreamIdleMs: 60 } });
  own.route('c.test', container.port);
  const client = await own.client();
  client.send('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
  await client.sees('101');
  const { sent } = pour(client.socket);
  await standsStill(sent);
  const tunnel = container.sockets[0]!;
  tunnel.resume();
  await eventually(() => expect(tunnel.bytesRead).toBeGreaterThan(bodyBytes), 20_000);
  // Another connection becomes unused later, and is closed for it.
  const other = await own.client();
  other.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(container.sockets).toHaveLength(2));
  container.sockets[1]!.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await eventually(() => expect(container.sockets[1]!.destroyed).toBe(true));
  tunnel.write('still here');
  await client.sees(/still here$/);
});

/** Waits until the number is above zero and no longer changes between two looks. */
async function standsStill(read: () => number): Promise<void> {
  let before = -1;
  let still = 0;
  await eventually(() => {
    const now = read();
    still = now > 0 && now === before ? still + 1 : 0;
    before = now;
    if (still < 4) throw new Error(`still moving: ${now}`);
  });
}

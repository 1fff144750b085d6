import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { eventually } from '../../support/eventually.ts';
import { type RawClient, type RawContainer, type Rig, rawContainer, rig } from './support/rig.ts';

const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n';
const upgrade = 'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: Chat\r\n\r\n';

/** An open tunnel with both its ends. */
async function tunnel(options: Parameters<typeof rig>[0] = {}): Promise<{
  own: Rig;
  client: RawClient;
  container: RawContainer;
}> {
  const container = await rawContainer((socket, text) => {
    if (text.endsWith('\r\n\r\n') && text.includes('Upgrade')) socket.write(switching);
  });
  const own = await rig(options);
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(upgrade);
  await client.sees('\r\n\r\n');
  return { own, client, container };
}

test('an upgrade is passed on, and after the 101 bytes go both ways, counted as one tunnel', async () => {
  const { own, client, container } = await tunnel();
  expect(client.text()).toBe(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n',
  );
  expect(container.received()).toMatch(/\r\nConnection: Upgrade\r\nUpgrade: chat\r\n/);
  client.send('from client');
  await eventually(() => expect(container.received()).toMatch(/from client$/));
  container.sockets[0]!.write('from container');
  await client.sees(/from container$/);
  expect(own.proxy.stats()).toMatchObject({ openTunnels: 1, openRequests: 0, upstreamConnections: 1 });
  client.socket.destroy();
  await own.settled();
});

test('bytes that come early on either side belong to the tunnel', async () => {
  const container = await rawContainer((socket, text) => {
    if (text.endsWith('\r\n\r\n')) socket.write(`${switching}early from container`);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`${upgrade}early from client`);
  await client.sees(/\r\n\r\nearly from container$/);
  await eventually(() => expect(container.received()).toMatch(/\r\n\r\nearly from client$/));
});

test('bytes after an upgrade that is declined are the next request', async () => {
  const container = await rawContainer((socket, text) => {
    const heads = text.split('\r\n\r\n').length - 1;
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n#${heads}`);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`${upgrade}GET /next HTTP/1.1\r\nHost: c.test\r\n\r\n`);
  await client.sees(/#1HTTP\/1.1 200 OK\r\n[\s\S]*#2$/);
  expect(container.received()).toContain('GET /next');
});

test('an upgrade to several protocols, beside a body, or in HTTP/1.0 is an ordinary request', async () => {
  const container = await rawContainer(
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  );
  const own = await rig();
  own.route('c.test', container.port);
  const fields = 'Host: c.test\r\nConnection: Upgrade, close\r\n';
  await own.ask(`GET / HTTP/1.1\r\n${fields}Upgrade: a, b\r\n\r\n`);
  await own.ask(`GET / HTTP/1.1\r\n${fields}Upgrade: a\r\nUpgrade: b\r\n\r\n`);
  await own.ask(`POST / HTTP/1.1\r\n${fields}Upgrade: a\r\nContent-Length: 2\r\n\r\nhi`);
  await own.ask(`GET / HTTP/1.0\r\n${fields}Upgrade: a\r\n\r\n`);
  await own.ask(
    `GET / HTTP/1.1\r\n${fields}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n`,
  );
  expect(container.received()).not.toMatch(/upgrade|http2/i);
});

test('an end on one side of a tunnel is an end on the other, which may still send', async () => {
  const { own, client, container } = await tunnel();
  const socket = container.sockets[0]!;
  socket.removeAllListeners('end');
  let ended = false;
  socket.on('end', () => {
    ended = true;
  });
  client.socket.end('last from client');
  await eventually(() => expect(ended).toBe(true));
  expect(container.received()).toMatch(/last from client$/);
  socket.write('more ');
  socket.end('and last');
  await client.sees(/more and last$/);
  expect(await client.closed()).toBe('end');
  await own.settled();
});

test('a reset on one side of a tunnel is a reset on the other', async () => {
  const one = await tunnel();
  one.client.socket.resetAndDestroy();
  await eventually(() => expect(one.container.open()).toBe(0));
  await one.own.settled();
  const two = await tunnel();
  two.container.sockets[0]!.resetAndDestroy();
  expect(await two.client.closed()).toBe('reset');
  await two.own.settled();
});

test('a tunnel that carries nothing is ended only where a limit is set', async () => {
  const { own, client } = await tunnel({ limits: { tunnelIdleMs: 60 } });
  expect(await client.closed()).toBe('reset');
  await own.settled();
});

test('a container that goes to sleep loses its tunnels and connections', async () => {
  const { own, client, container } = await tunnel();
  const other = await own.client();
  other.send('GET / HTTP/1.1\r\nHost: c.test\r\nX: 1\r\n\r\n');
  await eventually(() => expect(container.sockets).toHaveLength(2));
  await own.proxy.quiesce('c.test');
  expect(await client.closed()).toBe('reset');
  expect(own.proxy.stats()).toMatchObject({ openTunnels: 0, upstreamConnections: 0 });
  other.socket.destroy();
  await own.settled();
});

test('WebSocket frames arrive whole when the client’s bytes are chopped at every place', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  onTestFinished(() => void server.close());
  const messages: string[] = [];
  server.on('connection', (socket) => socket.on('message', (data) => messages.push(String(data))));
  const own = await rig();
  own.route('c.test', (server.address() as { port: number }).port);
  const handshake =
    'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const frame = Buffer.from([
    0x81,
    0x85,
    1,
    2,
    3,
    4,
    0x68 ^ 1,
    0x65 ^ 2,
    0x6c ^ 3,
    0x6c ^ 4,
    0x6f ^ 1,
  ]).toString('latin1');
  const bytes = handshake + frame;
  for (let cut = 1; cut < bytes.length; cut += cut < handshake.length - 4 ? 7 : 1) {
    const client = await own.client();
    client.send(bytes.slice(0, cut));
    if (cut >= handshake.length) await client.sees('101');
    client.send(bytes.slice(cut));
    const expected = messages.length + 1;
    await eventually(() => expect(messages).toHaveLength(expected));
    client.socket.destroy();
  }
  expect(new Set(messages)).toEqual(new Set(['hello']));
  await own.settled();
});

test('a hundred WebSockets, ended in every way, leave nothing behind', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  onTestFinished(() => void server.close());
  const accepted: WebSocket[] = [];
  server.on('connection', (socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    socket.on('message', (data) => socket.send(data));
  });
  const own = await rig();
  own.route('c.test', (server.address() as { port: number }).port);
  const clients = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const client = new WebSocket(`ws://127.0.0.1:${own.port}/`, { headers: { host: 'c.test' } });
      client.on('error', () => {});
      await new Promise((resolve) => client.once('open', resolve));
      const answer = new Promise((resolve) => client.once('message', resolve));
      client.send('hello');
      await answer;
      return client;
    }),
  );
  expect(own.proxy.stats().openTunnels).toBe(100);
  clients.forEach((client, place) => {
    if (place % 4 === 0) client.close();
    else if (place % 4 === 1) client.terminate();
    else if (place % 4 === 2) accepted[place]!.close();
    else accepted[place]!.terminate();
  });
  for (const client of clients) client.terminate();
  await own.settled();
  await eventually(() => expect(own.proxy.stats().upstreamConnections).toBe(0));
});

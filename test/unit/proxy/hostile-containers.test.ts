import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, type Rig, rawContainer, rig } from './support/rig.ts';

const ask = 'GET / HTTP/1.1\r\nHost: c.test\r\n\r\n';

/** Another container behind the same proxy, and this one's connections: nothing must have stayed. */
async function isUnharmed(own: Rig): Promise<void> {
  const other = await answering(ok);
  own.route('other.test', other.port);
  expect(await own.ask('GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n')).toMatch(/ok$/);
  await own.settled();
}

const long = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n`;

test.each([
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n'],
  ['status 600', 'HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n'],
  ['status 999', 'HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a status that is no number', 'HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n'],
  ['two blanks before the status', 'HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['an empty line first', `\r\n${ok}`],
  ['a control byte in the reason', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
  ['a NUL in a value', `${long}X: a\0b\r\n\r\nok`],
  ['a bare CR in a value', `${long}X: a\rSet-Cookie: b=c\r\n\r\nok`],
  ['a bare LF in a value', `${long}X: a\nSet-Cookie: b=c\r\n\r\nok`],
  ['a head that ends with LF LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  ['a continued line', `${long}X: a\r\n b\r\n\r\nok`],
  ['a space before the colon', `${long}X : a\r\n\r\nok`],
  ['a field without a name', `${long}: a\r\n\r\nok`],
  ['a name that is no token', `${long}X[]: a\r\n\r\nok`],
  ['both framings', `${long}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['two different Content-Lengths', `${long}Content-Length: 3\r\n\r\nok!`],
  ['two equal Content-Lengths', `${long}Content-Length: 2\r\n\r\nok`],
  ['a negative Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
  ['a Content-Length list', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok'],
  ['gzip as transfer coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a Connection field that names Set-Cookie', `${long}Connection: Set-Cookie\r\n\r\nok`],
  [
    'an unsolicited 101',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['a head that is too large', `${long}X: ${'x'.repeat(40_000)}\r\n\r\nok`],
  ['an endless head', `${long}X: ${'x'.repeat(40_000)}`],
  ['too many fields', `${long}${'X: 1\r\n'.repeat(200)}\r\nok`],
  ['interim responses without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
  ['a bad chunk size in the first piece', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
])('%s from a container becomes 502', async (_, response) => {
  const container = await answering(response);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(ask);
  const seen = await client.sees(/HTTP\/1.1 502 [\s\S]*\r\n\r\n\{.*\}/);
  expect(seen.replaceAll('HTTP/1.1 103 Early Hints\r\n\r\n', '')).toMatch(/^HTTP\/1.1 502 /);
  expect(seen).not.toContain('Set-Cookie');
  await eventually(() => expect(container.open()).toBe(0));
  // The client's own connection is none the worse for it.
  client.send('GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n');
  await client.sees('404');
  client.socket.destroy();
  await isUnharmed(own);
});

test.each([
  ['a body shorter than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', true],
  [
    'a chunked body without its last chunk',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    true,
  ],
  ['a chunk cut short', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf', true],
])('%s never looks complete to the client', async (_, response) => {
  const container = await rawContainer((socket) => void socket.write(response));
  for (const version of ['1.1', '1.0']) {
    const own = await rig();
    own.route('c.test', container.port);
    const client = await own.client();
    client.send(`GET / HTTP/${version}\r\nHost: c.test\r\n\r\n`);
    await client.sees('half');
    container.sockets.at(-1)!.end();
    expect(await client.closed()).toBe('reset');
    expect(client.text()).not.toContain('\r\n0\r\n');
    await isUnharmed(own);
  }
});

test('a body that ends with a reset of the container’s connection never looks complete', async () => {
  const container = await rawContainer((socket) => void socket.write('HTTP/1.1 200 OK\r\n\r\nhalf'));
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(ask);
  await client.sees('half');
  container.sockets[0]!.resetAndDestroy();
  expect(await client.closed()).toBe('reset');
  expect(client.text()).not.toContain('\r\n0\r\n');
  await isUnharmed(own);
});

test('a bad chunk after a good one ends the client’s connection with a reset', async () => {
  const container = await rawContainer(
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n'),
  );
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(ask);
  await client.sees('good');
  container.sockets[0]!.write('nonsense\r\n');
  expect(await client.closed()).toBe('reset');
  await isUnharmed(own);
});

test('bytes after the end of a response reach nobody, and end the container’s connection', async () => {
  const container = await answering(`${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  for (let n = 1; n <= 2; n++) {
    client.send(ask);
    await eventually(() => expect(client.text().match(/ok/g)).toHaveLength(n));
  }
  expect(client.text()).not.toContain('poison');
  await eventually(() => expect(container.open()).toBe(0));
  expect(container.sockets).toHaveLength(2);
  client.socket.destroy();
  await isUnharmed(own);
});

test('a response on an unused connection ends that connection, and is nobody’s answer', async () => {
  const container = await answering(ok);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(ask);
  await client.sees('ok');
  container.sockets[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
  await eventually(() => expect(own.proxy.stats().upstreamConnections).toBe(0));
  client.send(ask);
  await eventually(() => expect(client.text().match(/ok/g)).toHaveLength(2));
  expect(client.text()).not.toContain('poison');
  client.socket.destroy();
  await isUnharmed(own);
});

test('a body where none may be (HEAD, 204, 304) is not passed on', async () => {
  for (const [method, status] of [
    ['HEAD', '200 OK'],
    ['GET', '204 No Content'],
    ['GET', '304 Not Modified'],
  ]) {
    const container = await answering(`HTTP/1.1 ${status}\r\nContent-Length: 6\r\n\r\npoison`);
    const own = await rig();
    own.route('c.test', container.port);
    const client = await own.client();
    client.send(`${method} / HTTP/1.1\r\nHost: c.test\r\n\r\n`);
    await client.sees(`HTTP/1.1 ${status}`);
    client.send('GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n');
    await client.sees('404');
    expect(client.text()).not.toContain('poison');
    client.socket.destroy();
    await isUnharmed(own);
  }
});

test('a container that accepts and says nothing becomes 504, one that refuses 502, one that hangs up 502', async () => {
  const silent = await answering(() => '');
  const own = await rig({ limits: { responseHeadMs: 40 } });
  own.route('silent.test', silent.port);
  own.route('closed.test', 1);
  const leaving = await rawContainer((socket) => void socket.end());
  own.route('leaving.test', leaving.port);
  const close = 'Connection: close\r\n\r\n';
  expect(await own.ask(`GET / HTTP/1.1\r\nHost: silent.test\r\n${close}`)).toMatch(/^HTTP\/1.1 504 /);
  expect(await own.ask(`GET / HTTP/1.1\r\nHost: closed.test\r\n${close}`)).toMatch(/^HTTP\/1.1 502 /);
  expect(await own.ask(`GET / HTTP/1.1\r\nHost: leaving.test\r\n${close}`)).toMatch(/^HTTP\/1.1 502 /);
  await eventually(() => expect(silent.open()).toBe(0));
  await isUnharmed(own);
});

test('a container that does not read a body becomes 504', async () => {
  const container = await rawContainer(() => {});
  const own = await rig({ limits: { stalledBodyMs: 1000 } });
  own.route('c.test', container.port);
  const client = await own.client();
  client.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 100000000\r\n\r\n');
  await eventually(() => expect(container.sockets).toHaveLength(1));
  container.sockets[0]!.pause();
  const piece = Buffer.alloc(1 << 20);
  const pump = () => {
    while (!client.socket.destroyed && client.socket.write(piece));
  };
  client.socket.on('drain', pump);
  pump();
  await client.sees(/^HTTP\/1.1 504 /);
  client.socket.destroy();
  await isUnharmed(own);
});

test('a cookie for a wider domain than the container’s own host loses its Domain', async () => {
  const container = await answering(
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=1; Domain=test; Path=/\r\nSet-Cookie: b=2; domain=.C.test; Secure\r\n' +
      'Set-Cookie: c=3; DOMAIN = .test\r\nX-Last: 1\r\nSet-Cookie: domain=4; Path=/\r\n\r\n',
  );
  const own = await rig();
  own.route('c.test', container.port);
  const answer = await own.ask('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n');
  expect(answer.match(/Set-Cookie: .*/g)).toEqual([
    'Set-Cookie: a=1; Path=/',
    'Set-Cookie: b=2; domain=.C.test; Secure',
    'Set-Cookie: c=3',
    'Set-Cookie: domain=4; Path=/',
  ]);
  expect(answer).toContain('X-Last: 1');
});

test('a container that floods an upgrade with a 101 of another protocol becomes 502', async () => {
  for (const upgrade of ['other', 'chat, other', '']) {
    const field = upgrade === '' ? '' : `Upgrade: ${upgrade}\r\n`;
    const container = await answering(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${field}\r\n`,
    );
    const own = await rig();
    own.route('c.test', container.port);
    const client = await own.client();
    client.send('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
    await client.sees(/^HTTP\/1.1 502 /);
    client.socket.destroy();
    await isUnharmed(own);
  }
});

test('a WebSocket handshake whose proof does not belong to the key becomes 502', async () => {
  const container = await answering(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n',
  );
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(
    'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await client.sees(/^HTTP\/1.1 502 /);
  client.socket.destroy();
  await isUnharmed(own);
});

test('more connections to a container than allowed become 503 with Retry-After', async () => {
  const container = await answering(() => '');
  const own = await rig({ limits: { upstreamConnectionsPerContainer: 2 } });
  own.route('c.test', container.port);
  const clients = [await own.client(), await own.client(), await own.client()];
  for (const client of clients.slice(0, 2)) client.send(ask);
  await eventually(() => expect(container.sockets).toHaveLength(2));
  clients[2]!.send(ask);
  expect(await clients[2]!.sees(/^HTTP\/1.1 503 /)).toMatch(/Retry-After: 1\r\n/);
  for (const client of clients) client.socket.resetAndDestroy();
  await isUnharmed(own);
});

test('an answer that comes before the request’s end is passed on, and both connections are closed', async () => {
  const container = await rawContainer(
    (socket) => void socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop'),
  );
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 1000000\r\n\r\nbegin');
  // The client goes on sending for a while; the answer must not be lost to a reset.
  const piece = Buffer.alloc(10_000);
  client.socket.write(piece);
  const text = await client.sees('stop');
  client.socket.write(piece);
  expect(text).toMatch(/^HTTP\/1.1 413 Too Much\r\n[\s\S]*Connection: close/);
  expect(await client.closed()).toBe('end');
  await eventually(() => expect(container.open()).toBe(0));
  client.socket.destroy();
  await isUnharmed(own);
});

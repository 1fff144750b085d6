import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, type Rig, rig } from './support/rig.ts';

/** Sends the bytes, expects the status and the end, and that the proxy is as before: it answers, nothing is open. */
async function refuses(
  bytes: string,
  status: number,
  options: Parameters<typeof rig>[0] = {},
): Promise<string> {
  const container = await answering(ok);
  const own = await rig(options);
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(bytes);
  await client.closed();
  expect(client.text()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(client.text()).toMatch(/\r\nConnection: close\r\n/);
  // Only one answer: nothing behind the refused bytes was taken for a request.
  expect(client.text().match(/HTTP\/1.1 \d/g)).toHaveLength(1);
  expect(container.received()).toBe('');
  client.socket.destroy();
  await stillServes(own);
  return client.text();
}

async function stillServes(own: Rig): Promise<void> {
  expect(await own.ask('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n')).toMatch(/ok$/);
  await own.settled();
}

const head = 'GET / HTTP/1.1\r\nHost: c.test\r\n';
const post = 'POST / HTTP/1.1\r\nHost: c.test\r\n';
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: c.test\r\n\r\n';

test.each([
  ['a Connection field with very many names', `${head}Connection: ${'a,'.repeat(5000)}b\r\n\r\n`],
  ['both framings', `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  [
    'both framings, the other way round',
    `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
  ],
  ['two different Content-Lengths', `${post}Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!`],
  ['two equal Content-Lengths', `${post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody`],
  ['a list as Content-Length', `${post}Content-Length: 4, 4\r\n\r\nbody`],
  ['a sign in Content-Length', `${post}Content-Length: +4\r\n\r\nbody`],
  ['a minus in Content-Length', `${post}Content-Length: -4\r\n\r\nbody`],
  ['a hexadecimal Content-Length', `${post}Content-Length: 0x4\r\n\r\nbody`],
  ['a blank within Content-Length', `${post}Content-Length: 4 4\r\n\r\nbody`],
  ['a fraction as Content-Length', `${post}Content-Length: 4.0\r\n\r\nbody`],
  ['an empty Content-Length', `${post}Content-Length: \r\n\r\n${smuggled}`],
  ['a Content-Length beyond 2^53', `${post}Content-Length: 9007199254740993\r\n\r\n`],
  ['a Content-Length of many digits', `${post}Content-Length: ${'9'.repeat(40)}\r\n\r\n`],
  ['a coding other than chunked', `${post}Transfer-Encoding: gzip\r\n\r\n`],
  ['a coding before chunked', `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
  [
    'Transfer-Encoding twice',
    `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  ['a coding that only resembles chunked', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['a quoted chunked', `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`],
  ['identity', `${post}Transfer-Encoding: identity\r\n\r\n`],
  ['an empty Transfer-Encoding', `${post}Transfer-Encoding:\r\n\r\n`],
  [
    'Transfer-Encoding in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: c.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['a bare LF after the request line', 'GET / HTTP/1.1\nHost: c.test\r\n\r\n'],
  ['a bare LF after a field', `${head.slice(0, -2)}\nX: 1\r\n\r\n`],
  ['a head that ends with LF LF', 'GET / HTTP/1.1\r\nHost: c.test\n\n'],
  ['a bare CR within a value', `${head}X: a\rb\r\n\r\n`],
  ['a CR before CR LF', `${head}X: a\r\r\n\r\n`],
  ['a NUL in a value', `${head}X: a\0b\r\n\r\n`],
  ['a NUL in a name', `${head}X\0: ab\r\n\r\n`],
  ['another control byte in a value', `${head}X: a\x01b\r\n\r\n`],
  ['a DEL in a value', `${head}X: a\x7fb\r\n\r\n`],
  ['a vertical tab in a value', `${head}X: a\x0bb\r\n\r\n`],
  ['a continued line', `${head}X: a\r\n b\r\n\r\n`],
  ['a continued line with a tab', `${head}X: a\r\n\tb\r\n\r\n`],
  ['a continued first field', 'GET / HTTP/1.1\r\n Host: c.test\r\n\r\n'],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost : c.test\r\n\r\n'],
  ['a tab before the colon', `${post}Content-Length\t: 4\r\n\r\nbody`],
  ['a field without a name', `${head}: x\r\n\r\n`],
  ['a field without a colon', `${head}garbage\r\n\r\n`],
  ['a name that is no token', `${head}X(y): 1\r\n\r\n`],
  ['a name with a byte above 127', `${head}X\xe9: 1\r\n\r\n`],
  ['no Host', 'GET / HTTP/1.1\r\nX: 1\r\n\r\n'],
  ['no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'],
  ['two Hosts', `${head}Host: d.test\r\n\r\n`],
  ['two equal Hosts', `${head}Host: c.test\r\n\r\n`],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a Host that is only a port', 'GET / HTTP/1.1\r\nHost: :80\r\n\r\n'],
  ['a Host with userinfo', 'GET / HTTP/1.1\r\nHost: a@c.test\r\n\r\n'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: c.test/x\r\n\r\n'],
  ['a Host with a blank', 'GET / HTTP/1.1\r\nHost: c.test d.test\r\n\r\n'],
  ['a Host list', 'GET / HTTP/1.1\r\nHost: c.test, d.test\r\n\r\n'],
  ['a Host with a bad port', 'GET / HTTP/1.1\r\nHost: c.test:x\r\n\r\n'],
  ['a Host with a port beyond 65535', 'GET / HTTP/1.1\r\nHost: c.test:99999\r\n\r\n'],
  ['a percent-encoded Host', 'GET / HTTP/1.1\r\nHost: c%2etest\r\n\r\n'],
  ['an absolute target of another host', 'GET http://d.test/ HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['an absolute target with userinfo', 'GET http://c.test@c.test/ HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['an absolute target without a host', 'GET http:///x HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['an absolute target of another scheme', 'GET ftp://c.test/ HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a target without a slash', 'GET x HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a target with a fragment', 'GET /#x HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a target with a raw byte above 127', 'GET /\xe9 HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a target with a tab', 'GET /\t HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['an asterisk for another method than OPTIONS', 'GET * HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['two blanks after the method', 'GET  / HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['two blanks before the version', 'GET /  HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a blank after the version', 'GET / HTTP/1.1 \r\nHost: c.test\r\n\r\n'],
  ['a blank before the method', ' GET / HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a method that is no token', 'G@T / HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['a method without end', `${'G'.repeat(50)} / HTTP/1.1\r\nHost: c.test\r\n\r\n`],
  ['no method', '/ HTTP/1.1\r\nHost: c.test\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: c.test\r\n\r\n'],
  ['HTTP/11.1', 'GET / HTTP/11.1\r\nHost: c.test\r\n\r\n'],
  ['lower-case http', 'GET / http/1.1\r\nHost: c.test\r\n\r\n'],
  ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['many empty lines first', `\r\n\r\n\r\n${head}\r\n`],
  ['a Connection field that names Host', `${head}Connection: Host\r\n\r\n`],
  ['a Connection field that names a cookie', `${head}Cookie: a=b\r\nConnection: close, Cookie\r\n\r\n`],
  ['a Connection field that names X-Forwarded-For', `${head}Connection: x-forwarded-for\r\n\r\n`],
  ['a Connection field that is no list of tokens', `${head}Connection: a b\r\n\r\n`],
  [
    'a WebSocket handshake without a key',
    `${head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  ],
  [
    'a WebSocket handshake with a bad key',
    `${head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n`,
  ],
])('%s is refused with 400', async (_, bytes) => {
  await refuses(bytes, 400);
});

test.each([
  ['CONNECT', 'CONNECT c.test:80 HTTP/1.1\r\nHost: c.test:80\r\n\r\n'],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: c.test\r\n\r\n'],
])('%s is refused with 405 and the methods that are served', async (_, bytes) => {
  expect(await refuses(bytes, 405)).toMatch(/\r\nAllow: GET, /);
});

test('an expectation other than 100-continue is refused with 417', async () => {
  await refuses(`${post}Content-Length: 4\r\nExpect: 200-ok\r\n\r\nbody`, 417);
});

test('a head that is too large is refused with 431, finished or not', async () => {
  const limits = { headBytes: 1000 };
  await refuses(`${head}X: ${'x'.repeat(2000)}\r\n\r\n`, 431, { limits });
  await refuses(`${head}X: ${'x'.repeat(2000)}`, 431, { limits });
});

test('too many fields are refused with 431', async () => {
  await refuses(`${head}${'X: 1\r\n'.repeat(100)}\r\n`, 431);
});

test('a target that is too long is refused with 414, finished or not', async () => {
  const limits = { targetBytes: 100, headBytes: 1000 };
  await refuses(`GET /${'x'.repeat(200)} HTTP/1.1\r\nHost: c.test\r\n\r\n`, 414, { limits });
  await refuses(`GET /${'x'.repeat(2000)}`, 414, { limits });
});

test('a stated body that is too large is refused with 413', async () => {
  await refuses(`${post}Content-Length: 11\r\n\r\nhello`, 413, { limits: { bodyBytes: 10 } });
});

test('a chunked body that grows too large is refused with 413, and the container sees no end of it', async () => {
  const container = await answering(() => '');
  const own = await rig({ limits: { bodyBytes: 10 } });
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`${post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
  await eventually(() => expect(container.received()).toContain('hello'));
  client.send('6\r\nworld!\r\n0\r\n\r\n');
  await client.sees(/^HTTP\/1.1 413 /);
  await client.closed();
  await eventually(() => expect(container.open()).toBe(0));
  expect(container.received()).not.toContain('\r\n0\r\n');
});

test.each([
  ['a chunk size that is no number', 'x\r\n'],
  ['an empty chunk size', '\r\n'],
  ['a sign in a chunk size', '+5\r\nhello\r\n'],
  ['a 0x in a chunk size', '0x5\r\nhello\r\n'],
  ['a blank after a chunk size', '5 \r\nhello\r\n'],
  ['a chunk size beyond 2^53', `${'f'.repeat(16)}\r\n`],
  ['a chunk size of too many digits', `${'0'.repeat(17)}5\r\nhello\r\n`],
  ['a bare LF after a chunk size', '5\nhello\r\n'],
  ['a bare LF after a chunk', '5\r\nhello\n0\r\n\r\n'],
  ['a chunk longer than its size', '5\r\nhello!\r\n0\r\n\r\n'],
  ['a control byte in a chunk extension', '5;a=\x01\r\nhello\r\n'],
  ['a bare CR in a chunk extension', '5;a\rb\r\nhello\r\n'],
  ['a nameless chunk extension', '5;\r\nhello\r\n'],
  ['an endless chunk extension', `5;${'a'.repeat(300)}\r\nhello\r\n`],
  ['a trailer without a name', '0\r\n: x\r\n\r\n'],
  ['a continued trailer', '0\r\nX: a\r\n b\r\n\r\n'],
  ['an endless trailer', `0\r\nX: ${'a'.repeat(5000)}\r\n\r\n`],
  ['a bare LF at the end of the trailers', '0\r\n\n'],
])('%s is refused with 400, and the container sees no end of the body', async (_, chunks) => {
  const container = await answering(() => '');
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`${post}Transfer-Encoding: chunked\r\n\r\n${chunks}${smuggled}`);
  await client.sees(/^HTTP\/1.1 400 /);
  await client.closed();
  expect(client.text().match(/HTTP\/1.1 \d/g)).toHaveLength(1);
  expect(container.received()).not.toContain('\r\n0\r\n\r\n');
  expect(container.received()).not.toContain('smuggled');
  client.socket.destroy();
  await own.settled();
  await eventually(() => expect(container.open()).toBe(0));
});

test('a head that does not come is answered with 408 and closed; an unused connection is closed silently', async () => {
  const own = await rig({ limits: { requestHeadMs: 40, idleMs: 40 } });
  const slow = await own.client();
  slow.send('GET / HTTP/1.1\r\nHost:');
  await slow.closed();
  expect(slow.text()).toMatch(/^HTTP\/1.1 408 /);
  const silent = await own.client();
  await silent.closed();
  expect(silent.text()).toBe('');
  slow.socket.destroy();
  silent.socket.destroy();
  await own.settled();
});

test('a body that stalls is answered with 408, and the container’s connection is ended', async () => {
  const container = await answering(() => '');
  const own = await rig({ limits: { stalledBodyMs: 40 } });
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(`${post}Content-Length: 10\r\n\r\nhalf`);
  await client.sees(/^HTTP\/1.1 408 /);
  await client.closed();
  client.socket.destroy();
  await eventually(() => expect(container.open()).toBe(0));
  await own.settled();
});

test('a flood of pipelined requests whose answers are not read is not worked off in advance', async () => {
  const container = await answering(`HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n${'x'.repeat(10_000)}`);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.socket.pause();
  let more = true;
  for (let n = 0; n < 20_000 && more; n++) more = client.socket.write(`${head}\r\n`) || n < 5000;
  // Kernel buffers and 64 KiB on each side; far from the 50 MB that all answers would be.
  let before = -1;
  await eventually(() => {
    const now = container.received().length;
    const moved = now !== before;
    before = now;
    if (moved || now === 0) throw new Error('still moving');
  });
  expect(container.received().split('\r\n\r\n').length).toBeLessThan(2500);
  client.socket.resetAndDestroy();
  await own.settled();
});

test('a flood of requests for unknown hosts whose answers are not read is not answered in advance', async () => {
  const own = await rig();
  const client = await own.client();
  client.socket.pause();
  const flood = 'GET / HTTP/1.1\r\nHost: x.test\r\nAccept: text/html\r\n\r\n'.repeat(1000);
  let sent = 0;
  const more = () => {
    while (sent < 1000 && !client.socket.destroyed) {
      sent++;
      if (!client.socket.write(flood)) return;
    }
  };
  client.socket.on('drain', more);
  more();
  let before = -1;
  let still = 0;
  await eventually(() => {
    still = sent === before ? still + 1 : 0;
    before = sent;
    if (still < 5) throw new Error('still moving');
  });
  expect(sent).toBeLessThan(500);
  // It stopped because nobody reads, and goes on when somebody does.
  client.socket.resume();
  await eventually(() => expect(sent).toBeGreaterThan(before));
  client.socket.destroy();
  await own.settled();
});

test('every spelling of the reserved prefix stays with the proxy', async () => {
  const container = await answering(ok);
  const own = await rig();
  own.route('c.test', container.port);
  for (const path of [
    '/.docker-spawner/',
    '/.docker-spawner',
    '/.docker-spawner/other',
    '/.docker-spawner?x',
    '//.docker-spawner/status',
    '/./.docker-spawner/status',
    '/a/../.docker-spawner/status',
    '/%2edocker-spawner/status',
    '/.docker%2Dspawner/status',
    '/%2Fa/..%2f.docker-spawner/x',
    '/.Docker-Spawner/status',
    '\\.docker-spawner'.replace('\\', '/\\'),
    '/.docker-spawner;x=1/status',
    '/..;/.docker-spawner/status',
  ]) {
    const answer = await own.ask(`GET ${path} HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n`);
    expect(answer, path).toMatch(/^HTTP\/1.1 404 /);
  }
  expect(container.received()).toBe('');
  for (const path of [
    '/docker-spawner/',
    '/a/.docker-spawner/',
    '/.docker-spawnerx',
    '/.well-known/x',
    '/?/.docker-spawner/',
  ]) {
    const answer = await own.ask(`GET ${path} HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n`);
    expect(answer, path).toMatch(/^HTTP\/1.1 200 /);
  }
});

test('more client connections than allowed, in all or from one address, get 503', async () => {
  for (const limits of [{ clientConnections: 2 }, { clientConnectionsPerAddress: 2 }]) {
    const own = await rig({ limits });
    const first = await own.client();
    const second = await own.client();
    const third = await own.client();
    expect(await third.sees('503')).toMatch(/^HTTP\/1.1 503 [\s\S]*Retry-After/);
    await third.closed();
    for (const client of [first, second, third]) client.socket.destroy();
    await own.settled();
    const fourth = await own.client();
    fourth.send('GET / HTTP/1.1\r\nHost: x.test\r\n\r\n');
    await fourth.sees('404');
  }
});

import { createHash } from 'node:crypto';
import { createServer, get, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, rawContainer, rig } from './support/rig.ts';

test('a request reaches the container of its host, with its own fields and ours, and the answer comes back', async () => {
  const container = await answering('HTTP/1.1 200 OK\r\nX-One: a\r\nContent-Length: 5\r\n\r\nhello');
  const { route, ask } = await rig();
  route('c.test', container.port);
  const answer = await ask(
    'GET /path?q=1 HTTP/1.1\r\nHost: C.test:8080\r\nX-Mine: 1\r\nConnection: close\r\n\r\n',
  );
  expect(answer).toBe('HTTP/1.1 200 OK\r\nX-One: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello');
  expect(container.received()).toBe(
    'GET /path?q=1 HTTP/1.1\r\nHost: C.test:8080\r\nX-Mine: 1\r\nX-Forwarded-For: 127.0.0.1\r\n' +
      'X-Forwarded-Proto: http\r\nX-Forwarded-Host: C.test:8080\r\n\r\n',
  );
});

test('requests that follow each other on a connection use one connection to the container', async () => {
  const container = await answering(ok);
  const { route, client, proxy } = await rig();
  route('c.test', container.port);
  const browser = await client();
  for (let n = 1; n <= 3; n++) {
    browser.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
    await eventually(() => expect(browser.text().match(/ok/g)).toHaveLength(n));
  }
  expect(container.sockets).toHaveLength(1);
  expect(proxy.stats()).toMatchObject({ clientConnections: 1, upstreamConnections: 1, openRequests: 0 });
});

test('pipelined requests are answered in their order', async () => {
  const container = await answering((index) => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n#${index}`);
  const { route, client } = await rig();
  route('c.test', container.port);
  const browser = await client();
  browser.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n'.repeat(4));
  const text = await browser.sees('#3');
  expect(text.match(/#\d/g)).toEqual(['#0', '#1', '#2', '#3']);
});

test('a body with a length and a chunked body both arrive whole, whatever Node’s own ends make of them', async () => {
  const server = createServer((incoming, response) => {
    const hash = createHash('sha256');
    incoming.on('data', (chunk) => hash.update(chunk));
    incoming.on('end', () => {
      response.setHeader('x-hash', hash.digest('hex'));
      response.setHeader(
        'x-framing',
        incoming.headers['content-length'] ?? incoming.headers['transfer-encoding'] ?? 'none',
      );
      response.write('first,');
      response.end('last');
    });
  });
  const { route, port } = await rig();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  route('c.test', (server.address() as AddressInfo).port);
  const body = Buffer.alloc(3_000_000, 'body');
  for (const headers of [{ 'content-length': body.length }, { 'transfer-encoding': 'chunked' }] as const) {
    const answer = await new Promise<{ headers: NodeJS.Dict<string | string[]>; text: string }>(
      (resolve, reject) => {
        const outgoing = request(
          { port, host: '127.0.0.1', method: 'POST', headers: { host: 'c.test', ...headers } },
          (incoming) => {
            let text = '';
            incoming.on('data', (chunk) => {
              text += chunk;
            });
            incoming.on('end', () => resolve({ headers: incoming.headers, text }));
          },
        );
        outgoing.on('error', reject);
        outgoing.end(body);
      },
    );
    expect(answer.headers['x-hash']).toBe(createHash('sha256').update(body).digest('hex'));
    expect(answer.headers['x-framing']).toBe(String(Object.values(headers)[0]));
    expect(answer.text).toBe('first,last');
  }
});

test('an unknown host gets 404: a page for a browser, problem+json for a program', async () => {
  const { ask } = await rig();
  const page = await ask('GET / HTTP/1.1\r\nHost: x.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n');
  expect(page).toMatch(/^HTTP\/1.1 404 Not Found\r\n[\s\S]*Content-Type: text\/html[\s\S]*No container here/);
  const problem = await ask('GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n');
  expect(problem).toMatch(/application\/problem\+json/);
  expect(JSON.parse(problem.split('\r\n\r\n')[1]!)).toMatchObject({
    status: 404,
    title: 'No container here',
  });
});

test('WebSocket messages of every size go both ways', async () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  onTestFinished(() => void server.close());
  server.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  const { route, port, settled } = await rig();
  route('c.test', (server.address() as AddressInfo).port);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, {
    headers: { host: 'c.test' },
    perMessageDeflate: false,
  });
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
    const sent = Buffer.alloc(size, size % 251);
    socket.send(sent);
    const got = await new Promise<Buffer>((resolve) =>
      socket.once('message', (data) => resolve(data as Buffer)),
    );
    expect(got.equals(sent)).toBe(true);
  }
  socket.close();
  await settled();
});

test('a server-sent event reaches the client at once', async () => {
  const container = await rawContainer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n');
  });
  const { route, port } = await rig();
  route('c.test', container.port);
  const first = await new Promise<string>((resolve) => {
    const outgoing = get({ port, host: '127.0.0.1', headers: { host: 'c.test' } }, (incoming) => {
      incoming.once('data', (chunk) => {
        resolve(String(chunk));
        outgoing.destroy();
      });
    });
    outgoing.on('error', () => {});
  });
  expect(first).toBe('data: one\n\n');
  await eventually(() => expect(container.open()).toBe(0));
});

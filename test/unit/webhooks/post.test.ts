import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { post } from '../../../src/webhooks/post.ts';
import { eventually } from '../../support/eventually.ts';

/** A receiver that writes these very bytes when a request has come whole. */
async function saying(onRequest: (socket: Socket, request: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    let request = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      request += chunk;
      if (request.endsWith('{"a":1}')) onRequest(socket, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}/in?q=1`, sockets };
}

const message = { body: '{"a":1}', fields: { 'X-Test': 'yes' } };
const never = new AbortController().signal;

test('a message is posted as JSON of a known length, on a connection that is closed after it', async () => {
  let seen = '';
  const { url } = await saying((socket, request) => {
    seen = request;
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  });
  expect(await post(url, message, never)).toEqual({ ok: true });
  expect(seen).toMatch(/^POST \/in\?q=1 HTTP\/1\.1\r\n/);
  for (const field of [
    'X-Test: yes',
    'Content-Type: application/json',
    'Content-Length: 7',
    'Connection: close',
  ])
    expect(seen).toContain(`${field}\r\n`);
});

test.each([
  ['HTTP/1.1 204 No Content\r\n\r\n', { ok: true }],
  ['HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n', { ok: true }],
  ['HTTP/1.1 500 Oh\r\n\r\n', { ok: false, error: 'it answered 500', retryAfterMs: null }],
  ['HTTP/1.1 503 Oh\r\nRetry-After: 7\r\n\r\n', { ok: false, error: 'it answered 503', retryAfterMs: 7000 }],
  [
    'HTTP/1.1 429 Oh\r\nRetry-After: soon\r\n\r\n',
    { ok: false, error: 'it answered 429', retryAfterMs: null },
  ],
  [
    'HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\n\r\n',
    { ok: false, error: 'it answered 307, and redirects are not followed', retryAfterMs: null },
  ],
  [
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    { error: 'it answered 101' },
  ],
  ['', { ok: false, error: 'it closed the connection without an answer (ECONNRESET)' }],
  ['SSH-2.0-OpenSSH\r\n', { ok: false, error: expect.stringContaining('its answer is not valid HTTP') }],
])('the answer %j is read as %j', async (answer, outcome) => {
  const { url } = await saying((socket) => socket.end(answer));
  expect(await post(url, message, never)).toMatchObject(outcome);
});

test('a body without an end is not read to its end', async () => {
  const { url, sockets } = await saying((socket) => {
    const write = () => {
      while (!socket.destroyed && socket.write('x'.repeat(16_384)));
    };
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.on('drain', write);
    write();
  });
  expect(await post(url, message, never)).toEqual({ ok: true });
  await eventually(() => expect(sockets[0]!.destroyed).toBe(true));
});

test('a receiver that does not answer is left when the time is over', async () => {
  const overdue = new AbortController();
  const { url, sockets } = await saying(() => overdue.abort(new DOMException('', 'TimeoutError')));
  expect(await post(url, message, overdue.signal)).toMatchObject({ error: 'it did not answer in time' });
  await eventually(() => expect(sockets[0]!.destroyed).toBe(true));
});

test('a receiver that is not there, or whose name is not known, is told apart', async () => {
  const { url } = await saying(() => {});
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  expect(await post(url.replace(/:\d+\//, `:${port}/`), message, never)).toMatchObject({
    error: 'nothing listens there (ECONNREFUSED)',
  });
  expect(await post('http://nowhere.invalid/', message, never)).toMatchObject({
    error: expect.stringMatching(/^its host name/),
  });
});

// The demo: one page that shows whose container this is and how long it lives, and a WebSocket that counts. It
// runs as process 1 of a container, from the Node binary alone, with a read-only root.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';

const { env } = process;
const port = Number(env.PORT ?? 80);
const template = readFileSync(new URL('./page.html', import.meta.url), 'utf8');
const startedMs = Date.now();
const viewers = new Set();

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://container');
  if (pathname !== '/')
    return answer(response, 404, 'text/plain; charset=utf-8', 'There is nothing here; the page is at /\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return answer(response, 405, 'text/plain; charset=utf-8', 'This page is only there to be read.\n');
  }
  const nonce = randomBytes(16).toString('base64');
  response.setHeader(
    'content-security-policy',
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  answer(response, 200, 'text/html; charset=utf-8', page(nonce));
});
server.on('upgrade', (request, socket) => {
  socket.on('error', () => socket.destroy());
  if (new URL(request.url, 'http://container').pathname === '/live') accept(request, socket);
  else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.listen(port, () => console.log(`demo: listening on port ${port}`));
setInterval(() => {
  for (const socket of viewers) push(socket);
}, 1000);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, leave);

/** The page with this container's facts in it, each escaped for HTML. */
function page(nonce) {
  const values = {
    nonce,
    id: env.DEMO_ID || os.hostname(),
    user: env.DEMO_USER || 'nobody in particular',
    expires: env.DEMO_EXPIRES_AT ?? '',
    // The reader's clock may be wrong; the time left is told by this one.
    now: new Date().toISOString(),
    node: process.version,
  };
  return template.replace(/\{\{(\w+)\}\}/g, (_all, name) => escapeHtml(values[name]));
}

function answer(response, status, type, body) {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  response.end(body);
}

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** The opening of a WebSocket (RFC 6455, section 4.2). */
function accept(request, socket) {
  const key = request.headers['sec-websocket-key'];
  if (!key || request.headers.upgrade?.toLowerCase() !== 'websocket') {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const proof = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${proof}\r\n\r\n`,
  );
  viewers.add(socket);
  socket.on('close', () => viewers.delete(socket));
  socket.on('end', () => socket.end());
  socket.on('data', reader(socket));
  push(socket);
}

/** The page sends nothing, but browsers send Ping and Close: frames of at most 131 bytes (section 5.5). */
function reader(socket) {
  let buffered = Buffer.alloc(0);
  return (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length >= 6) {
      const payloadBytes = buffered[1] & 0x7f;
      const masked = buffered[1] & 0x80;
      if (!masked || payloadBytes > 125) return close(socket, 1002);
      if (buffered.length < 6 + payloadBytes) return;
      const opcode = buffered[0] & 0x0f;
      const mask = buffered.subarray(2, 6);
      const payload = buffered.subarray(6, 6 + payloadBytes).map((byte, at) => byte ^ mask[at & 3]);
      buffered = buffered.subarray(6 + payloadBytes);
      if (opcode === 0x8) return close(socket, 1000);
      if (opcode === 0x9) socket.write(frame(0xa, payload));
    }
  };
}

/** Tells a viewer how many seconds this container has counted, and how many look on. */
function push(socket) {
  const count = Math.round((Date.now() - startedMs) / 1000);
  // Who does not read does not need every number.
  if (socket.writableLength === 0)
    socket.write(frame(0x1, Buffer.from(JSON.stringify({ count, viewers: viewers.size }))));
}

function close(socket, code) {
  viewers.delete(socket);
  socket.end(frame(0x8, Buffer.from([code >> 8, code & 0xff])));
}

function frame(opcode, payload) {
  return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);
}

/** Process 1 gets no default handling of signals, so ending is up to us. 1001: the server goes away. */
function leave() {
  for (const socket of viewers) close(socket, 1001);
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 1000).unref();
}

// The web server of the test image. What it does comes from its environment:
//   PORT (80)            where it listens
//   START_DELAY_MS (0)   how long it waits before it listens
//   NEVER_LISTEN         set: it runs, and never listens
//   EXIT_AFTER_MS        set: it exits that long after its start, with EXIT_CODE (0)
//   STATUS (200)         the status of GET /
// Paths are in the table below; an upgrade to WebSocket on any path echoes what it gets.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';

const { env } = process;
const port = Number(env.PORT ?? 80);

const paths = {
  /** Who answers, in one line. */
  '/': (_url, _request, response) => {
    text(
      response,
      Number(env.STATUS ?? 200),
      `test image id=${env.ID ?? ''} hostname=${os.hostname()} pid=${process.pid}\n`,
    );
  },
  '/env': (_url, _request, response) => json(response, { ...env }),
  /** The request as it arrived: names in their original writing, in order. */
  '/headers': (_url, request, response) => {
    const { method, url, httpVersion, headers, rawHeaders } = request;
    json(response, {
      method,
      url,
      httpVersion,
      headers,
      rawHeaders,
      remoteAddress: request.socket.remoteAddress,
    });
  },
  /** The request's body, as it comes in. */
  '/echo': (_url, request, response) => {
    response.writeHead(200, {
      'content-type': request.headers['content-type'] ?? 'application/octet-stream',
    });
    request.pipe(response);
  },
  /** Counts the body's bytes and hashes them. */
  '/count': (_url, request, response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (chunk) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    request.on('end', () => json(response, { bytes, sha256: hash.digest('hex') }));
  },
  /** /big?bytes=N: a body of N bytes with a Content-Length; &chunked=1: without. */
  '/big': (url, _request, response) => {
    const bytes = number(url, 'bytes', 1 << 20);
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      ...(url.searchParams.has('chunked') ? {} : { 'content-length': bytes }),
    });
    fill(response, bytes);
  },
  /** /sse?every=MS&count=N: events with a number each; without a count, until the client leaves. */
  '/sse': (url, _request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const last = number(url, 'count', Number.POSITIVE_INFINITY);
    let sent = 0;
    const next = () => {
      sent += 1;
      response.write(`id: ${sent}\ndata: ${sent}\n\n`);
      if (sent >= last) finish();
    };
    const timer = setInterval(next, number(url, 'every', 100));
    const finish = () => {
      clearInterval(timer);
      response.end();
    };
    response.on('close', () => clearInterval(timer));
    next();
  },
  /** /slow?ms=N: answers after N milliseconds; &head=1: sends the head at once, and the body after them. */
  '/slow': (url, _request, response) => {
    if (url.searchParams.has('head'))
      response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
    const timer = setTimeout(() => response.end('slow\n'), number(url, 'ms', 1000));
    response.on('close', () => clearTimeout(timer));
  },
  /** /exit?code=N: answers, then ends the process. */
  '/exit': (url, _request, response) => {
    response.end('exiting\n', () => exit(number(url, 'code', 0)));
  },
  /** /abort: ends the connection in the middle of an answer. */
  '/abort': (_url, _request, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('the beginning', () => response.destroy());
  },
  /** /net?host=H&port=P: whether a TCP connection from in here succeeds: open, refused, timeout, or the error. */
  '/net': (url, _request, response) => {
    const socket = net.connect({
      host: url.searchParams.get('host') ?? '127.0.0.1',
      port: number(url, 'port', 80),
    });
    const answer = (result) => {
      socket.destroy();
      if (!response.writableEnded) json(response, { result });
    };
    socket.setTimeout(number(url, 'ms', 2000), () => answer('timeout'));
    socket.on('connect', () => answer('open'));
    socket.on('error', (error) => answer(error.code === 'ECONNREFUSED' ? 'refused' : error.code));
  },
  /** /write?path=P: whether a file can be written there. */
  '/write': (url, _request, response) => {
    try {
      writeFileSync(url.searchParams.get('path') ?? '/tmp/file', 'written\n');
      json(response, { result: 'written' });
    } catch (error) {
      json(response, { result: error.code });
    }
  },
};

console.log(`test image: started as pid ${process.pid}, node ${process.version}`);
console.error('test image: this line is on standard error');
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    console.log(`test image: ${signal}`);
    exit(0);
  });
}
if (env.EXIT_AFTER_MS !== undefined)
  setTimeout(() => exit(Number(env.EXIT_CODE ?? 0)), Number(env.EXIT_AFTER_MS));
if (env.NEVER_LISTEN) {
  console.log('test image: will never listen');
  setInterval(() => {}, 1 << 30);
} else {
  setTimeout(listen, Number(env.START_DELAY_MS ?? 0));
}

function listen() {
  const server = http.createServer({ requestTimeout: 0 }, (request, response) => {
    const url = new URL(request.url, 'http://container');
    const status = /^\/status\/([1-5]\d\d)$/.exec(url.pathname);
    const answer = Object.hasOwn(paths, url.pathname) ? paths[url.pathname] : null;
    if (status) text(response, Number(status[1]), `status ${status[1]}\n`);
    else if (answer) answer(url, request, response);
    else text(response, 404, 'nothing here\n');
  });
  server.on('upgrade', webSocketEcho);
  server.listen(port, () => console.log(`test image: listening on port ${port}`));
}

/** A minimal WebSocket (RFC 6455) that sends every text, binary and ping frame back. */
function webSocketEcho(request, socket, head) {
  const key = request.headers['sec-websocket-key'];
  if (!key || String(request.headers.upgrade).toLowerCase() !== 'websocket') {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const protocol = request.headers['sec-websocket-protocol']?.split(',')[0].trim();
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${
      protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : ''
    }\r\n`,
  );
  let buffered = head;
  const take = (chunk) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (let frame = readFrame(buffered); frame; frame = readFrame(buffered)) {
      buffered = buffered.subarray(frame.bytes);
      const pingOrClose = { 9: 0x8a, 8: 0x88 }[frame.opcode];
      socket.write(writeFrame(pingOrClose ?? frame.firstByte, frame.payload));
      if (frame.opcode === 0x8) socket.end();
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('data', take);
  take(Buffer.alloc(0));
}

/** The first frame of the buffer, unmasked; null until all of it is there. */
function readFrame(buffer) {
  if (buffer.length < 2) return null;
  const lengthBytes = { 126: 2, 127: 8 }[buffer[1] & 0x7f] ?? 0;
  const maskBytes = buffer[1] & 0x80 ? 4 : 0;
  const headBytes = 2 + lengthBytes + maskBytes;
  if (buffer.length < headBytes) return null;
  let payloadBytes = buffer[1] & 0x7f;
  if (lengthBytes === 2) payloadBytes = buffer.readUInt16BE(2);
  if (lengthBytes === 8) payloadBytes = Number(buffer.readBigUInt64BE(2));
  if (buffer.length < headBytes + payloadBytes) return null;
  const payload = Buffer.from(buffer.subarray(headBytes, headBytes + payloadBytes));
  if (maskBytes) for (let i = 0; i < payload.length; i++) payload[i] ^= buffer[headBytes - 4 + (i & 3)];
  return { firstByte: buffer[0], opcode: buffer[0] & 0x0f, payload, bytes: headBytes + payloadBytes };
}

function writeFrame(firstByte, payload) {
  let head;
  if (payload.length < 126) {
    head = Buffer.from([firstByte, payload.length]);
  } else if (payload.length < 65536) {
    head = Buffer.from([firstByte, 126, payload.length >> 8, payload.length & 0xff]);
  } else {
    head = Buffer.alloc(10);
    head[0] = firstByte;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

function fill(response, bytes) {
  const block = Buffer.alloc(65536, 'docker-spawner ');
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const part = left < block.length ? block.subarray(0, left) : block;
      left -= part.length;
      if (!response.write(part)) return response.once('drain', more);
    }
    response.end();
  };
  more();
}

function text(response, status, body) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(body);
}

function json(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

function number(url, name, otherwise) {
  const value = Number(url.searchParams.get(name) ?? Number.NaN);
  return Number.isNaN(value) ? otherwise : value;
}

function exit(code) {
  console.log(`test image: exits with code ${code}`);
  process.exit(code);
}

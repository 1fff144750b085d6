import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { answerAsks } from '../proxy/programs.ts';

/** What the client says on a WebSocket to have the container end it. */
export const askForEnd = 'please end';
export const askForReset = 'please reset';

const block = Buffer.alloc(64 * 1024, 'x');

export type ContainerAsk = { readonly do: 'port' };

if (process.argv[1] === import.meta.filename) {
  const port = serve();
  answerAsks<ContainerAsk>(() => port);
}

/**
 * A container for the soak, in a process of its own: answers in every framing, by path, and echoes on WebSockets.
 * Gives its port.
 */
async function serve(): Promise<number> {
  const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
    response.on('error', () => {});
    void answer(request, response);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    const key = request.headers['sec-websocket-key'] ?? '';
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      if (chunk.includes(askForReset)) socket.resetAndDestroy();
      else if (chunk.includes(askForEnd)) socket.end();
      // 8: a close frame, which is answered with one before the end (RFC 6455, 5.5.1).
      else if ((chunk[0]! & 15) === 8) socket.end(Buffer.from([0x88, 0]));
      else socket.write(chunk);
    });
    socket.on('end', () => socket.end());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  });
  server.listen(0, '127.0.0.1', 1024);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, kind, size] = request.url!.split('/');
  const bytes = Number(size);
  if (kind === 'echo') {
    request.pipe(response);
  } else if (kind === 'length') {
    response.setHeader('Content-Length', bytes);
    await write(response, bytes);
    response.end();
  } else if (kind === 'chunked') {
    await write(response, bytes);
    response.end();
  } else if (kind === 'close') {
    response.useChunkedEncodingByDefault = false;
    response.setHeader('Connection', 'close');
    await write(response, bytes);
    response.end();
  } else {
    response.writeHead(404).end();
  }
}

async function write(response: ServerResponse, bytes: number): Promise<void> {
  for (let left = bytes; left > 0 && !response.destroyed; left -= block.length) {
    if (!response.write(left < block.length ? block.subarray(0, left) : block)) {
      const stop = new AbortController();
      const waits = { signal: stop.signal };
      await Promise.race([once(response, 'drain', waits), once(response, 'close', waits)]).catch(() => {});
      stop.abort();
    }
  }
}

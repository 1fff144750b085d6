import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';

/**
 * The container behind large bodies and WebSockets: `GET /BYTES` gets so many, the body of a POST is thrown
 * away and its length answered, and whatever a WebSocket's client sends comes back. It keeps nothing, so that
 * it is never what a measurement waits for.
 */

const { port } = JSON.parse(process.argv[2]!) as { port: number };
const block = Buffer.alloc(1024 * 1024, 'x');

createServer((socket) => {
  let head = '';
  let bodyBytes = -1;
  let expectedBytes = 0;
  let tunnel = false;
  const receive = (bytes: Buffer) => {
    if (tunnel) {
      socket.write(Buffer.from(bytes));
      return;
    }
    if (bodyBytes < 0) {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      const rest = head.length - end - 4;
      const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head);
      if (key !== null) {
        tunnel = true;
        socket.write(switching(key[1]!));
      } else if (head.startsWith('GET /')) {
        void send(socket, Number.parseInt(head.slice(5), 10));
      } else {
        expectedBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        bodyBytes = rest;
      }
      head = '';
    } else {
      bodyBytes += bytes.length;
    }
    if (bodyBytes >= 0 && bodyBytes === expectedBytes) {
      const text = String(bodyBytes);
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      bodyBytes = -1;
    }
  };
  socket.on('data', receive);
  socket.on('error', () => socket.destroy());
}).listen(port, '127.0.0.1', 4096);

process.on('disconnect', () => process.exit(0));

async function send(socket: Socket, bytes: number): Promise<void> {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
  for (let left = bytes; left > 0 && !socket.destroyed; left -= block.length) {
    if (!socket.write(left < block.length ? block.subarray(0, left) : block))
      await new Promise<void>((resolve) => {
        const done = () => {
          socket.off('drain', done);
          socket.off('close', done);
          resolve();
        };
        socket.on('drain', done);
        socket.on('close', done);
      });
  }
}

/** RFC 6455, 4.2.2. */
function switching(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

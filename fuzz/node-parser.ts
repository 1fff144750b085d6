import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import type { Message } from './own-parser.ts';

/** Node's own HTTP parser (llhttp, strict) as a second opinion, on streams in memory. */

/** What Node made of the bytes, and the code of its error. */
export interface NodeReading {
  readonly messages: readonly Message[];
  readonly end: string;
}

/** What Node understands of what a client sent. */
export async function readRequestsWithNode(bytes: Buffer): Promise<NodeReading> {
  const messages: Message[] = [];
  let end = '';
  const server = nodeServer((message) => messages.push(message));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    end = error.code ?? error.message;
    socket.destroy();
  });
  const { stream, settled } = memoryStream(bytes);
  server.emit('connection', stream);
  await settled();
  stream.destroy();
  return { messages, end };
}

/** A server of Node's that notes each request, with its body as it comes, and answers it. */
export function nodeServer(note: (message: Message, request: IncomingMessage) => void): Server {
  const server = createServer({ maxHeaderSize: 128 * 1024, keepAliveTimeout: 0, requestTimeout: 0 });
  const onRequest = (request: IncomingMessage, response: { end(text: string): void }) => {
    const message: Message = {
      start: `${request.method} ${request.url}`,
      fields: pairsOf(request),
      body: '',
      complete: false,
    };
    note(message, request);
    request.on('data', (chunk: Buffer) => {
      message.body += chunk.toString('latin1');
    });
    request.on('end', () => {
      message.complete = true;
      response.end('ok');
    });
    request.on('error', () => {});
  };
  server.on('request', onRequest);
  server.on('checkContinue', (request, response) => {
    response.writeContinue();
    onRequest(request, response);
  });
  server.on('checkExpectation', onRequest);
  return server;
}

/** What Node understands of what a container sent in answer to a request of that method. */
export async function readResponseWithNode(bytes: Buffer, method: string): Promise<NodeReading> {
  const messages: Message[] = [];
  let end = '';
  const { stream, settled } = memoryStream(bytes);
  const asked = request({
    method,
    createConnection: () => stream as never,
    maxHeaderSize: 128 * 1024,
    headers: { Host: 'fuzz.test', Connection: 'close' },
  });
  asked.on('information', ({ statusCode, rawHeaders }) => {
    messages.push({ start: String(statusCode), fields: pairs(rawHeaders), body: '', complete: true });
  });
  const note = (response: IncomingMessage) => {
    const message: Message = {
      start: String(response.statusCode),
      fields: pairsOf(response),
      body: '',
      complete: false,
    };
    messages.push(message);
    return message;
  };
  asked.on('upgrade', (response) => {
    note(response).complete = true;
  });
  asked.on('response', (response) => {
    const message = note(response);
    response.on('data', (chunk: Buffer) => {
      message.body += chunk.toString('latin1');
    });
    response.on('end', () => {
      message.complete = response.complete;
    });
    response.on('error', () => {});
  });
  asked.on('error', (error: NodeJS.ErrnoException) => {
    end = error.code ?? error.message;
  });
  asked.end();
  await settled();
  asked.destroy();
  stream.destroy();
  return { messages, end };
}

function pairsOf(message: IncomingMessage): [string, string][] {
  return pairs(message.rawHeaders);
}

function pairs(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[i * 2]!.toLowerCase(), raw[i * 2 + 1]!]);
}

/** A stream that gives the bytes, then its end. It is read within a few turns of the loop, being in memory. */
function memoryStream(bytes: Buffer): { stream: Duplex; settled(): Promise<void> } {
  let ended = false;
  const stream = new Duplex({
    read() {
      if (ended) return;
      ended = true;
      this.push(bytes);
      this.push(null);
    },
    write(_chunk, _encoding, done) {
      done();
    },
  });
  stream.on('error', () => {});
  return {
    stream,
    async settled() {
      for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

import { connect, type Socket } from 'node:net';
import { nameOf } from '../proxy-process.ts';
import { answerAsks } from './programs.ts';

/**
 * Sends requests when they are due, whether the earlier ones are answered or not, and times each from when it
 * was due: a proxy that pauses delays all that fall due meanwhile, and each of them counts.
 */
export interface OpenLoopAsk {
  readonly do: 'run';
  readonly port: number;
  readonly hosts: number;
  readonly connections: number;
  readonly requestsPerS: number;
  readonly seconds: number;
}

export interface OpenLoopResult {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly requests: number;
}

/** How long answers are waited for after the last request. */
const patienceMs = 10_000;

answerAsks<OpenLoopAsk>(run);

async function run(ask: OpenLoopAsk): Promise<OpenLoopResult> {
  const total = Math.floor(ask.requestsPerS * ask.seconds);
  const latencies = new Float64Array(total);
  const requests = Array.from({ length: ask.hosts }, (_, i) =>
    Buffer.from(`GET /page?from=open-loop HTTP/1.1\r\nHost: ${nameOf(i)}\r\nAccept: */*\r\n\r\n`),
  );
  /** Connections without a request, the longest unused first, so that all are used. */
  const free: Connection[] = [];
  let answered = 0;
  let failure: Error | null = null;
  let finished = () => {};
  const answeredAll = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const fail = (reason: string) => {
    failure ??= new Error(reason);
    finished();
  };
  const connections = await Promise.all(
    Array.from({ length: ask.connections }, () =>
      Connection.open(ask.port, fail, (connection, dueMs) => {
        latencies[answered++] = (performance.now() - dueMs) * 1000;
        free.push(connection);
        if (answered === total) finished();
      }),
    ),
  );
  free.push(...connections);

  const startMs = performance.now();
  const gapMs = 1000 / ask.requestsPerS;
  let sent = 0;
  // Timers are exact to a millisecond only, so it looks at the clock in every turn of the loop.
  const turn = () => {
    const nowMs = performance.now();
    while (sent < total && free.length > 0 && startMs + sent * gapMs <= nowMs) {
      free.shift()!.send(requests[Math.floor(Math.random() * ask.hosts)]!, startMs + sent * gapMs);
      sent++;
    }
    if (nowMs > startMs + ask.seconds * 1000 + patienceMs) fail(`${answered} of ${total} answered in time`);
    if (answered < total && failure === null) setImmediate(turn);
  };
  turn();
  await answeredAll;
  for (const connection of connections) connection.close();
  if (failure !== null) throw failure;
  latencies.sort();
  const at = (q: number) => latencies[Math.min(total - 1, Math.floor(total * q))]!;
  return { p50Us: at(0.5), p99Us: at(0.99), p999Us: at(0.999), requests: total };
}

class Connection {
  readonly #socket: Socket;
  readonly #answered: (connection: Connection, dueMs: number) => void;
  #dueMs = 0;
  #text = '';
  #closed = false;

  static open(
    port: number,
    fail: (reason: string) => void,
    answered: (connection: Connection, dueMs: number) => void,
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () =>
        resolve(new Connection(socket, fail, answered)),
      );
      socket.once('error', reject);
    });
  }

  constructor(
    socket: Socket,
    fail: (reason: string) => void,
    answered: (connection: Connection, dueMs: number) => void,
  ) {
    this.#socket = socket;
    this.#answered = answered;
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1');
      this.#look(fail);
    });
    socket.on('close', () => {
      if (!this.#closed) fail('a connection was closed');
    });
    socket.on('error', () => {});
  }

  send(request: Buffer, dueMs: number): void {
    this.#dueMs = dueMs;
    this.#socket.write(request);
  }

  close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  #look(fail: (reason: string) => void): void {
    const headEnd = this.#text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    if (!this.#text.startsWith('HTTP/1.1 200 ')) fail(`answered ${this.#text.slice(0, 40)}`);
    const length = /\r\ncontent-length: (\d+)/i.exec(this.#text);
    if (length === null) fail('an answer has no length');
    if (this.#text.length < headEnd + 4 + Number(length?.[1])) return;
    this.#text = '';
    this.#answered(this, this.#dueMs);
  }
}

import { appendFile } from 'node:fs';
import type { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';

/** Lines that wait beyond that are dropped, and counted: a full disk must not cost memory or time. */
const maxWaitingCharacters = 1024 * 1024;

/** Where the lines go: called with many at once, and not again until it has called back. */
export type AccessLogSink = (lines: string, done: (error?: Error | null) => void) => void;

/** A sink that appends to a file, which it opens anew each time, so that it can be rotated under it. */
export function accessLogFile(path: string): AccessLogSink {
  return (lines, done) => appendFile(path, lines, { mode: 0o640 }, done);
}

/** One JSON line a request, gathered and written once a second; never waited for. */
export class AccessLog {
  readonly #sink: AccessLogSink;
  #waiting: string[] = [];
  #characters = 0;
  #dropped = 0;
  #writing = false;

  constructor(sink: AccessLogSink) {
    this.#sink = sink;
  }

  /** Notes a request that is over. The query is left out: it may hold secrets. */
  note(exchange: Exchange, client: ClientConnection, startMs: number): void {
    if (this.#characters > maxWaitingCharacters) {
      this.#dropped++;
      return;
    }
    const { request } = exchange;
    const line = `${JSON.stringify({
      time: new Date().toISOString(),
      client: client.peer.address,
      host: request.host,
      id: exchange.id,
      method: request.method,
      path: request.target.split('?', 1)[0],
      status: exchange.status,
      requestBytes: exchange.bodyBytes,
      responseBytes: exchange.responseBytes,
      durationMs: Math.round((performance.now() - startMs) * 10) / 10,
    })}\n`;
    this.#waiting.push(line);
    this.#characters += line.length;
  }

  /** Writes what waits, unless the last write still runs. */
  flush(): void {
    if (this.#writing || (this.#waiting.length === 0 && this.#dropped === 0)) return;
    if (this.#dropped > 0) this.#waiting.push(`${JSON.stringify({ dropped: this.#dropped })}\n`);
    const lines = this.#waiting.join('');
    this.#waiting = [];
    this.#characters = 0;
    this.#dropped = 0;
    this.#writing = true;
    this.#sink(lines, () => {
      this.#writing = false;
    });
  }
}

import type { Socket } from 'node:net';
import { type Answer, answerHead } from './answers.ts';
import type { Slices } from './body-reader.ts';
import { Outlet } from './outlet.ts';
import type { RequestHead } from './request-head.ts';

/** Writes to one client, and knows whether the client takes it. */
export class ClientWriter {
  /** Whether more is waiting than should be; until the socket's `drain`. */
  blocked = false;
  readonly #socket: Socket;
  readonly #outlet: Outlet;
  readonly #onBlocked: () => void;
  #unsentBytes = 0;

  constructor(socket: Socket, onBlocked: () => void) {
    this.#socket = socket;
    this.#outlet = new Outlet(socket);
    this.#onBlocked = onBlocked;
  }

  writeHead(head: string): void {
    this.#note(this.#socket.write(head, 'latin1'));
  }

  /** As Outlet's; false: the client does not read. */
  writeBody(head: string, chunked: boolean, bytes: Buffer, slices: Slices, last: boolean): boolean {
    const flowing = this.#note(this.#outlet.writeBody(head, chunked, bytes, slices, last));
    if (last) this.#outlet.release();
    return flowing;
  }

  /** Writes a piece of a tunnel's bytes; false: the client does not read. */
  writePiece(chunk: Buffer): boolean {
    return this.#outlet.writePiece(chunk, 0, chunk.length);
  }

  /** The client has taken everything. */
  drained(): void {
    this.blocked = false;
    this.#outlet.release();
  }

  writeAnswer(answer: Answer, request: RequestHead | null, goesOn: boolean): void {
    const body = request?.method === 'HEAD' ? '' : answer.body;
    this.#note(this.#socket.write(answerHead(answer, goesOn, request?.minorVersion === 0) + body));
  }

  /** Whether something waits, but less than at the last call: a slow reader is fine as long as it reads. */
  progressed(): boolean {
    const before = this.#unsentBytes;
    this.#unsentBytes = this.#socket.writableLength;
    return this.#unsentBytes < before;
  }

  get unsent(): boolean {
    return this.#socket.writableLength > 0;
  }

  #note(flowing: boolean): boolean {
    if (!flowing && !this.blocked) {
      this.blocked = true;
      this.#unsentBytes = this.#socket.writableLength;
      this.#onBlocked();
    }
    return flowing;
  }
}

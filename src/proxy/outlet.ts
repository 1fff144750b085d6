import type { Socket } from 'node:net';
import type { Slices } from './body-reader.ts';
import { SendSlots } from './send-slots.ts';

/** Up to here, copying head and data into one write costs less than a second write. */
const joinBytes = 16 * 1024;

/**
 * The writing side of one connection. What it is given may stand in a buffer that is read into again, so it is
 * copied wherever the socket would keep it.
 */
export class Outlet {
  readonly #socket: Socket;
  readonly #slots = new SendSlots();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * Writes a head that waits ('' for none) and the slices of `bytes`, in as few writes as it goes; with
   * `chunked` the slices as one chunk, and with `last` what ends the body. Returns false when the socket wants
   * a pause.
   */
  writeBody(head: string, chunked: boolean, bytes: Buffer, slices: Slices, last: boolean): boolean {
    let before = head;
    let after = '';
    if (chunked) {
      if (slices.bytes > 0) {
        before += `${slices.bytes.toString(16)}\r\n`;
        after = last ? '\r\n0\r\n\r\n' : '\r\n';
      } else if (last) {
        before += '0\r\n\r\n';
      }
    }
    if (slices.count === 0) return before === '' || this.#socket.write(before, 'latin1');
    if (slices.count > 1) return this.#writeGathered(before, bytes, slices, after);
    const start = slices.start(0);
    const end = slices.end(0);
    if (slices.bytes <= joinBytes) {
      return this.#socket.write(before + bytes.toString('latin1', start, end) + after, 'latin1');
    }
    if (before === '') return this.writePiece(bytes, start, end);
    this.#socket.cork();
    this.#socket.write(before, 'latin1');
    let flowing = this.writePiece(bytes, start, end);
    if (after !== '') flowing = this.#socket.write(after, 'latin1');
    this.#socket.uncork();
    return flowing;
  }

  /** Writes [start, end) of `bytes`. */
  writePiece(bytes: Buffer, start: number, end: number): boolean {
    const flowing = this.#socket.write(this.#slots.copy(bytes, start, end, this.#socket.writableLength));
    if (this.#socket.writableLength === 0) this.release();
    return flowing;
  }

  /** Nothing follows soon: what the copies needed can be given up. */
  release(): void {
    this.#slots.release(this.#socket.writableLength);
  }

  /** Many small pieces, of a peer that sends tiny chunks, become one. */
  #writeGathered(before: string, bytes: Buffer, slices: Slices, after: string): boolean {
    const gathered = Buffer.allocUnsafe(before.length + slices.bytes + after.length);
    let at = gathered.write(before, 0, 'latin1');
    for (let slice = 0; slice < slices.count; slice++) {
      at += bytes.copy(gathered, at, slices.start(slice), slices.end(slice));
    }
    gathered.write(after, at, 'latin1');
    return this.#socket.write(gathered);
  }
}

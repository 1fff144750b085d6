import { type ChunkedLimits, ChunkedReader } from './chunked.ts';
import type { Framing } from './framing.ts';

/** Pieces of a body within one chunk, as places. One is shared by a proxy: it is used up before the next read. */
export class Slices {
  count = 0;
  bytes = 0;
  readonly #places: number[] = [];

  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  add(start: number, end: number): void {
    if (end === start) return;
    this.#places[this.count * 2] = start;
    this.#places[this.count * 2 + 1] = end;
    this.count++;
    this.bytes += end - start;
  }

  start(slice: number): number {
    return this.#places[slice * 2]!;
  }

  end(slice: number): number {
    return this.#places[slice * 2 + 1]!;
  }
}

/** Finds a body's data in the chunks of a connection, and where the body ends. */
export class BodyReader {
  done: boolean;
  readonly #chunked: ChunkedReader | null;
  #remainingBytes: number;

  /** A body that ends with the connection is never done by itself. */
  constructor(framing: Framing, lengthBytes: number, limits: ChunkedLimits) {
    this.done = framing === 'none';
    this.#chunked = framing === 'chunked' ? new ChunkedReader(limits) : null;
    this.#remainingBytes = framing === 'length' ? lengthBytes : Number.POSITIVE_INFINITY;
  }

  /** Bytes still to come; infinite where the framing does not say. */
  get remainingBytes(): number {
    return this.done ? 0 : this.#remainingBytes;
  }

  /** Puts the data of `bytes` from `at` on into `slices`; returns the place after the body, or `refused`. */
  read(bytes: Buffer, at: number, slices: Slices): number {
    slices.clear();
    if (this.done) return at;
    if (this.#chunked !== null) {
      const next = this.#chunked.read(bytes, at, slices);
      this.done = this.#chunked.done;
      return next;
    }
    const taken = Math.min(this.#remainingBytes, bytes.length - at);
    slices.add(at, at + taken);
    this.#remainingBytes -= taken;
    this.done = this.#remainingBytes === 0;
    return at + taken;
  }
}

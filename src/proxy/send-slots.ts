import { readAheadBytes } from './limits.ts';

/** Pieces from that size on go through slots; smaller ones are ordinary garbage. */
const smallestPieceBytes = 32 * 1024;

/** A socket that reads on is paused beyond 64 KiB, so one more slot than that takes is always free. */
const slotsPerSocket = 3;

/** Slots that nobody uses, for the next large body: 4 MiB at most. */
const spare: Slot[] = [];
const maxSpare = 64;

interface Slot {
  readonly bytes: Buffer;
  /** How many bytes had been given to the socket's slots when this one's were. */
  end: number;
}

/**
 * Copies for one socket of what stands in a buffer that will be read into again. Large bodies would otherwise
 * leave a new buffer behind for every read, and a gigabyte of them before anybody sweeps; here the same few
 * carry it all. A slot is used again only when the socket has sent everything that was in it.
 */
export class SendSlots {
  readonly #slots: Slot[] = [];
  #given = 0;

  /** Copies [start, end) of `bytes`; `unsentBytes` is what the socket has not sent yet. */
  copy(bytes: Buffer, start: number, end: number, unsentBytes: number): Buffer {
    const length = end - start;
    const slot = length >= smallestPieceBytes && length <= readAheadBytes ? this.#free(unsentBytes) : null;
    if (slot === null) return Buffer.from(bytes.subarray(start, end));
    bytes.copy(slot.bytes, 0, start, end);
    this.#given += length;
    slot.end = this.#given;
    return slot.bytes.subarray(0, length);
  }

  /** Gives the slots up, to others if the socket has sent everything. To be called after a body. */
  release(unsentBytes: number): void {
    if (this.#slots.length === 0) return;
    for (const slot of this.#slots) if (unsentBytes === 0 && spare.length < maxSpare) spare.push(slot);
    this.#slots.length = 0;
  }

  /** A slot all of whose bytes lie before the unsent ones, which are the last that were given. */
  #free(unsentBytes: number): Slot | null {
    for (const slot of this.#slots) if (this.#given - slot.end >= unsentBytes) return slot;
    if (this.#slots.length === slotsPerSocket) return null;
    const slot = spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(readAheadBytes), end: 0 };
    this.#slots.push(slot);
    return slot;
  }
}

const firstCapacityBytes = 1024;

/**
 * Bytes that wait, in one buffer that doubles as it grows: a peer that sends a byte at a time costs neither a
 * buffer for each nor a copy of everything for each.
 */
export class ByteQueue {
  #bytes: Buffer | null = null;
  length = 0;

  append(chunk: Buffer, from: number, to: number): void {
    const needed = this.length + to - from;
    if (this.#bytes === null || this.#bytes.length < needed) {
      const capacity = Math.max(needed, (this.#bytes?.length ?? firstCapacityBytes / 2) * 2);
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#bytes?.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.length, from, to);
    this.length = needed;
  }

  /** What waits, to look at until the next call. */
  view(): Buffer {
    return this.#bytes?.subarray(0, this.length) ?? empty;
  }

  /** What waits, for the caller to keep; the queue is empty afterwards. */
  take(): Buffer {
    const bytes = this.view();
    this.clear();
    return bytes;
  }

  clear(): void {
    this.#bytes = null;
    this.length = 0;
  }
}

const empty = Buffer.alloc(0);

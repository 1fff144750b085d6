import type { Slices } from './body-reader.ts';
import { CR, hexValue, isControlByte, isTokenByte, LF } from './bytes.ts';
import { refused } from './head-reader.ts';

export interface ChunkedLimits {
  readonly chunkExtensionBytes: number;
  readonly trailerBytes: number;
}

const size = 0;
const sizeLf = 1;
const extensionName = 2;
const extensionValue = 3;
const extensionQuoted = 4;
const extensionAfterQuoted = 5;
const data = 6;
const dataCr = 7;
const dataLf = 8;
const trailerStart = 9;
const trailerName = 10;
const trailerValue = 11;
const trailerLf = 12;
const lastLf = 13;
const end = 14;

/** Digits of a chunk size, leading zeros included: enough for any size that a double holds exactly. */
const maxSizeDigits = 16;

/**
 * Reads a chunked body (RFC 9112, 7.1) a byte at a time where it is not data. Extensions and trailers are
 * checked, bounded and dropped: nothing that we pass on is described by them.
 */
export class ChunkedReader {
  done = false;
  readonly #limits: ChunkedLimits;
  #state = size;
  #sizeBytes = 0;
  #digits = 0;
  /** Bytes of the current extension, or of the trailer section. */
  #counted = 0;
  #nameBytes = 0;

  constructor(limits: ChunkedLimits) {
    this.#limits = limits;
  }

  /** Reads `bytes` from `at`, adds the data to `slices`; returns the place after the body or `refused`. */
  read(bytes: Buffer, at: number, slices: Slices): number {
    while (at < bytes.length) {
      if (this.#state === data) {
        const taken = Math.min(this.#sizeBytes, bytes.length - at);
        slices.add(at, at + taken);
        this.#sizeBytes -= taken;
        at += taken;
        if (this.#sizeBytes === 0) this.#state = dataCr;
        continue;
      }
      if (!this.#step(bytes[at++]!)) return refused;
      if (this.#state === end) {
        this.done = true;
        return at;
      }
    }
    return at;
  }

  /** Takes one byte that is not data; false where it may not stand there. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case size:
        return this.#stepSize(byte);
      case sizeLf:
        this.#state = this.#sizeBytes === 0 ? trailerStart : data;
        this.#counted = 0;
        return byte === LF;
      case dataCr:
        this.#state = dataLf;
        return byte === CR;
      case dataLf:
        this.#state = size;
        this.#digits = 0;
        return byte === LF;
      case extensionName:
      case extensionValue:
      case extensionQuoted:
      case extensionAfterQuoted:
        return this.#stepExtension(byte);
      default:
        return this.#stepTrailer(byte);
    }
  }

  #stepSize(byte: number): boolean {
    const digit = hexValue[byte]!;
    if (digit < 16) {
      this.#sizeBytes = this.#sizeBytes * 16 + digit;
      return ++this.#digits <= maxSizeDigits && this.#sizeBytes <= Number.MAX_SAFE_INTEGER;
    }
    if (this.#digits === 0) return false;
    if (byte === CR) this.#state = sizeLf;
    else if (byte === 59 /* ; */) this.#startExtension();
    else return false;
    return true;
  }

  #startExtension(): void {
    this.#state = extensionName;
    this.#nameBytes = 0;
  }

  /** `;name`, `;name=token` or `;name="quoted"`, without the blanks that RFC 9112 calls bad (7.1.1). */
  #stepExtension(byte: number): boolean {
    if (++this.#counted > this.#limits.chunkExtensionBytes) return false;
    if (this.#state === extensionQuoted) {
      if (byte === 34 /* " */) this.#state = extensionAfterQuoted;
      // A quoted pair would be one more thing to read in two ways; nobody sends one.
      return isControlByte[byte] === 0 && byte !== 92 /* \ */ && byte < 127;
    }
    if (this.#state !== extensionAfterQuoted && isTokenByte[byte] === 1) {
      this.#nameBytes++;
      return true;
    }
    if (this.#state === extensionValue && byte === 34 && this.#nameBytes === 0) {
      this.#state = extensionQuoted;
      return true;
    }
    if (this.#state !== extensionAfterQuoted && this.#nameBytes === 0) return false;
    if (byte === CR) this.#state = sizeLf;
    else if (byte === 59 /* ; */) this.#startExtension();
    else if (byte === 61 /* = */ && this.#state === extensionName) {
      this.#state = extensionValue;
      this.#nameBytes = 0;
    } else return false;
    return true;
  }

  #stepTrailer(byte: number): boolean {
    if (this.#state !== lastLf && ++this.#counted > this.#limits.trailerBytes + 1) return false;
    switch (this.#state) {
      case trailerStart:
        if (byte === CR) {
          this.#state = lastLf;
          return true;
        }
        this.#state = trailerName;
        return isTokenByte[byte] === 1;
      case trailerName:
        if (byte === 58 /* : */) this.#state = trailerValue;
        return byte === 58 || isTokenByte[byte] === 1;
      case trailerValue:
        if (byte === CR) this.#state = trailerLf;
        return byte === CR || isControlByte[byte] === 0;
      case trailerLf:
        this.#state = trailerStart;
        return byte === LF;
      default:
        this.#state = end;
        return byte === LF;
    }
  }
}

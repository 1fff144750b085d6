import { COLON, CR, HTAB, isControlByte, isTokenByte, LF, SP } from './bytes.ts';
import { kindOfName } from './field-kinds.ts';
import { type Refusal, refusals } from './refusal.ts';

/**
 * The start line and fields of one message, as places in its text. It is filled again for each message (one
 * serves a whole proxy), so whoever needs something of it later takes it at once.
 */
export class Head {
  /** The head as latin1, from the first byte of the start line: one character is one byte. */
  text = '';
  /** Where the start line ends in the text. */
  lineEnd = 0;
  count = 0;
  /** Why the last `fill` of a complete head failed. */
  refusal: Refusal = refusals.fieldSyntax;
  readonly #maxFields: number;
  readonly #kinds: Uint8Array;
  /** For each field: start and end of its name, start and end of its value. */
  readonly #places: Int32Array;

  constructor(maxFields: number) {
    this.#maxFields = maxFields;
    this.#kinds = new Uint8Array(maxFields);
    this.#places = new Int32Array(maxFields * 4);
  }

  /**
   * Reads the head at [start, end) and returns the place after its blank line. Where it is not complete and
   * valid up to there it returns -1, and `refusal` says why it is not, should it be complete.
   */
  fill(bytes: Buffer, start: number, end: number): number {
    this.count = 0;
    let at = skipLine(bytes, start, end);
    if (at === start) return -1;
    this.lineEnd = at - start;
    at = afterLine(bytes, at, end);
    while (at >= 0 && at < end && bytes[at] !== CR) at = this.#readField(bytes, start, at, end);
    if (at >= 0) at = afterLine(bytes, at, end);
    if (at >= 0) this.text = bytes.toString('latin1', start, at);
    return at;
  }

  /** Reads one field and returns the place after its line, or -1. */
  #readField(bytes: Buffer, start: number, nameStart: number, end: number): number {
    let at = nameStart;
    while (at < end && isTokenByte[bytes[at]!] === 1) at++;
    // Refuses a space before the colon, a continued line (obs-fold) and an empty name (RFC 9112, 5.1 and 5.2).
    if (at === nameStart || bytes[at] !== COLON) return this.#refuse(refusals.fieldSyntax);
    if (this.count === this.#maxFields) return this.#refuse(refusals.tooManyFields);
    const nameEnd = at++;
    while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at++;
    const valueStart = at;
    at = skipLine(bytes, at, end);
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
    this.#kinds[this.count] = kindOfName(bytes, nameStart, nameEnd);
    const place = this.count++ * 4;
    this.#places[place] = nameStart - start;
    this.#places[place + 1] = nameEnd - start;
    this.#places[place + 2] = valueStart - start;
    this.#places[place + 3] = valueEnd - start;
    return afterLine(bytes, at, end);
  }

  #refuse(refusal: Refusal): number {
    this.refusal = refusal;
    return -1;
  }

  kind(field: number): number {
    return this.#kinds[field]!;
  }

  nameStart(field: number): number {
    return this.#places[field * 4]!;
  }

  /** The name as it was written. */
  name(field: number): string {
    return this.text.slice(this.#places[field * 4], this.#places[field * 4 + 1]);
  }

  /** The value without the white space around it. */
  value(field: number): string {
    return this.text.slice(this.#places[field * 4 + 2], this.#places[field * 4 + 3]);
  }

  /** Where the field's line ends, CR LF included. */
  fieldEnd(field: number): number {
    return field + 1 < this.count ? this.#places[field * 4 + 4]! : this.text.length - 2;
  }

  /** Whether the field stands there as we would write it: one space after the colon, none at the end. */
  isPlain(field: number): boolean {
    return (
      this.#places[field * 4 + 2] === this.#places[field * 4 + 1]! + 2 &&
      this.text.charCodeAt(this.#places[field * 4 + 1]! + 1) === SP &&
      this.#places[field * 4 + 3] === this.fieldEnd(field) - 2
    );
  }

  /** The fields as pairs of name and value, for whoever looks at all of them at leisure. */
  pairs(): [name: string, value: string][] {
    return Array.from({ length: this.count }, (_, field) => [this.name(field), this.value(field)]);
  }

  /** Whether there is a field of that kind. */
  has(kind: number): boolean {
    for (let field = 0; field < this.count; field++) if (this.#kinds[field] === kind) return true;
    return false;
  }
}

/** The place of the next control byte. */
function skipLine(bytes: Buffer, at: number, end: number): number {
  while (at < end && isControlByte[bytes[at]!] === 0) at++;
  return at;
}

/** The place after a CR LF, or -1 where there is none. */
function afterLine(bytes: Buffer, at: number, end: number): number {
  return at + 1 < end && bytes[at] === CR && bytes[at + 1] === LF ? at + 2 : -1;
}

import { ByteQueue } from './byte-queue.ts';
import { CR, isControlByte, LF } from './bytes.ts';
import type { Head } from './head.ts';
import { type Refusal, refusals } from './refusal.ts';

/** What `read` returns where the head does not end in this chunk (all of it is kept), and where it is refused. */
export const more = -1;
export const refused = -2;

/** RFC 9112, 2.2: a server should ignore an empty line or so before the request line; old clients send them. */
const maxEmptyLines = 2;

/**
 * Finds heads in the chunks of one connection and fills the shared Head with each. Control bytes and the size
 * are judged as the bytes arrive, everything else once the head is complete; so it makes no difference to the
 * outcome how the bytes were cut.
 */
export class HeadReader {
  readonly head: Head;
  /** Set when `read` returned `refused`. */
  refusal: Refusal | null = null;
  readonly #maxBytes: number;
  readonly #isRequest: boolean;
  readonly #kept = new ByteQueue();
  /** Within the head, which begins at the first byte not yet handed out: what is searched, the current line. */
  #searched = 0;
  #lineStart = 0;
  #start = 0;
  #emptyLines = 0;

  constructor(head: Head, side: 'request' | 'response', maxBytes: number) {
    this.head = head;
    this.#maxBytes = maxBytes;
    this.#isRequest = side === 'request';
  }

  /** Whether bytes of an unfinished head have arrived. */
  get started(): boolean {
    return this.#kept.length > 0;
  }

  /** Reads on at `chunk[at]`. Returns the place after the head, `more` or `refused`. */
  read(chunk: Buffer, at: number): number {
    if (this.#kept.length === 0) {
      // Nearly always a head comes whole and is fine, and one pass will do. If not, the longer way says why.
      const whole = this.#fillWhole(chunk, at);
      if (whole >= 0) return whole;
      const end = this.#findEnd(chunk, at, chunk.length);
      if (end === more) this.#kept.append(chunk, at, chunk.length);
      return end < 0 ? end : this.#fill(chunk, at, end);
    }
    const before = this.#kept.length;
    const taken = Math.min(chunk.length - at, this.#maxBytes - before);
    this.#kept.append(chunk, at, at + taken);
    const bytes = this.#kept.view();
    const end = this.#findEnd(bytes, 0, bytes.length);
    return end < 0 ? end : this.#fill(bytes, 0, end) < 0 ? refused : at + end - before;
  }

  /** Forgets what it kept. */
  reset(): void {
    this.#kept.clear();
    this.#searched = 0;
    this.#lineStart = 0;
    this.#start = 0;
    this.#emptyLines = 0;
  }

  #findEnd(bytes: Buffer, base: number, end: number): number {
    const limit = Math.min(end, base + this.#maxBytes);
    let at = base + this.#searched;
    for (;;) {
      while (at < limit && isControlByte[bytes[at]!] === 0) at++;
      if (at >= limit || (at + 1 === limit && bytes[at] === CR))
        return this.#needMore(at - base, limit - base);
      if (bytes[at] !== CR || bytes[at + 1] !== LF) return this.#refuse(refusals.control);
      if (at - base === this.#lineStart) {
        if (this.#lineStart !== this.#start) return at + 2;
        if (!this.#isRequest || ++this.#emptyLines > maxEmptyLines) return this.#refuse(refusals.emptyLines);
        this.#start += 2;
      } else if (
        this.#lineStart === this.#start &&
        this.#isRequest &&
        !endsWithVersion(bytes, base + this.#lineStart, at)
      ) {
        // Said at once: HTTP/0.9 has no more than this line, and would wait for its answer.
        return this.#refuse(refusals.version);
      }
      at += 2;
      this.#lineStart = at - base;
    }
  }

  #needMore(searched: number, bytes: number): number {
    if (bytes < this.#maxBytes) {
      this.#searched = searched;
      return more;
    }
    return this.#refuse(this.#lineStart === this.#start ? refusals.targetTooLong : refusals.headTooLarge);
  }

  #fillWhole(chunk: Buffer, at: number): number {
    const end = this.head.fill(chunk, at, Math.min(chunk.length, at + this.#maxBytes));
    return end >= 0 && (!this.#isRequest || endsWithVersion(chunk, at, at + this.head.lineEnd)) ? end : more;
  }

  #fill(bytes: Buffer, base: number, end: number): number {
    const filled = this.head.fill(bytes, base + this.#start, end);
    this.reset();
    return filled >= 0 ? end : this.#refuse(this.head.refusal);
  }

  #refuse(refusal: Refusal): number {
    this.refusal = refusal;
    return refused;
  }
}

/** Whether the line at [start, end) ends like the request line of some HTTP/1: ` HTTP/1.` and one more. */
function endsWithVersion(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < version.length + 1) return false;
  for (let i = 0; i < version.length; i++) if (bytes[end - 9 + i] !== version[i]) return false;
  return true;
}

const version = Buffer.from(' HTTP/1.', 'latin1');

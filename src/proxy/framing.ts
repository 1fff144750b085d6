import { kinds } from './field-kinds.ts';
import type { Head } from './head.ts';
import { type Refusal, refusals } from './refusal.ts';

/** Where a body ends: there is none, after `lengthBytes`, with the last chunk, or with the connection. */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

/** What the framing fields of a message say, before method and status are considered. */
export interface FramingFields {
  readonly chunked: boolean;
  /** -1: there is no Content-Length. */
  readonly lengthBytes: number;
}

export const unframed: FramingFields = { chunked: false, lengthBytes: -1 };

/**
 * Reads the framing fields of a message; whatever two readers might understand differently is refused
 * (RFC 9112, 6.3): both fields, one of them twice, a list, a coding other than one `chunked`, HTTP/1.0 with
 * Transfer-Encoding.
 */
export function readFraming(head: Head, minorVersion: number): FramingFields | Refusal {
  let chunked = false;
  let lengthBytes = -1;
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field);
    if (kind === kinds.contentLength) {
      if (lengthBytes >= 0) return refusals.lengthInvalid;
      lengthBytes = readLength(head.value(field));
      if (lengthBytes < 0) return refusals.lengthInvalid;
    } else if (kind === kinds.transferEncoding) {
      if (chunked || minorVersion === 0 || head.value(field).toLowerCase() !== 'chunked') {
        return refusals.transferEncoding;
      }
      chunked = true;
    }
  }
  if (chunked && lengthBytes >= 0) return refusals.bothFramings;
  return chunked || lengthBytes >= 0 ? { chunked, lengthBytes } : unframed;
}

/** The framing of a request's body (RFC 9112, 6.3: without a framing field there is none). */
export function requestFraming(fields: FramingFields): Framing {
  if (fields.chunked) return 'chunked';
  return fields.lengthBytes > 0 ? 'length' : 'none';
}

/** The framing of the body of a final response to a request of that method. */
export function responseFraming(fields: FramingFields, status: number, method: string): Framing {
  if (method === 'HEAD' || status === 204 || status === 304) return 'none';
  if (fields.chunked) return 'chunked';
  if (fields.lengthBytes < 0) return 'close';
  return fields.lengthBytes === 0 ? 'none' : 'length';
}

/** One plain decimal number that a double holds exactly, or -1. */
function readLength(value: string): number {
  if (value.length === 0 || value.length > 16) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1;
}

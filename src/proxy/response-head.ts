import { SP } from './bytes.ts';
import { type ConnectionOptions, noOptions, readConnection } from './connection-field.ts';
import { kinds } from './field-kinds.ts';
import { type Framing, readFraming, responseFraming } from './framing.ts';
import type { Head } from './head.ts';
import { Refusal, refusals } from './refusal.ts';

/** What a response says, decided once. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly framing: Framing;
  /** Of the body; for a response without one (HEAD, 304) what the field says. -1: not stated. */
  readonly lengthBytes: number;
  readonly connection: ConnectionOptions;
  /** Whether the container's connection may carry another request after the body. */
  readonly keepAlive: boolean;
  /** The Upgrade field in lower case; null where there is none. */
  readonly upgrade: string | null;
}

/** Reads the head of a response to a request of that method, or says why it is not passed on. */
export function readResponseHead(head: Head, method: string): ResponseHead | Refusal {
  const text = head.text;
  const minorVersion = text.charCodeAt(7) - 48;
  if (!text.startsWith('HTTP/1.') || (minorVersion !== 0 && minorVersion !== 1)) return refusals.statusLine;
  // The blank after the status is left out by many where there is no reason phrase; nothing hangs on it.
  if (text.charCodeAt(8) !== SP || (head.lineEnd > 12 ? text.charCodeAt(12) !== SP : head.lineEnd !== 12)) {
    return refusals.statusLine;
  }
  const status = readStatus(text);
  if (status < 0) return refusals.statusLine;
  if (status < 100 || status > 599) return refusals.statusRange;

  let connection = noOptions;
  let upgrade: string | null = null;
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field);
    if (kind === kinds.connection) {
      const options = readConnection(head.value(field), connection);
      if (options === null) return refusals.connectionField;
      connection = options;
    } else if (kind === kinds.upgrade) {
      const value = head.value(field).toLowerCase();
      upgrade = upgrade === null ? value : `${upgrade}, ${value}`;
    }
  }
  const fields = readFraming(head, minorVersion);
  if (fields instanceof Refusal) return fields;
  const framing = status < 200 ? 'none' : responseFraming(fields, status, method);
  return {
    status,
    reason: head.lineEnd > 13 ? text.slice(13, head.lineEnd) : '',
    framing,
    lengthBytes: fields.lengthBytes,
    connection,
    keepAlive: minorVersion === 1 && !connection.close && framing !== 'close',
    upgrade,
  };
}

function readStatus(text: string): number {
  let status = 0;
  for (let i = 9; i < 12; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9 || Number.isNaN(digit)) return -1;
    status = status * 10 + digit;
  }
  return status;
}

import { createHash } from 'node:crypto';
import { kinds } from './field-kinds.ts';
import type { Head } from './head.ts';

/**
 * The key of a valid WebSocket handshake (RFC 6455, 4.1: GET, one key of 16 bytes in base64, one version), or
 * null. Which versions are good is the container's to say: it may answer 426 with those it speaks.
 */
export function readWebSocketKey(head: Head, method: string): string | null {
  const key = onlyValue(head, kinds.webSocketKey);
  const version = onlyValue(head, kinds.webSocketVersion);
  if (method !== 'GET' || key === null || version === null) return null;
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key) || !/^[0-9]{1,3}$/.test(version)) return null;
  return key;
}

/** Whether a 101 carries the one proof that belongs to that key (RFC 6455, 4.2.2). */
export function acceptsWebSocket(head: Head, key: string): boolean {
  const proof = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return onlyValue(head, kinds.webSocketAccept) === proof;
}

function onlyValue(head: Head, kind: number): string | null {
  let value: string | null = null;
  for (let field = 0; field < head.count; field++) {
    if (head.kind(field) !== kind) continue;
    if (value !== null) return null;
    value = head.value(field);
  }
  return value;
}

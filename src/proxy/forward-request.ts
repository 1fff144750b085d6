import { kindCount, kinds } from './field-kinds.ts';
import type { Head } from './head.ts';
import type { RequestHead } from './request-head.ts';

/** Whom a client's connection comes from, as the container is told. */
export interface Peer {
  readonly address: string;
  readonly proto: 'http' | 'https';
  /** Whether its X-Forwarded fields are believed and continued. */
  readonly trusted: boolean;
  /** Where requests are sent to https: the port; otherwise null. */
  readonly redirectPort: number | null;
}

/** Fields that are written anew, or not at all. */
const dropped = dropTable([
  kinds.connection,
  kinds.contentLength,
  kinds.transferEncoding,
  kinds.hop,
  kinds.upgrade,
  kinds.expect,
  kinds.forwardedFor,
  kinds.forwardedProto,
  kinds.forwardedHost,
]);
const droppedUntrusted = Uint8Array.from(dropped);
droppedUntrusted[kinds.forwarded] = 1;
droppedUntrusted[kinds.forwardedOther] = 1;

/**
 * The head that the container gets. No Via is added: many servers switch compression off when they see one,
 * and the proxy never sends to itself.
 */
export function forwardRequest(request: RequestHead, head: Head, peer: Peer): string {
  let out = `${request.method} ${request.target} HTTP/1.1\r\n`;
  out += keptFields(head, peer.trusted ? dropped : droppedUntrusted, request.connection.names);
  if (request.framing === 'length') out += `Content-Length: ${request.lengthBytes}\r\n`;
  else if (request.framing === 'chunked') out += 'Transfer-Encoding: chunked\r\n';
  // Said for methods that could have a body, as clients do (RFC 9110, 8.6); some servers insist.
  else if (wantsLength(request.method)) out += 'Content-Length: 0\r\n';
  if (request.expectContinue) out += 'Expect: 100-continue\r\n';
  if (request.upgrade !== null) out += `Connection: Upgrade\r\nUpgrade: ${request.upgrade}\r\n`;
  return out + forwardedFields(request, head, peer);
}

/** The lines of all fields that are not dropped, as they stand where they are plain. */
export function keptFields(head: Head, drop: Uint8Array, names: readonly string[] | null): string {
  let out = '';
  let runStart = -1;
  for (let field = 0; field < head.count; field++) {
    const drops = drop[head.kind(field)] === 1 || (names?.includes(head.name(field).toLowerCase()) ?? false);
    if (!drops && head.isPlain(field)) {
      if (runStart < 0) runStart = head.nameStart(field);
      continue;
    }
    if (runStart >= 0) {
      out += head.text.slice(runStart, head.nameStart(field));
      runStart = -1;
    }
    if (!drops) out += `${head.name(field)}: ${head.value(field)}\r\n`;
  }
  if (runStart >= 0) out += head.text.slice(runStart, head.text.length - 2);
  return out;
}

export function dropTable(list: readonly number[]): Uint8Array {
  const drop = new Uint8Array(kindCount);
  for (const kind of list) drop[kind] = 1;
  return drop;
}

function wantsLength(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

function forwardedFields(request: RequestHead, head: Head, peer: Peer): string {
  if (!peer.trusted) {
    return `X-Forwarded-For: ${peer.address}\r\nX-Forwarded-Proto: ${peer.proto}\r\nX-Forwarded-Host: ${request.hostField}\r\n\r\n`;
  }
  let chain = '';
  let proto: string | null = null;
  let host: string | null = null;
  for (let field = 0; field < head.count; field++) {
    const kind = head.kind(field);
    if (kind === kinds.forwardedFor) chain += `${head.value(field)}, `;
    else if (kind === kinds.forwardedProto) proto = head.value(field);
    else if (kind === kinds.forwardedHost) host = head.value(field);
  }
  return `X-Forwarded-For: ${chain}${peer.address}\r\nX-Forwarded-Proto: ${proto ?? peer.proto}\r\nX-Forwarded-Host: ${host ?? request.hostField}\r\n\r\n`;
}

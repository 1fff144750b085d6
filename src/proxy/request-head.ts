import { isToken } from './bytes.ts';
import { type ConnectionOptions, noOptions, readConnection } from './connection-field.ts';
import { kinds } from './field-kinds.ts';
import { type Framing, readFraming, requestFraming } from './framing.ts';
import type { Head } from './head.ts';
import { hostName } from './host.ts';
import { Refusal, refusals } from './refusal.ts';
import { readTarget } from './target.ts';
import { readWebSocketKey } from './websocket.ts';

/** What a request asks, decided once: everything that follows goes by this, never by the bytes again. */
export interface RequestHead {
  readonly method: string;
  /** In origin-form, or `*`. */
  readonly target: string;
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  readonly minorVersion: number;
  /** As routes are keyed. */
  readonly host: string;
  /** The Host field as it was written. */
  readonly hostField: string;
  readonly framing: Framing;
  /** Of the body, with the framing `length`; otherwise 0. */
  readonly lengthBytes: number;
  readonly connection: ConnectionOptions;
  /** Whether the client's connection may carry another request. */
  readonly keepAlive: boolean;
  readonly expectContinue: boolean;
  /** The protocol that the client offers to switch to; null where the request is an ordinary one. */
  readonly upgrade: string | null;
  /** The key of a WebSocket handshake. */
  readonly webSocketKey: string | null;
  /** The Accept fields, for the answers that the proxy makes itself. */
  readonly accept: string;
}

const longestMethod = 32;

/** Reads a request's head, or says with which status it is refused. `maxBodyBytes` 0: no limit. */
export function readRequestHead(
  head: Head,
  limits: { readonly targetBytes: number; readonly bodyBytes: number },
): RequestHead | Refusal {
  const text = head.text;
  const methodEnd = text.indexOf(' ');
  const targetEnd = text.indexOf(' ', methodEnd + 1);
  if (methodEnd <= 0 || methodEnd > longestMethod || targetEnd < 0 || targetEnd > head.lineEnd) {
    return refusals.requestLine;
  }
  const method = text.slice(0, methodEnd);
  if (!isToken(method)) return refusals.requestLine;
  if (head.lineEnd - targetEnd !== 9 || !text.startsWith('HTTP/1.', targetEnd + 1)) return refusals.version;
  const minorVersion = text.charCodeAt(targetEnd + 8) - 48;
  if (minorVersion !== 0 && minorVersion !== 1) return refusals.version;
  if (targetEnd - methodEnd - 1 > limits.targetBytes) return refusals.targetTooLong;
  // A tunnel to anywhere, and an echo of what scripts may not see: not for a server of other people's code.
  if (method === 'CONNECT' || method === 'TRACE') return refusals.method;
  const target = readTarget(text.slice(methodEnd + 1, targetEnd), method);
  if (target instanceof Refusal) return target;

  let hostField: string | null = null;
  let connection = noOptions;
  let upgradeField: string | null = null;
  let upgradeFields = 0;
  let expect: string | null = null;
  let accept = '';
  for (let field = 0; field < head.count; field++) {
    switch (head.kind(field)) {
      case kinds.host:
        if (hostField !== null) return refusals.hostRepeated;
        hostField = head.value(field);
        break;
      case kinds.connection: {
        const options = readConnection(head.value(field), connection);
        if (options === null) return refusals.connectionField;
        connection = options;
        break;
      }
      case kinds.upgrade:
        upgradeField = head.value(field);
        upgradeFields++;
        break;
      case kinds.expect:
        expect = expect === null ? head.value(field) : `${expect}, ${head.value(field)}`;
        break;
      case kinds.accept:
        accept = accept === '' ? head.value(field) : `${accept}, ${head.value(field)}`;
        break;
    }
  }
  if (hostField === null) return refusals.hostMissing;
  const host = hostName(hostField);
  if (host === null) return refusals.hostInvalid;
  if (target.authority !== null && target.authority.toLowerCase() !== hostField.toLowerCase()) {
    return refusals.hostDiffers;
  }
  const fields = readFraming(head, minorVersion);
  if (fields instanceof Refusal) return fields;
  if (limits.bodyBytes > 0 && fields.lengthBytes > limits.bodyBytes) return refusals.bodyTooLarge;
  const framing = requestFraming(fields);
  if (expect !== null && expect.toLowerCase() !== '100-continue') return refusals.expectation;

  // RFC 9110, 7.8: an Upgrade may always be ignored. It is, in HTTP/1.0, beside a body, in a list, and for
  // h2c, whose frames would be requests that nobody checks.
  let upgrade: string | null = null;
  if (upgradeField !== null && upgradeFields === 1 && connection.upgrade && minorVersion === 1) {
    const protocol = upgradeField.toLowerCase();
    if (framing === 'none' && protocol !== 'h2c' && isUpgradeToken(protocol)) upgrade = protocol;
  }
  let webSocketKey: string | null = null;
  if (upgrade === 'websocket') {
    webSocketKey = readWebSocketKey(head, method);
    if (webSocketKey === null) return refusals.webSocket;
  }
  return {
    method,
    target: target.text,
    minorVersion,
    host,
    hostField,
    framing,
    lengthBytes: framing === 'length' ? fields.lengthBytes : 0,
    connection,
    keepAlive: !connection.close && (minorVersion === 1 || connection.keepAlive),
    // RFC 9110, 10.1.1: of no meaning in HTTP/1.0 and without content.
    expectContinue: expect !== null && minorVersion === 1 && framing !== 'none',
    upgrade,
    webSocketKey,
    accept,
  };
}

/** `protocol-name ["/" protocol-version]`. */
function isUpgradeToken(protocol: string): boolean {
  const parts = protocol.split('/');
  return parts.length <= 2 && parts.every(isToken);
}

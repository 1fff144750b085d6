import { isToken } from './bytes.ts';

/** What the Connection fields of a message say. */
export interface ConnectionOptions {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  /** Other fields that go no further, in lower case; null where there are none, which is nearly always. */
  readonly names: readonly string[] | null;
}

export const noOptions: ConnectionOptions = { close: false, keepAlive: false, upgrade: false, names: null };

/** Nobody names more; each is looked for among all fields, so thousands would cost milliseconds a request. */
const maxNames = 32;

const onlyClose: ConnectionOptions = { ...noOptions, close: true };
const onlyKeepAlive: ConnectionOptions = { ...noOptions, keepAlive: true };
const onlyUpgrade: ConnectionOptions = { ...noOptions, upgrade: true };

/**
 * Reads one Connection field on top of what earlier ones said; null where it is not a list of tokens, or names
 * a field that is meant for the other end: RFC 9110, 7.6.1, forbids to name those, and to obey would let a
 * client take away what the container relies on.
 */
export function readConnection(value: string, before: ConnectionOptions): ConnectionOptions | null {
  if (before === noOptions) {
    // What nearly all say, without taking it apart.
    if (value === 'keep-alive' || value === 'Keep-Alive') return onlyKeepAlive;
    if (value === 'close' || value === 'Close') return onlyClose;
    if (value === 'Upgrade' || value === 'upgrade') return onlyUpgrade;
  }
  let { close, keepAlive, upgrade } = before;
  const names = [...(before.names ?? [])];
  for (const part of value.split(',')) {
    const token = part.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase();
    if (token === '') continue;
    if (!isToken(token) || isEndToEnd(token)) return null;
    if (token === 'close') close = true;
    else if (token === 'keep-alive') keepAlive = true;
    else if (token === 'upgrade') upgrade = true;
    else if (names.push(token) > maxNames) return null;
  }
  return { close, keepAlive, upgrade, names: names.length > 0 ? names : null };
}

const endToEnd = new Set(
  `host content-length content-type content-encoding content-range transfer-encoding date expect range location
   cookie set-cookie authorization www-authenticate cache-control vary etag origin referer forwarded x-real-ip
   content-security-policy strict-transport-security access-control-allow-origin x-frame-options`.split(
    /\s+/,
  ),
);

function isEndToEnd(token: string): boolean {
  return endToEnd.has(token) || token.startsWith('x-forwarded-') || token.startsWith('sec-');
}

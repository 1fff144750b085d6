import { kinds } from './field-kinds.ts';
import { dropTable, keptFields } from './forward-request.ts';
import type { Framing } from './framing.ts';
import type { Head } from './head.ts';
import type { RequestHead } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';
import { confineCookie } from './set-cookie.ts';

const hopFields = [
  kinds.connection,
  kinds.contentLength,
  kinds.transferEncoding,
  kinds.hop,
  kinds.upgrade,
] as const;
const dropped = dropTable(hopFields);
const droppedWithCookies = dropTable([...hopFields, kinds.setCookie]);

/** How the body goes to the client: a body without a stated length is chunked where the client knows chunks. */
export function clientFraming(response: ResponseHead, request: RequestHead): Framing {
  if (response.framing !== 'chunked' && response.framing !== 'close') return response.framing;
  return request.minorVersion === 1 ? 'chunked' : 'close';
}

/** The head that the client gets. `keepAlive`: whether its connection goes on after the response. */
export function forwardResponse(
  response: ResponseHead,
  head: Head,
  request: RequestHead,
  framing: Framing,
  keepAlive: boolean,
): string {
  let out = `HTTP/1.1 ${response.status} ${response.reason}\r\n${responseFields(response, head, request.host)}`;
  if (framing === 'chunked') out += 'Transfer-Encoding: chunked\r\n';
  // RFC 9110, 8.6: never with 204; with HEAD and 304 it says what there would be.
  else if (response.lengthBytes >= 0 && response.status !== 204)
    out += `Content-Length: ${response.lengthBytes}\r\n`;
  if (!keepAlive) out += 'Connection: close\r\n';
  else if (request.minorVersion === 0) out += 'Connection: keep-alive\r\n';
  return `${out}\r\n`;
}

/** An interim response (1xx but 101) as the client gets it. */
export function forwardInterim(response: ResponseHead, head: Head, host: string): string {
  return `HTTP/1.1 ${response.status} ${response.reason}\r\n${responseFields(response, head, host)}\r\n`;
}

/** The 101 that turns the connection into a tunnel. */
export function forwardSwitch(response: ResponseHead, head: Head, request: RequestHead): string {
  return `HTTP/1.1 101 ${response.reason}\r\n${responseFields(response, head, request.host)}Connection: Upgrade\r\nUpgrade: ${request.upgrade}\r\n\r\n`;
}

function responseFields(response: ResponseHead, head: Head, host: string): string {
  const { names } = response.connection;
  if (!head.has(kinds.setCookie)) return keptFields(head, dropped, names);
  let out = keptFields(head, droppedWithCookies, names);
  for (let field = 0; field < head.count; field++) {
    if (head.kind(field) === kinds.setCookie)
      out += `Set-Cookie: ${confineCookie(head.value(field), host)}\r\n`;
  }
  return out;
}

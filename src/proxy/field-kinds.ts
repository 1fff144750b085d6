/** The header fields that the proxy itself reads, replaces or removes. */
export const kinds = {
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  /** Meant for the next hop only, and of no use to us. */
  hop: 5,
  upgrade: 6,
  expect: 7,
  forwarded: 8,
  forwardedFor: 9,
  forwardedProto: 10,
  forwardedHost: 11,
  /** Other names under which applications look for the client's address: X-Real-IP, X-Forwarded-*. */
  forwardedOther: 12,
  accept: 13,
  setCookie: 14,
  webSocketKey: 15,
  webSocketVersion: 16,
  webSocketAccept: 17,
} as const;

export const kindCount = 18;

const names: Readonly<Record<string, number>> = {
  host: kinds.host,
  connection: kinds.connection,
  'content-length': kinds.contentLength,
  'transfer-encoding': kinds.transferEncoding,
  'keep-alive': kinds.hop,
  // Not a hop's, nor anybody's: but CGI programs would take it for their proxy setting (httpoxy.org).
  proxy: kinds.hop,
  'proxy-connection': kinds.hop,
  'proxy-authenticate': kinds.hop,
  'proxy-authorization': kinds.hop,
  te: kinds.hop,
  trailer: kinds.hop,
  'http2-settings': kinds.hop,
  upgrade: kinds.upgrade,
  expect: kinds.expect,
  forwarded: kinds.forwarded,
  'x-forwarded-for': kinds.forwardedFor,
  'x-forwarded-proto': kinds.forwardedProto,
  'x-forwarded-host': kinds.forwardedHost,
  'x-real-ip': kinds.forwardedOther,
  accept: kinds.accept,
  'set-cookie': kinds.setCookie,
  'sec-websocket-key': kinds.webSocketKey,
  'sec-websocket-version': kinds.webSocketVersion,
  'sec-websocket-accept': kinds.webSocketAccept,
};

/** Names by length, as byte codes: most fields are told from all of ours by length and first letter. */
const byLength: { kind: number; codes: Uint8Array }[][] = [];
for (const [name, kind] of Object.entries(names)) {
  byLength[name.length] ??= [];
  byLength[name.length]!.push({ kind, codes: Uint8Array.from(Buffer.from(name, 'latin1')) });
}
for (let length = 0; length < byLength.length; length++) byLength[length] ??= [];

const forwardedPrefix = Uint8Array.from(Buffer.from('x-forwarded-', 'latin1'));

/**
 * The kind of the field whose name stands at [start, end), which holds token bytes only. In the names of the
 * forwarding fields `_` counts as `-`: CGI and WSGI make one variable of both, so that X_Forwarded_For would
 * pass for the field that we set. Everywhere else it is another name: Content_Length frames nothing.
 */
export function kindOfName(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  const candidates = length < byLength.length ? byLength[length]! : none;
  for (let c = 0; c < candidates.length; c++) {
    const candidate = candidates[c]!;
    if (sameName(bytes, start, candidate.codes, candidate.kind)) return candidate.kind;
  }
  if (length > forwardedPrefix.length && sameName(bytes, start, forwardedPrefix, kinds.forwardedOther)) {
    return kinds.forwardedOther;
  }
  return kinds.other;
}

const none: { kind: number; codes: Uint8Array }[] = [];

function sameName(bytes: Buffer, start: number, codes: Uint8Array, kind: number): boolean {
  for (let i = 0; i < codes.length; i++) {
    let byte = bytes[start + i]!;
    if (byte >= 65 && byte <= 90) byte += 32;
    else if (byte === 95 && kind >= kinds.forwarded && kind <= kinds.forwardedOther) byte = 45;
    if (byte !== codes[i]) return false;
  }
  return true;
}

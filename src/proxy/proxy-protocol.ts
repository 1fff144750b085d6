import { isIP } from 'node:net';

/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): the line or block with which a load
 * balancer says whom a connection really comes from.
 */

export interface ProxyHeader {
  /** Where the connection's own bytes begin. */
  readonly end: number;
  /** The client's address; null where the balancer speaks for itself or does not know. */
  readonly address: string | null;
}

/** The text form is at most 107 bytes; in the binary one more than some extra fields is a mistake. */
const maxLineBytes = 107;
const maxBlockBytes = 16 + 4096;

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** Reads the header at the start of a connection: null while it is not complete, 'invalid' where it is none. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | null | 'invalid' {
  if (bytes.length === 0) return null;
  return bytes[0] === signature[0] ? readBlock(bytes) : readLine(bytes);
}

function readLine(bytes: Buffer): ProxyHeader | null | 'invalid' {
  const start = 'PROXY ';
  const seen = bytes.toString('latin1', 0, Math.min(bytes.length, maxLineBytes));
  if (!seen.startsWith(start.slice(0, seen.length))) return 'invalid';
  const lineEnd = seen.indexOf('\r\n');
  if (lineEnd < 0) return seen.length < maxLineBytes ? null : 'invalid';
  const end = lineEnd + 2;
  const [family, source, target, sourcePort, targetPort, ...rest] = seen
    .slice(start.length, lineEnd)
    .split(' ');
  if (family === 'UNKNOWN') return { end, address: null };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
  const valid =
    version !== 0 &&
    isIP(source ?? '') === version &&
    isIP(target ?? '') === version &&
    isPort(sourcePort) &&
    isPort(targetPort) &&
    rest.length === 0;
  return valid ? { end, address: source! } : 'invalid';
}

function readBlock(bytes: Buffer): ProxyHeader | null | 'invalid' {
  const given = Math.min(bytes.length, signature.length);
  if (bytes.compare(signature, 0, given, 0, given) !== 0) return 'invalid';
  if (bytes.length < 16) return null;
  const end = 16 + bytes.readUInt16BE(14);
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2 || command > 1 || end > maxBlockBytes) return 'invalid';
  if (bytes.length < end) return null;
  if (command === 0) return { end, address: null };
  const family = bytes[13]! >> 4;
  if (family === 1 && end >= 16 + 12) return { end, address: [...bytes.subarray(16, 20)].join('.') };
  if (family === 2 && end >= 16 + 36) return { end, address: addressText(bytes.subarray(16, 32)) };
  return family === 0 || family === 3 ? { end, address: null } : 'invalid';
}

/** Eight groups with the longest run of zeros shortened, as URL parsers write it; so equal ones look equal. */
function addressText(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(group * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) < 65536;
}

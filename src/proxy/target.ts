import { type Refusal, refusals } from './refusal.ts';

/** A request target, read: what is sent on, and the host that an absolute one names. */
export interface Target {
  /** In origin-form, or `*`. */
  readonly text: string;
  /** The authority of an absolute-form target as written; null in the other forms. */
  readonly authority: string | null;
}

/**
 * Reads the target of any method but CONNECT (RFC 9112, 3.2). Bytes that a URI cannot hold but browsers send
 * (`|`, `{`, `"` and the like) pass; blanks, raw bytes above 126 and fragments do not.
 */
export function readTarget(text: string, method: string): Target | Refusal {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 32 || code >= 127 || code === 35 /* # */) return refusals.target;
  }
  if (text.charCodeAt(0) === 47 /* / */) return { text, authority: null };
  if (text === '*') return method === 'OPTIONS' ? { text, authority: null } : refusals.target;
  const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(text);
  if (absolute === null) return refusals.target;
  const authority = absolute[1]!;
  const rest = absolute[2]!;
  if (authority === '' || authority.includes('@')) return refusals.target;
  if (rest === '') return { text: method === 'OPTIONS' ? '*' : '/', authority };
  return { text: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

/** The one path under the reserved prefix that is served. */
export const statusPath = '/.docker-spawner/status';

/**
 * Whether a target lies under the reserved prefix `/.docker-spawner/`, or would for a server that decodes
 * percent signs once, takes `\` for `/`, drops `;parameters`, merges slashes, resolves dot segments or ignores
 * case. None of those spellings ever reaches a container; only the plain one is served.
 */
export function isReserved(target: string): boolean {
  if (!mayBeReserved(target)) return false;
  const query = target.indexOf('?');
  const path = decodeOnce(query < 0 ? target : target.slice(0, query)).toLowerCase();
  const segments: string[] = [];
  for (const segment of path.split(/[/\\]/)) {
    const name = segment.split(';', 1)[0]!;
    if (name === '..') segments.pop();
    else if (name !== '' && name !== '.') segments.push(name);
  }
  return segments[0] === '.docker-spawner';
}

/** A cheap first look: the first segment begins with a dot, or something in the path wants decoding. */
function mayBeReserved(target: string): boolean {
  let before = 0;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === 63 /* ? */) return false;
    if (code === 37 /* % */ || code === 92 /* \ */) return true;
    if (before === 47 && (code === 46 || code === 47 || code === 59)) return true;
    before = code;
  }
  return false;
}

function decodeOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

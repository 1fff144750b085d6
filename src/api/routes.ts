import type { Scope } from '../core/tokens.ts';

/** What is needed to make a call; null: nothing. */
export type Access = {
  /** null: any token will do. */
  readonly scope: Scope | null;
  /** Whether it tells of everybody, so that a token which is bound to users is not enough. */
  readonly ofAll?: boolean;
} | null;

export interface RouteEntry {
  readonly method: string;
  /** `/v1/containers/{id}`: a name in braces stands for one segment. */
  readonly path: string;
  readonly access: Access;
  /** How its errors are told: in one line as the original did, or as RFC 9457 says. */
  readonly errors: 'text' | 'problem';
}

export interface RouteTable {
  /** The route of a path, whatever the method; null: there is none. */
  find(path: string): Found | null;
}

export interface Found {
  readonly methods: ReadonlyMap<string, RouteEntry>;
  /** The methods, as the field Allow has them. */
  readonly allow: string;
}

/** The same path as the router writes it. */
export function routerPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

/**
 * Finds routes by the path as it was sent, to the letter: a router would also find `/%73pawn`, and what a front
 * refuses by path must stay refused.
 */
export function createRouteTable(entries: readonly RouteEntry[]): RouteTable {
  const byPath = new Map<string, Map<string, RouteEntry>>();
  for (const entry of entries) {
    const methods = byPath.get(entry.path) ?? new Map<string, RouteEntry>();
    byPath.set(entry.path, methods.set(entry.method, entry));
  }
  const patterns = [...byPath].map(([path, methods]) => ({
    segments: path.split('/'),
    methods,
    allow: [...methods.keys()].join(', '),
  }));
  return {
    find(path) {
      const sent = path.split('/');
      const fits = ({ segments }: { segments: readonly string[] }) =>
        segments.length === sent.length &&
        segments.every((segment, n) => (segment.startsWith('{') ? sent[n] !== '' : segment === sent[n]));
      return patterns.find(fits) ?? null;
    },
  };
}

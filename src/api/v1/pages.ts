import { SpawnerError } from '../../core/errors.ts';

/**
 * Where a page of a list ended: what its last item was ordered by, and its id. Opaque to callers, so that the
 * order can change.
 */
export interface Cursor {
  readonly atMs: number;
  readonly id: string;
}

export function encodeCursor({ atMs, id }: Cursor): string {
  return Buffer.from(JSON.stringify([atMs, id])).toString('base64url');
}

/** Throws SpawnerError `field_invalid` for what `encodeCursor` never gave. */
export function decodeCursor(text: string): Cursor {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(value) && Number.isSafeInteger(value[0]) && typeof value[1] === 'string') {
      return { atMs: value[0], id: value[1] };
    }
  } catch {
    // Not even JSON.
  }
  throw new SpawnerError('field_invalid', 'cursor is not one that a list has given; begin again without it');
}

/** The page after `cursor` of what is ordered newest first, and the cursor of the next one. */
export function pageOf<T extends { readonly id: string }>(
  items: readonly T[],
  atMs: (item: T) => number,
  { cursor, limit }: { readonly cursor: Cursor | null; readonly limit: number },
): { items: T[]; next: Cursor | null } {
  const rest = cursor === null ? items : items.filter((item) => isAfter(cursor, atMs(item), item.id));
  const chosen = [...rest].sort((a, b) => atMs(b) - atMs(a) || (a.id < b.id ? -1 : 1)).slice(0, limit);
  const last = chosen.at(-1);
  const next = last && chosen.length < rest.length ? { atMs: atMs(last), id: last.id } : null;
  return { items: chosen, next };
}

function isAfter(cursor: Cursor, atMs: number, id: string): boolean {
  return atMs < cursor.atMs || (atMs === cursor.atMs && id > cursor.id);
}

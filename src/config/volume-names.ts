import { isPlaceholder, namesIn, volumeText, volumeTextMaxLength } from '../core/placeholders.ts';
import type { Location, Report } from './problems.ts';

/**
 * Why this cannot name a volume, placeholders included; null where it can. Docker takes a letter or digit, then
 * letters, digits, `_`, `.` or `-`; on disk the name is that of a directory, of at most 255 bytes.
 */
export function volumeNameProblem(name: string): string | null {
  const fixed = name.replaceAll(/\{[a-z_]+\}/g, '');
  const longest = fixed.length + namesIn(name).length * volumeTextMaxLength;
  if (!/^([a-zA-Z0-9]|\{(id|domain)\})/.test(name)) {
    return 'the name of a volume must start with a letter or digit (or with `{id}`)';
  }
  if (!/^[a-zA-Z0-9_.-]*$/.test(fixed)) {
    return 'the name of a volume holds letters, digits, `_`, `.`, `-` and placeholders only';
  }
  if (name.length < 2) return 'the name of a volume needs at least two characters';
  return longest > 255 ? 'the name of the volume could get longer than 255 bytes; shorten it' : null;
}

/** The name of a volume as an entry writes it, and where. */
export interface VolumeName {
  readonly name: string;
  readonly imageKey: string;
  readonly key: string;
  readonly at: Location;
}

/**
 * Reports names that could meet. A caller chooses user ids, so with `home-{user_id}` and `home-x-{user_id}` the
 * user `x-bob` of one entry would get the volume of `bob` of the other. The very same name in two entries is
 * one volume on purpose.
 */
export function refuseNamesThatMeet(names: readonly VolumeName[], domain: string, report: Report): void {
  const distinct = new Map<string, { readonly parts: readonly Part[]; readonly from: VolumeName }>();
  for (const from of names) {
    const parts = partsOf(from.name, { image: volumeText(from.imageKey), domain: volumeText(domain) });
    const pattern = parts.map((part) => (typeof part === 'string' ? part : `{${part.filledWith}}`)).join('');
    if (!distinct.has(pattern)) distinct.set(pattern, { parts, from });
  }
  const list = [...distinct.values()];
  for (const [i, one] of list.entries()) {
    for (const other of list.slice(0, i)) {
      const byUser = [one, other].some(({ from }) => namesIn(from.name).includes('user_id'));
      if (!byUser || !canMeet(one.parts, other.parts)) continue;
      report(
        one.from.at,
        one.from.key,
        `a user id can be chosen so that the volume \`${one.from.name}\` is also \`${other.from.name}\` ` +
          `of ${other.from.key}; let them start differently, for example with a \`.\` before the placeholder`,
      );
      break;
    }
  }
}

/** One character of a name, or a place where a value of unknown length is filled in. */
type Part = string | { readonly filledWith: string };

function partsOf(name: string, fixed: Readonly<Record<string, string>>): Part[] {
  return name.split(/(\{[a-z_]+\})/).flatMap((piece): Part[] => {
    const placeholder = /^\{([a-z_]+)\}$/.exec(piece)?.[1];
    if (placeholder === undefined || !isPlaceholder(placeholder)) return [...piece];
    return Object.hasOwn(fixed, placeholder) ? [...fixed[placeholder]!] : [{ filledWith: placeholder }];
  });
}

/** Whether some values make both the same. Values are made of the characters that the escaping leaves. */
function canMeet(a: readonly Part[], b: readonly Part[]): boolean {
  const seen = new Set<number>();
  const meet = (i: number, j: number): boolean => {
    const state = i * (b.length + 1) + j;
    if (seen.has(state)) return false;
    seen.add(state);
    const [x, y] = [a[i], b[j]];
    if (x === undefined && y === undefined) return true;
    // A value is the empty text, or takes one more character of the other name.
    if (typeof x === 'object') return meet(i + 1, j) || (canFill(y) && meet(i, j + 1));
    if (typeof y === 'object') return meet(i, j + 1) || (canFill(x) && meet(i + 1, j));
    return x !== undefined && x === y && meet(i + 1, j + 1);
  };
  return meet(0, 0);
}

function canFill(part: Part | undefined): boolean {
  return typeof part === 'object' || (part !== undefined && /^[a-z0-9_-]$/.test(part));
}

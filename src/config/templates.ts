import { isPlaceholder, namesIn, placeholders } from '../core/placeholders.ts';
import { didYouMean } from './problems.ts';
import type { Node } from './source.ts';
import { type Reading, refuse, type Type } from './types.ts';

/**
 * A text with placeholders. `{user_id}` is only allowed where it is data: in a path, a user name or a mount it
 * would let the caller choose where the container is mounted or who it runs as.
 */
export function template(
  expected: string,
  options: { readonly userId: boolean; readonly test?: RegExp; readonly quiet?: boolean },
): Type<string> {
  return {
    expected,
    read(node, key, reading) {
      const text = node.kind === 'scalar' && node.value !== null ? node.text : undefined;
      if (text === undefined || text.includes('\0') || options.test?.test(text) === false) {
        if (!options.quiet || node.kind !== 'scalar') return refuse(node, key, expected, reading);
        reading.report(node.at, key, `expected ${expected}`, expected);
        return undefined;
      }
      return checkPlaceholders(text, node, key, options.userId, reading) ? text : undefined;
    },
  };
}

/** A text that is taken as it is: a placeholder in it is refused, with a word on what to do. */
export function plainText(expected: string, whatToDo: string): Type<string> {
  return {
    expected,
    read(node, key, reading) {
      const text = node.kind === 'scalar' && node.value !== null ? node.text : undefined;
      if (text === undefined || text.includes('\0')) return refuse(node, key, expected, reading);
      return refusePlaceholders(text, node, key, reading, whatToDo) ? text : undefined;
    },
  };
}

/** Reports every placeholder of the text that is unknown, or that has no meaning here. */
export function checkPlaceholders(
  text: string,
  node: Node,
  key: string,
  userIdAllowed: boolean,
  reading: Reading,
): boolean {
  let sound = true;
  for (const name of new Set(namesIn(text))) {
    const problem = placeholderProblem(name, userIdAllowed, reading);
    if (problem === null) continue;
    sound = false;
    reading.report(node.at, key, problem, known);
  }
  return sound;
}

/** Reports any placeholder: for texts in which none is filled. */
export function refusePlaceholders(
  text: string,
  node: Node,
  key: string,
  reading: Reading,
  whatToDo = 'remove it',
): boolean {
  const name = namesIn(text).find(isPlaceholder);
  if (name === undefined) return true;
  reading.report(node.at, key, `no placeholder is filled here, and \`{${name}}\` is one; ${whatToDo}`);
  return false;
}

const known = `one of ${Object.keys(placeholders)
  .map((name) => `{${name}}`)
  .join(' ')}`;

function placeholderProblem(name: string, userIdAllowed: boolean, reading: Reading): string | null {
  if (!isPlaceholder(name)) {
    const hint = didYouMean(name, Object.keys(placeholders));
    return `there is no placeholder \`{${name}}\`${hint || ';'} to mean the braces themselves write \`{{${name}}}\``;
  }
  if (name !== 'user_id') return null;
  if (!reading.withUsers) return '`{user_id}` has no meaning while `with_users` is false';
  return userIdAllowed ? null : '`{user_id}` is not filled in here, since callers choose it; use `{id}`';
}

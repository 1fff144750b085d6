import { createHash } from 'node:crypto';
import type { Container, Labels } from './container.ts';
import { SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';

/** What whoever asks for a container decides about it, where its entry allows that. */
export interface Wishes {
  /** Variables beside those of the entry. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Its life from its creation on, up to the entry's `max_lifetime`. */
  readonly lifetimeMs?: number;
  readonly labels?: Labels;
}

/** Throws SpawnerError `not_allowed` where the entry leaves something to nobody. */
export function checkWishes(entry: ImageEntry, wishes: Wishes): void {
  const { environment, lifetimeMs, labels } = wishes;
  const asked = { environment, lifetime: lifetimeMs, labels };
  for (const [word, value] of Object.entries(asked)) {
    if (value === undefined || entry.allow.some((allowed) => allowed === word)) continue;
    throw notLeftToCallers(word);
  }
  const mostMs = entry.lifecycle.maxLifetimeMs;
  if (lifetimeMs !== undefined && lifetimeMs > mostMs) {
    throw notAllowed(`lifetime is at most ${mostMs / 1000} s here; raise max_lifetime to allow more`);
  }
  const fixed = Object.keys(environment ?? {}).find((name) => Object.hasOwn(entry.spec.environment, name));
  // What the operator has set may be what keeps the container safe.
  if (fixed !== undefined) throw notAllowed(`the image entry sets the variable ${fixed} itself`);
}

/** The most labels that a container has. */
export const maxLabels = 64;

/**
 * The container's labels after the changes, of which null takes one away. Throws SpawnerError `not_allowed` where
 * its entry, or none that there is any more, leaves labels to callers, and `field_invalid` for too many.
 */
export function mergedLabels(
  container: Container,
  entry: ImageEntry | undefined,
  changes: Readonly<Record<string, string | null>>,
): Labels {
  if (!entry?.allow.includes('labels')) throw notLeftToCallers('labels');
  const merged = Object.entries({ ...container.labels, ...changes });
  const labels = merged.filter((entry): entry is [string, string] => entry[1] !== null);
  if (labels.length > maxLabels) {
    throw new SpawnerError('field_invalid', `a container has at most ${maxLabels} labels`);
  }
  return Object.fromEntries(labels);
}

/** Tells one request from another with the same key. The same for no wishes as before there were any. */
export function fingerprintOf(imageKey: string, user: string | null, wishes: Wishes): string {
  const { environment, lifetimeMs, labels } = wishes;
  if (environment === undefined && lifetimeMs === undefined && labels === undefined) {
    return JSON.stringify([imageKey, user]);
  }
  const all = JSON.stringify([imageKey, user, lifetimeMs, sorted(environment), sorted(labels)]);
  return createHash('sha256').update(all).digest('hex');
}

function sorted(map: Readonly<Record<string, string>> | undefined): [string, string][] | null {
  return map === undefined ? null : Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
}

function notLeftToCallers(word: string): SpawnerError {
  return notAllowed(`this image entry does not leave ${word} to callers; its word "allow" could`);
}

function notAllowed(message: string): SpawnerError {
  return new SpawnerError('not_allowed', message);
}

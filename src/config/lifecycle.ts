import type { ContainerSpec, LifecycleSpec, WarmSpec } from '../core/image-entry.ts';
import { placeholdersOf } from '../core/placeholders.ts';
import type { EntryValues, EntryWord } from './entry-words.ts';
import type { Settings } from './settings.ts';
import { durationText } from './types.ts';

/** The settings that an entry's own words override. */
export type LifecycleSettings = Pick<
  Settings,
  | 'docker_timeout'
  | 'max_lifetime'
  | 'warn_before'
  | 'idle_timeout'
  | 'on_idle'
  | 'idle_ignores_websockets'
  | 'warm_max_age'
>;

/** The longest life of a container of the entry, without extensions. */
export function lifetimeOf(values: EntryValues, settings: LifecycleSettings): number {
  return values.docker_timeout ?? settings.docker_timeout;
}

export function lifecycleOf(values: EntryValues, settings: LifecycleSettings): LifecycleSpec {
  const lifetimeMs = lifetimeOf(values, settings);
  const idleMs = values.idle_timeout ?? settings.idle_timeout;
  const warnBeforeMs = values.warn_before ?? settings.warn_before;
  return {
    idleMs: idleMs === 0 ? null : idleMs,
    onIdle: values.on_idle ?? settings.on_idle,
    idleIgnoresTunnels: values.idle_ignores_websockets ?? settings.idle_ignores_websockets,
    // A warning at birth would tell nobody anything.
    warnBeforeMs: warnBeforeMs < lifetimeMs ? warnBeforeMs : Math.floor(lifetimeMs / 2),
    maxLifetimeMs: values.max_lifetime ?? settings.max_lifetime ?? lifetimeMs,
  };
}

export function warmOf(values: EntryValues, settings: LifecycleSettings): WarmSpec {
  return {
    count: values.warm,
    maxAgeMs: values.warm_max_age ?? settings.warm_max_age,
    onClaim: values.on_claim,
  };
}

/** What does not go together in an entry, and the word to show it at. */
export interface LifecycleProblem {
  readonly word: EntryWord;
  readonly message: string;
}

/** `wrong`: settings that hold a default in place of something that could not be read. */
export function lifecycleProblems(
  values: EntryValues,
  spec: ContainerSpec,
  settings: LifecycleSettings,
  wrong: ReadonlySet<string>,
): LifecycleProblem[] {
  return [
    lifeTooLong(values, settings, wrong),
    warmAboveMax(values),
    warmWithUser(values, spec),
    claimOfNone(values),
  ].filter((problem) => problem !== null);
}

/** Why `max_lifetime` cannot hold; null where it can. */
export function maxLifetimeProblem(maxLifetimeMs: number, lifetimeMs: number): string | null {
  if (maxLifetimeMs >= lifetimeMs) return null;
  const [most, life] = [durationText(maxLifetimeMs), durationText(lifetimeMs)];
  return `\`max_lifetime\` (${most}) is shorter than \`docker_timeout\` (${life}), which it extends; raise it, or lower \`docker_timeout\``;
}

function lifeTooLong(
  values: EntryValues,
  settings: LifecycleSettings,
  wrong: ReadonlySet<string>,
): LifecycleProblem | null {
  // Where both are settings, that was said of them.
  if (values.max_lifetime === null && values.docker_timeout === null) return null;
  if (values.docker_timeout === null && wrong.has('docker_timeout')) return null;
  const maxLifetimeMs = values.max_lifetime ?? settings.max_lifetime;
  const message =
    maxLifetimeMs === null ? null : maxLifetimeProblem(maxLifetimeMs, lifetimeOf(values, settings));
  const word = values.max_lifetime === null ? 'docker_timeout' : 'max_lifetime';
  return message === null ? null : { word, message };
}

function warmAboveMax({ warm, max }: EntryValues): LifecycleProblem | null {
  if (max === null || warm <= max) return null;
  return {
    word: 'warm',
    message: `${warm} warm containers are more than \`max\` allows, ${max}; lower \`warm\``,
  };
}

/** What is not known before somebody asks cannot be in a container that is there before. */
function warmWithUser({ warm }: EntryValues, spec: ContainerSpec): LifecycleProblem | null {
  if (warm === 0) return null;
  const used = placeholdersOf(spec);
  const unknown = (['user_id', 'created_at', 'expires_at'] as const).filter((name) => used.has(name));
  if (unknown.length === 0) return null;
  const names = unknown.map((name) => `\`{${name}}\``).join(' and ');
  const message =
    `this entry uses ${names}, which nobody knows when a warm container is made; ` +
    'deliver that by `on_claim` instead, or remove `warm`';
  return { word: 'warm', message };
}

function claimOfNone({ warm, on_claim }: EntryValues): LifecycleProblem | null {
  if (on_claim === null || warm > 0) return null;
  return { word: 'on_claim', message: 'only warm containers are claimed; set `warm`, or remove `on_claim`' };
}

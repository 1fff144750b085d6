import { createHash } from 'node:crypto';
import type { Birth } from './container.ts';
import type { ContainerSpec } from './image-entry.ts';
import { escapeName } from './names.ts';

/** What an image entry's texts may hold in braces, each declared once; the reference page is made from here. */
export const placeholders = {
  id: 'the id of the container: the first label of its host name',
  user_id: 'the user of the container; only where `with_users` is on',
  domain: 'the setting `domain`',
  url: 'the address of the container as a browser reaches it, without a slash at the end',
  image: 'the key of the image entry',
  created_at: 'when the container was asked for (RFC 3339, UTC)',
  expires_at: 'its deadline at birth (RFC 3339, UTC)',
} as const;

export type PlaceholderName = keyof typeof placeholders;

/** `user_id` is null where a container has no user; filling a text that asks for it then fails. */
export type PlaceholderValues = Readonly<Record<Exclude<PlaceholderName, 'user_id'>, string>> & {
  readonly user_id: string | null;
};

/** The values for one container. `url` is what a browser calls, without a slash at the end. */
export function placeholderValues(
  birth: Pick<Birth, 'id' | 'user' | 'imageKey' | 'createdAtMs' | 'expiresAtMs'>,
  where: { readonly domain: string; readonly url: string },
): PlaceholderValues {
  return {
    id: birth.id,
    user_id: birth.user,
    domain: where.domain,
    url: where.url,
    image: birth.imageKey,
    created_at: new Date(birth.createdAtMs).toISOString(),
    expires_at: new Date(birth.expiresAtMs).toISOString(),
  };
}

/**
 * Fills the placeholders of an entry for one container. What is filled in is data: it is not looked at again,
 * and in the names of volumes it is escaped. Fails where a text asks for the user of a container without one.
 */
export function fill(spec: ContainerSpec, values: PlaceholderValues): ContainerSpec {
  return mapTexts(spec, {
    text: (template) => fillText(template, values),
    volumeName: (template) => fillText(template, values, volumeText),
  });
}

/** The placeholders that `fill` would fill in this specification. */
export function placeholdersOf(spec: ContainerSpec): ReadonlySet<PlaceholderName> {
  const found = new Set<PlaceholderName>();
  const note = (template: string) => {
    for (const name of namesIn(template)) if (isPlaceholder(name)) found.add(name);
    return template;
  };
  mapTexts(spec, { text: note, volumeName: note });
  return found;
}

/**
 * Fills one text, in one pass. A placeholder is a name in lower-case letters and `_` between braces; `{{name}}`
 * stands for a literal `{name}`, `${name}` stays as it is, since that is a shell's variable, and so does every
 * other brace, so that JSON and scripts need no escaping.
 */
export function fillText(
  template: string,
  values: PlaceholderValues,
  toText: (value: string) => string = (value) => value,
): string {
  return template.replace(pattern, (whole: string, literal?: string, variable?: string, name?: string) => {
    if (literal !== undefined) return `{${literal}}`;
    if (variable !== undefined || name === undefined || !isPlaceholder(name)) return whole;
    const value = values[name];
    if (value === null) throw new Error(`{${name}} cannot be filled: the container has no user`);
    return toText(value);
  });
}

/** The names between braces that would be filled, known or not, in the order of the text. */
export function namesIn(template: string): string[] {
  return [...template.matchAll(pattern)].flatMap((match) => (match[3] === undefined ? [] : [match[3]]));
}

export function isPlaceholder(name: string): name is PlaceholderName {
  return Object.hasOwn(placeholders, name);
}

/** A filled value is never longer than this in the name of a volume. */
export const volumeTextMaxLength = 120;

/**
 * A value as a part of a volume's name: escaped, and hashed where it is too long for a file name, which is what
 * a volume is on disk. The escaping never makes two `_` in a row, so a hashed value cannot equal another's
 * escaped one.
 */
export function volumeText(value: string): string {
  const escaped = escapeName(value);
  if (escaped.length <= volumeTextMaxLength) return escaped;
  return `__${createHash('sha256').update(value, 'utf8').digest('hex')}`;
}

/** Every text of a specification that may hold placeholders, each put through what is given. */
function mapTexts(
  spec: ContainerSpec,
  { text, volumeName }: Readonly<Record<'text' | 'volumeName', (template: string) => string>>,
): ContainerSpec {
  const texts = (list: readonly string[]) => list.map(text);
  const record = (map: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(map).map(([name, template]) => [name, text(template)]));
  return {
    ...spec,
    command: spec.command && texts(spec.command),
    entrypoint: spec.entrypoint && texts(spec.entrypoint),
    environment: record(spec.environment),
    labels: record(spec.labels),
    workingDir: spec.workingDir === null ? null : text(spec.workingDir),
    user: spec.user === null ? null : text(spec.user),
    tmpfs: spec.tmpfs.map((mount) => ({ ...mount, target: text(mount.target) })),
    extraHosts: texts(spec.extraHosts),
    volumes: spec.volumes.map((volume) =>
      volume.type === 'volume' ? { ...volume, source: volumeName(volume.source) } : volume,
    ),
  };
}

const pattern = /\{\{([a-z_]+)\}\}|(\$\{[a-z_]+\})|\{([a-z_]+)\}/g;

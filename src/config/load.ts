import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ImageEntry } from '../core/image-entry.ts';
import { checkTogether } from './checks.ts';
import { type EntryContext, noEntries, readImages } from './images.ts';
import { engineSockets } from './mounts.ts';
import { didYouMean, type Location, Problems, type Report } from './problems.ts';
import type { Setting } from './setting.ts';
import { settings as declarations, type SettingName, type Settings } from './settings.ts';
import { describe, type Node, readJson, readYaml, untypedText } from './source.ts';
import type { Reading } from './types.ts';

export interface Configuration {
  readonly settings: Settings;
  readonly images: Map<string, ImageEntry>;
  /** The absolute path of the file that was read; null where there is none. */
  readonly source: string | null;
}

/** The file that is read where none is named. */
export const defaultFile = 'docker-spawner.yaml';

/**
 * Reads the configuration: the file (`file`, else `docker-spawner.yaml` in `cwd` where there is one), over it
 * the environment. Fails with ConfigurationError, which holds every problem found.
 */
export function loadConfiguration(from: {
  readonly file: string | null;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Configuration {
  const problems = new Problems();
  const file = readFile(from.file, from.cwd, problems.report);
  // What follows would only be about what could not be read.
  if (!file?.content) problems.throwAny();
  const written = new Map([
    ...writtenInFile(file, problems.report),
    ...writtenInEnvironment(from.env, problems.report),
  ]);
  const read = readSettings(written, {
    report: problems.report,
    withUsers: true,
    engineSockets: engineSockets(from.env.DOCKER_HOST),
    cwd: from.cwd,
  });
  const settings: Settings = { ...read.settings, data_dir: resolve(from.cwd, read.settings.data_dir) };
  const locate = (name: SettingName) => written.get(name) ?? { key: name, at: nowhere(file) };
  checkTogether(settings, read.wrong, locate, problems.report);
  const context = { settings, wrong: read.wrong };
  const images = imagesOf(written.get('container_images'), file, context, read.reading);
  problems.throwAny();
  return { settings, images, source: file?.path ?? null };
}

interface File {
  readonly path: string;
  /** As the person named it. */
  readonly name: string;
  readonly content: Node | null;
}

/** A setting as it was written, whichever place won. */
interface Written {
  readonly key: string;
  readonly at: Location;
  readonly node: Node;
}

function readFile(named: string | null, cwd: string, report: Report): File | null {
  const name = named ?? defaultFile;
  const path = resolve(cwd, name);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
    return { path, name, content: readYaml(text, name, report) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' && named === null) return null;
    const reasons = new Map<unknown, string>([
      ['ENOENT', 'there is no such file'],
      ['EACCES', 'this user may not read the file'],
      ['EISDIR', 'this is a directory; name a file'],
      ['ERR_ENCODING_INVALID_ENCODED_DATA', 'the file is not UTF-8'],
    ]);
    report({ file: name, line: null }, '', reasons.get(code) ?? `the file cannot be read (${String(code)})`);
    return null;
  }
}

function writtenInFile(file: File | null, report: Report): Map<SettingName, Written> {
  const result = new Map<SettingName, Written>();
  const content = file?.content ?? null;
  if (content === null) return result;
  if (content.kind !== 'map') {
    report(content.at, '', `expected lines such as \`domain: example.com\`, got ${describe(content)}`);
    return result;
  }
  for (const [key, entry] of content.entries) {
    // As in Compose: a place for what anchors share.
    if (key.startsWith('x-')) continue;
    if (!isSetting(key)) {
      report(entry.at, key, `there is no such setting${didYouMean(key, Object.keys(declarations))}`);
    } else if (entry.value.kind !== 'scalar' || entry.value.value !== null) {
      result.set(key, { key, at: entry.value.at, node: entry.value });
    }
  }
  return result;
}

function writtenInEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  report: Report,
): Map<SettingName, Written> {
  const result = new Map<SettingName, Written>();
  for (const name of Object.keys(declarations) as SettingName[]) {
    const key = name.toUpperCase();
    const text = env[key];
    if (text === undefined || text === '') continue;
    const node = environmentNode(text, key, declarations[name].type.inEnvironment, report);
    if (node) result.set(name, { key, at: node.at, node });
  }
  return result;
}

function environmentNode(
  text: string,
  key: string,
  form: 'json' | 'list' | undefined,
  report: Report,
): Node | null {
  if (form === undefined) return untypedText(text);
  if (form === 'json' || /^\s*\[/.test(text)) return readJson(text, key, report);
  const parts = text.split(',').map((part) => part.trim());
  const items = parts.filter((part) => part !== '').map(untypedText);
  return { kind: 'list', at: { file: 'environment', line: null }, items };
}

function readSettings(
  written: ReadonlyMap<SettingName, Written>,
  reading: Reading,
): { settings: Settings; wrong: ReadonlySet<string>; reading: Reading } {
  const wrong = new Set<string>();
  const values = new Map<string, unknown>();
  for (const [name, declaration] of Object.entries(declarations) as [SettingName, Setting<unknown>][]) {
    if (name === 'container_images') continue;
    const found = written.get(name);
    const value = found ? declaration.type.read(found.node, found.key, reading) : declaration.value;
    if (value === undefined) wrong.add(name);
    // The default in the place of a wrong one lets the others be looked at.
    if (name !== 'proxy_config') values.set(name, value === undefined ? declaration.value : value);
  }
  const settings: Settings = Object.fromEntries(values) as Settings;
  return { settings, wrong, reading: { ...reading, withUsers: settings.with_users } };
}

function imagesOf(
  written: Written | undefined,
  file: File | null,
  context: EntryContext,
  reading: Reading,
): Map<string, ImageEntry> {
  if (written) return readImages(written.node, written.key, context, reading);
  reading.report(nowhere(file), 'container_images', noEntries, 'at least one image entry');
  return new Map();
}

/** Where to show a problem of something that nobody wrote. */
function nowhere(file: File | null): Location {
  return file ? { file: file.name, line: null } : { file: 'environment', line: null };
}

function isSetting(key: string): key is SettingName {
  return Object.hasOwn(declarations, key);
}

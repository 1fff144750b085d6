import { createHash } from 'node:crypto';
import type { ContainerSpec, ImageEntry } from '../core/image-entry.ts';
import { placeholdersOf } from '../core/placeholders.ts';
import { type EntryValues, type EntryWord, entryWords } from './entry-words.ts';
import { type LifecycleSettings, lifecycleOf, lifecycleProblems, lifetimeOf, warmOf } from './lifecycle.ts';
import { didYouMean, type Location } from './problems.ts';
import { refusalOf } from './refused-words.ts';
import { capabilitiesOf, securityOptionsOf } from './security.ts';
import { publicUrlOf, type Settings } from './settings.ts';
import { childKey, describe, type MapNode, type Node } from './source.ts';
import type { Reading } from './types.ts';
import { refuseNamesThatMeet, type VolumeName } from './volume-names.ts';

/** What image entries depend on beside themselves. */
export interface EntryContext {
  readonly settings: EntrySettings;
  /** Settings that hold their default in place of something that could not be read. */
  readonly wrong: ReadonlySet<string>;
}

type EntrySettings = LifecycleSettings &
  Pick<Settings, 'domain' | 'public_url' | 'proxy_listen' | 'tls_listen' | 'max_containers'>;

/**
 * Reads `container_images`. Entries with problems are left out; the problems were reported.
 */
export function readImages(
  node: Node,
  key: string,
  context: EntryContext,
  reading: Reading,
): Map<string, ImageEntry> {
  const { settings } = context;
  const volumeNames: VolumeName[] = [];
  const images = new Map<string, ImageEntry>();
  const expected = entryWords.image.type.expected;
  if (node.kind !== 'map') {
    const message = `expected a map: key -> the name of an image, or an image entry, got ${describe(node)}`;
    reading.report(node.at, key, message, 'a map');
    return images;
  }
  if (node.entries.size === 0) reading.report(node.at, key, noEntries, 'at least one image entry');
  for (const [name, { at, value }] of node.entries) {
    const where = childKey(key, name);
    if (!isImageKey(name)) {
      reading.report(at, where, 'expected a key of 1 to 128 characters without control characters');
      continue;
    }
    const entry = value.kind === 'map' ? value : shortForm(value);
    if (entry) {
      const values = readWords(entry, at, where, reading);
      if (!values || !goesTogether(entry, values, at, where, context, reading)) continue;
      images.set(name, toEntry(name, values, settings));
      for (const volume of values.volumes) {
        const isNamed = volume.type === 'volume' && volume.source !== '';
        if (isNamed) volumeNames.push({ name: volume.source, imageKey: name, key: where, at });
      }
    } else reading.report(value.at, where, `expected ${expected}, or an image entry, got ${describe(value)}`);
  }
  refuseNamesThatMeet(volumeNames, settings.domain, reading.report);
  if (!context.wrong.has('max_containers'))
    refuseOnlyWarm(node, key, images, settings.max_containers, reading);
  return images;
}

export const noEntries =
  'there is nothing to run; add an image entry, for example `container_images: {web: "nginx:alpine"}`';

function isImageKey(name: string): boolean {
  // Half a surrogate pair has no UTF-8 form: labels and the ledger could not give it back.
  return (
    name !== '' &&
    [...name].length <= 128 &&
    !/[\u0000-\u001f\u007f-\u009f]/.test(name) &&
    name.isWellFormed()
  );
}

/** A plain text is short for `{image: TEXT}`. */
function shortForm(node: Node): MapNode | null {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return null;
  return { kind: 'map', at: node.at, entries: new Map([['image', { at: node.at, value: node }]]) };
}

function readWords(node: MapNode, at: Location, key: string, reading: Reading): EntryValues | null {
  const values = new Map<string, unknown>();
  let sound = true;
  for (const [name, entry] of node.entries) {
    const where = childKey(key, name);
    // As in Compose: a place for what anchors share.
    if (name.startsWith('x-')) continue;
    if (!Object.hasOwn(entryWords, name)) {
      const unknown = `there is no word \`${name}\` for an image entry${didYouMean(name, Object.keys(entryWords))}`;
      reading.report(entry.at, where, refusalOf(name) ?? unknown);
      sound = false;
    } else if (entry.value.kind !== 'scalar' || entry.value.value !== null) {
      const value = entryWords[name as EntryWord].type.read(entry.value, where, reading);
      if (value === undefined) sound = false;
      else values.set(name, value);
    }
  }
  const image = node.entries.get('image')?.value;
  if (!image || (image.kind === 'scalar' && image.value === null)) {
    reading.report(at, key, 'there is no `image`; name the image to run', entryWords.image.type.expected);
    sound = false;
  }
  if (!sound) return null;
  const all = Object.entries(entryWords).map(([name, word]) => [name, values.get(name) ?? word.value]);
  return Object.fromEntries(all);
}

/** Whether the words of an entry, each sound, are so together; what is not was reported. */
function goesTogether(
  node: MapNode,
  values: EntryValues,
  at: Location,
  key: string,
  { settings, wrong }: EntryContext,
  reading: Reading,
): boolean {
  const problems = [mountedTwice(values), scriptWithUser(values)].filter((problem) => problem !== null);
  for (const problem of problems) reading.report(at, key, problem);
  const ofLife = lifecycleProblems(values, toSpec(values), settings, wrong);
  for (const { word, message } of ofLife) {
    reading.report(node.entries.get(word)?.value.at ?? at, childKey(key, word), message);
  }
  return problems.length === 0 && ofLife.length === 0;
}

/** Warm containers take places too: where they took all, they would give way to users again and again. */
function refuseOnlyWarm(
  node: MapNode,
  key: string,
  images: ReadonlyMap<string, ImageEntry>,
  maxContainers: number,
  reading: Reading,
): void {
  let warm = 0;
  for (const [name, entry] of images) {
    warm += entry.warm.count;
    if (warm < maxContainers) continue;
    const message =
      `${warm} warm containers leave no place for users: there are ${maxContainers}, from \`max_containers\`; ` +
      'lower `warm`, or raise `max_containers`';
    reading.report(node.entries.get(name)!.at, childKey(childKey(key, name), 'warm'), message);
    return;
  }
}

/** The engine refuses two mounts in one place, but only when the container is made. */
function mountedTwice(values: EntryValues): string | null {
  const targets = [...values.volumes, ...values.tmpfs].map((mount) => mount.target);
  const twice = targets.find((target, i) => targets.indexOf(target) !== i);
  return twice === undefined ? null : `two mounts have the target ${twice}; remove one`;
}

/**
 * A caller's text inside a script would be run, not read: `sh -c "serve {user_id}"`. As a word of its own, or
 * in the environment, it is data.
 */
function scriptWithUser(values: EntryValues): string | null {
  const words = [...(values.entrypoint ?? []), ...(values.command ?? [])];
  const shell = words.findIndex((word) => /^(.*\/)?(ba|da|a|z|k|c)?sh$/.test(word));
  const flag = words.findIndex((word, i) => i > shell && /^-[a-z]*c$/.test(word));
  if (shell < 0 || flag < 0 || !words[flag + 1]?.includes('{user_id}')) return null;
  return '`{user_id}` stands in a script that a shell would run; give it as a variable in `environment` instead';
}

function toEntry(key: string, values: EntryValues, settings: EntrySettings): ImageEntry {
  const atBirth = {
    spec: toSpec(values),
    ports: [{ name: 'web', port: values.port, protocol: 'http' as const }],
    ready: values.ready,
    lifetimeMs: lifetimeOf(values, settings),
    lifecycle: lifecycleOf(values, settings),
  };
  // What the hash covers is fixed at a container's birth, and a warm one is replaced where it has changed. What
  // comes later (how many are warm, how old they get, what is run at the claim) replaces none.
  const covered = { ...atBirth, filled: filledFrom(atBirth.spec, settings) };
  const configHash = createHash('sha256').update(canonicalJson(covered), 'utf8').digest('hex');
  return {
    key,
    configHash,
    ...atBirth,
    max: values.max,
    warm: warmOf(values, settings),
    allow: values.allow,
  };
}

/** The settings that are filled into the containers of this entry, so that they are part of what it says. */
function filledFrom(spec: ContainerSpec, settings: EntrySettings): Readonly<Record<string, string>> {
  const used = placeholdersOf(spec);
  return {
    ...(used.has('domain') && { domain: settings.domain }),
    ...(used.has('url') && { url: publicUrlOf(settings) }),
  };
}

function toSpec(values: EntryValues): ContainerSpec {
  return {
    image: values.image ?? '',
    command: values.command,
    entrypoint: values.entrypoint,
    environment: values.environment,
    volumes: values.volumes,
    tmpfs: values.tmpfs,
    workingDir: values.working_dir,
    user: values.user,
    labels: values.labels,
    memLimitBytes: values.mem_limit,
    cpus: values.cpus,
    pidsLimit: values.pids_limit,
    shmSizeBytes: values.shm_size,
    ulimits: values.ulimits,
    readOnly: values.read_only,
    capabilities: capabilitiesOf(values.cap_drop, values.cap_add),
    securityOpt: securityOptionsOf(values.security_opt),
    runtime: values.runtime,
    init: values.init,
    devices: values.devices,
    dns: values.dns,
    extraHosts: values.extra_hosts,
    stopSignal: values.stop_signal,
    stopGracePeriodMs: values.stop_grace_period,
    pullPolicy: values.pull_policy,
    platform: values.platform,
    networkMode: values.network_mode,
    logMaxSizeBytes: values.logging.maxSizeBytes,
    logMaxFiles: values.logging.maxFiles,
  };
}

/** JSON in which the order of keys does not depend on the order of writing. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`).join(',')}}`;
}

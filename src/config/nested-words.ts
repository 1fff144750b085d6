import type { OnClaimSpec, ReadySpec } from '../core/image-entry.ts';
import { textMap, words } from './compose-types.ts';
import { didYouMean } from './problems.ts';
import { childKey, describe, type MapNode, type Node } from './source.ts';
import { plainText } from './templates.ts';
import { duration, type Reading, refuse, scalarType, size, type Type, text } from './types.ts';

/** The words of an image entry that are maps of further words: `ready`, `logging` and `on_claim`. */

/** `ready: {path, status, timeout}`; what is left out is as in `defaults`. */
export function readiness(defaults: ReadySpec): Type<ReadySpec> {
  const expected = 'a map such as {path: /health, status: 200-399, timeout: 60s}';
  return {
    expected,
    read(node, key, reading) {
      if (node.kind !== 'map') return refuse(node, key, expected, reading);
      const known = refuseOthers(node, key, ['path', 'status', 'timeout'], reading);
      const path = child(node, key, 'path', readyPath, defaults.path, reading);
      const statuses = child(node, key, 'status', statusRanges, defaults.statuses, reading);
      const timeoutMs = child(
        node,
        key,
        'timeout',
        duration(1, { maxMs: 86_400_000 }),
        defaults.timeoutMs,
        reading,
      );
      if (!known || path === undefined || statuses === undefined || timeoutMs === undefined) return undefined;
      return { path, statuses, timeoutMs };
    },
  };
}

/** `logging: {driver: json-file, options: {max-size, max-file}}`: the engine reads back logs of this driver. */
export const logging: Type<{ readonly maxSizeBytes: number; readonly maxFiles: number }> = {
  expected: 'a map such as {options: {max-size: 10m, max-file: 3}}',
  read(node, key, reading) {
    if (node.kind !== 'map') return refuse(node, key, this.expected, reading);
    const known = refuseOthers(node, key, ['driver', 'options'], reading);
    const driver = child(node, key, 'driver', text('json-file', /^json-file$/), 'json-file', reading);
    const options = node.entries.get('options')?.value ?? { kind: 'map', at: node.at, entries: new Map() };
    const where = childKey(key, 'options');
    if (options.kind !== 'map') return refuse(options, where, 'a map', reading);
    const knownOptions = refuseOthers(options, where, ['max-size', 'max-file'], reading);
    const maxSizeBytes = child(options, where, 'max-size', size(1024), 10 * 1024 * 1024, reading);
    const maxFiles = child(options, where, 'max-file', fileCount, 3, reading);
    if (!known || !knownOptions || driver === undefined) return undefined;
    return maxSizeBytes === undefined || maxFiles === undefined ? undefined : { maxSizeBytes, maxFiles };
  },
};

/** `on_claim: {command, values, timeout}`; only `command` must be there. */
export const onClaim: Type<OnClaimSpec> = {
  expected: 'a map such as {command: [/setup], values: {user: "{user_id}"}, timeout: 10s}',
  read(node, key, reading) {
    if (node.kind !== 'map') return refuse(node, key, this.expected, reading);
    const known = refuseOthers(node, key, ['command', 'values', 'timeout'], reading);
    const command = child(node, key, 'command', claimCommand, [], reading);
    const values = child(node, key, 'values', claimValues, {}, reading);
    const timeoutMs = child(node, key, 'timeout', claimTimeout, 10_000, reading);
    const nothingToRun = command?.length === 0;
    if (nothingToRun) reading.report(node.at, key, 'there is no `command`; name what is run at the claim');
    if (!known || nothingToRun || command === undefined) return undefined;
    return values === undefined || timeoutMs === undefined ? undefined : { command, values, timeoutMs };
  },
};

/** What differs per user comes as values, on standard input: a command line shows in every list of processes. */
const claimCommand = words(plainText('a text', 'give it in `values`, which the command reads as JSON'));

const claimValues = textMap('values', /^[^=\0]+$/);

/** The caller of the spawn waits for it. */
const claimTimeout = duration(100, { maxMs: 600_000 });

/** RFC 3986, sections 3.3 and 3.4: so there are no braces, and no placeholder is filled here. */
const readyPath = text('a path such as /health?full=1', /^\/[\w.~:/?[\]@!$&'()*+,;=%-]*$/);

/** In Compose a text too: `max-file: "3"`. */
const fileCount = scalarType('a number of files from 1 to 1000', (value) =>
  /^\d{1,4}$/.test(value) && Number(value) >= 1 && Number(value) <= 1000 ? Number(value) : undefined,
);

const statusExpected = 'a status such as 200, a range such as 200-399, or a list of them, within 200-599';

const statusRanges: Type<ReadySpec['statuses']> = {
  expected: statusExpected,
  read(node, key, reading) {
    const nodes: readonly Node[] = node.kind === 'list' ? node.items : [node];
    const ranges = nodes.flatMap((item) => {
      const [, from, to] = /^(\d{3})(?:\s*-\s*(\d{3}))?$/.exec(item.kind === 'scalar' ? item.text : '') ?? [];
      const range = { from: Number(from), to: Number(to ?? from) };
      if (range.from >= 200 && range.to <= 599 && range.from <= range.to) return [range];
      reading.report(item.at, key, `expected ${statusExpected}, got ${describe(item)}`, statusExpected);
      return [];
    });
    if (nodes.length === 0) return refuse(node, key, statusExpected, reading);
    return ranges.length === nodes.length ? ranges : undefined;
  },
};

function child<T>(
  node: MapNode,
  key: string,
  name: string,
  type: Type<T>,
  otherwise: T,
  reading: Reading,
): T | undefined {
  const entry = node.entries.get(name);
  return entry ? type.read(entry.value, childKey(key, name), reading) : otherwise;
}

function refuseOthers(node: MapNode, key: string, known: readonly string[], reading: Reading): boolean {
  let sound = true;
  for (const [name, entry] of node.entries) {
    if (known.includes(name)) continue;
    sound = false;
    const hint = didYouMean(name, known) || `; there are ${known.join(', ')}`;
    reading.report(entry.at, childKey(key, name), `there is no such word${hint}`);
  }
  return sound;
}

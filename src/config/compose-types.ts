import { isIP } from 'node:net';
import { constants } from 'node:os';
import type { DeviceSpec, UlimitSpec } from '../core/image-entry.ts';
import { shellWords } from './shell-words.ts';
import { childKey, type Node } from './source.ts';
import { checkPlaceholders, template } from './templates.ts';
import {
  integer,
  isHostName,
  parseDurationMs,
  type Reading,
  refuse,
  scalarType,
  type Type,
} from './types.ts';

/** The kinds of value of Compose's words that have a form of their own. */

/** A list of words, or a text that is split as a shell would, without running one. */
export function words(item: Type<string> = template('a text', { userId: true })): Type<readonly string[]> {
  const expected = 'a list of words, or a text that is split into words as a shell does';
  return {
    expected,
    read(node, key, reading) {
      if (node.kind === 'list') {
        const read = node.items.map((child, i) => item.read(child, childKey(key, i), reading));
        return read.includes(undefined) ? undefined : (read as string[]);
      }
      const text = item.read(node, key, reading);
      if (text === undefined) return undefined;
      const split = shellWords(text);
      if (split !== null) return split;
      reading.report(node.at, key, 'a quote or a backslash in this text has no end', expected);
      return undefined;
    },
  };
}

/** A map of texts, or a list of `NAME=text`. Values are never quoted in messages: they may be secrets. */
export function textMap(what: string, name: RegExp): Type<Readonly<Record<string, string>>> {
  const value = template('a text, a number, true or false', { userId: true, quiet: true });
  const expected = `a map, or a list of NAME=text, of ${what}`;
  return {
    expected,
    read(node, key, reading) {
      const pairs = node.kind === 'scalar' ? undefined : pairsOf(node, key, reading);
      if (!pairs) return node.kind === 'scalar' ? refuseQuietly(node, key, expected, reading) : undefined;
      const result = new Map<string, string>();
      let sound = true;
      for (const pair of pairs) {
        if (pair.value.kind === 'scalar' && pair.value.value === null) {
          reading.report(pair.value.at, pair.key, noValue);
          sound = false;
          continue;
        }
        const text = value.read(pair.value, pair.key, reading);
        if (!name.test(pair.name)) reading.report(pair.value.at, pair.key, `this is no name for ${what}`);
        else if (result.has(pair.name)) reading.report(pair.value.at, pair.key, 'this name is there already');
        else if (text !== undefined) {
          result.set(pair.name, text);
          continue;
        }
        sound = false;
      }
      // fromEntries makes own properties, of `__proto__` too.
      return sound ? Object.fromEntries(result) : undefined;
    },
  };
}

/** A map `host: address`, or a list of `host:address`; gives what the engine takes, `host:address`. */
export const extraHosts: Type<readonly string[]> = {
  expected: 'a map host: address, or a list of host:address',
  read(node, key, reading) {
    const lines: string[] = [];
    const add = (host: string, address: string, at: Node, where: string): void => {
      const bare = address.trim().replace(/^\[(.*)\]$/, '$1');
      const named = isHostName(host.replaceAll(/\{[a-z_]+\}|_/g, 'x').toLowerCase());
      if (!named) reading.report(at.at, where, `"${host}" is no host name`, 'a host name');
      else if (bare !== 'host-gateway' && isIP(bare) === 0) {
        reading.report(at.at, where, `expected an IP address or host-gateway, got "${address}"`);
      } else if (checkPlaceholders(host, at, where, false, reading)) lines.push(`${host}:${bare}`);
    };
    if (node.kind === 'scalar') return refuse(node, key, this.expected, reading);
    const before = node.kind === 'list' ? node.items.length : 0;
    let count = before;
    if (node.kind === 'list') {
      for (const [i, item] of node.items.entries()) {
        const [, host, address] = /^([^:=]+)[:=](.+)$/.exec(item.kind === 'scalar' ? item.text : '') ?? [];
        if (host === undefined) refuse(item, childKey(key, i), 'host:address', reading);
        else add(host, address!, item, childKey(key, i));
      }
    } else {
      for (const [host, { value }] of node.entries) {
        const addresses = value.kind === 'list' ? value.items : [value];
        count += addresses.length;
        for (const address of addresses) {
          const text = address.kind === 'scalar' ? address.text : '';
          add(host, text, address, childKey(key, host));
        }
      }
    }
    return lines.length === count ? lines : undefined;
  },
};

/** A map of name -> number, or name -> `{soft, hard}`; -1 means without a limit. */
export const ulimits: Type<readonly UlimitSpec[]> = {
  expected: 'a map such as {nofile: 1024, core: {soft: 0, hard: 0}}',
  read(node, key, reading) {
    if (node.kind !== 'map') return refuse(node, key, this.expected, reading);
    const limits = [...node.entries].map(([name, entry]) => {
      const where = childKey(key, name);
      if (!ulimitNames.has(name)) {
        reading.report(entry.at, where, `there is no such limit; there are ${[...ulimitNames].join(', ')}`);
        return undefined;
      }
      return ulimit(name, entry.value, where, reading);
    });
    return limits.includes(undefined) ? undefined : (limits as UlimitSpec[]);
  },
};

/** `/dev/fuse` or `/dev/sdc:/dev/xvdc:rwm`. */
export const device: Type<DeviceSpec> = {
  expected: 'a device such as /dev/fuse or /dev/ttyUSB0:/dev/ttyUSB0:rw',
  read(node, key, reading) {
    const text = node.kind === 'scalar' ? node.text : '';
    const path = String.raw`\/dev\/(?!\.\.?(?:\/|:|$))[\w.-]+(?:\/(?!\.\.?(?:\/|:|$))[\w.-]+)*`;
    const match = new RegExp(`^(${path})(?::(${path}))?(?::([rwm]{1,3}))?$`).exec(text);
    if (!match) return refuse(node, key, this.expected, reading);
    const [, hostPath = '', containerPath, permissions] = match;
    if (/^\/dev\/(k?mem|port)$/.test(hostPath)) {
      reading.report(node.at, key, `\`${hostPath}\` is never given: it is the memory of the host`);
      return undefined;
    }
    return { hostPath, containerPath: containerPath ?? hostPath, permissions: permissions ?? 'rwm' };
  },
};

/** A signal by name, with or without `SIG`, or by number; gives the full name, or the number as text. */
export const stopSignal: Type<string> = scalarType('a signal such as SIGTERM, INT or SIGRTMIN+3', (text) => {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 64 ? text : undefined;
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG');
  return Object.hasOwn(constants.signals, name) || /^SIGRTM(IN(\+\d+)?|AX(-\d+)?)$/.test(name)
    ? name
    : undefined;
});

/** Compose's `cpus`: a number of processors, also as a text; 0 for no limit. */
export const cpus: Type<number> = scalarType(
  'a number of processors such as 0.5 or 2, 0 for no limit',
  (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    // Docker counts in billionths, and refuses less than a hundredth.
    return value === 0 || (value >= 0.01 && value <= 4096) ? value : undefined;
  },
);

export const pidsLimit: Type<number> = {
  expected: 'a number of processes of at least 1, or -1 for no limit',
  read(node, key, reading) {
    const value = node.kind === 'scalar' ? node.value : null;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || (value < 1 && value !== -1)) {
      return refuse(node, key, this.expected, reading);
    }
    return value;
  },
};

export const pullPolicy: Type<'always' | 'missing' | 'never'> = scalarType(
  'always, missing or never',
  (text) => {
    if (text === 'if_not_present') return 'missing';
    return text === 'always' || text === 'missing' || text === 'never' ? text : undefined;
  },
);

/** How long a stop may take; as `duration`, but 0 is a value too. */
export const gracePeriod: Type<number> = scalarType(
  'a duration such as 10s or 1m30s, at most 10m',
  (text) => {
    const ms = parseDurationMs(text);
    return ms !== undefined && ms <= 600_000 ? ms : undefined;
  },
);

/** The name of a network that exists. Those that undo what separates containers are refused. */
export const networkMode: Type<string> = {
  expected: 'the name of an existing network',
  read(node, key, reading) {
    const name = node.kind === 'scalar' && typeof node.value === 'string' ? node.value : '';
    const say = (message: string): undefined => reading.report(node.at, key, message) as undefined;
    if (name === 'host')
      return say('`host` is never supported: it hands the network of the host to the container');
    if (name === 'none') return say('`none` is not supported: nobody could reach the container');
    if (/^(container|service):/.test(name)) {
      return say(`\`${name.split(':')[0]}:\` is a Compose word that Docker Spawner does not support (yet)`);
    }
    return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name) ? name : refuse(node, key, this.expected, reading);
  },
};

const ulimitNames: ReadonlySet<string> = new Set([
  ...['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc'],
  ...['rss', 'rtprio', 'rttime', 'sigpending', 'stack'],
]);

function ulimit(name: string, node: Node, key: string, reading: Reading): UlimitSpec | undefined {
  const amount = integer(-1, Number.MAX_SAFE_INTEGER, 'a whole number, or -1 for no limit');
  if (node.kind !== 'map') {
    const both = amount.read(node, key, reading);
    return both === undefined ? undefined : { name, soft: both, hard: both };
  }
  const [softNode, hardNode] = [node.entries.get('soft')?.value, node.entries.get('hard')?.value];
  if (!softNode || !hardNode || node.entries.size !== 2) {
    reading.report(node.at, key, 'expected a number, or both of `soft` and `hard` and nothing else');
    return undefined;
  }
  const soft = amount.read(softNode, `${key}.soft`, reading);
  const hard = amount.read(hardNode, `${key}.hard`, reading);
  if (soft === undefined || hard === undefined) return undefined;
  if (hard === -1 || (soft !== -1 && soft <= hard)) return { name, soft, hard };
  reading.report(node.at, key, '`soft` is above `hard`; lower it');
  return undefined;
}

interface Pair {
  readonly name: string;
  readonly key: string;
  readonly value: Node;
}

function pairsOf(node: Exclude<Node, { kind: 'scalar' }>, key: string, reading: Reading): Pair[] | undefined {
  if (node.kind === 'map') {
    return [...node.entries].map(([name, { value }]) => ({ name, key: childKey(key, name), value }));
  }
  const pairs: Pair[] = [];
  for (const [i, item] of node.items.entries()) {
    const where = childKey(key, i);
    const text = item.kind === 'scalar' && typeof item.value === 'string' ? item.text : null;
    const cut = text?.indexOf('=') ?? -1;
    if (text === null) refuseQuietly(item, where, 'NAME=text', reading);
    else if (cut < 0) reading.report(item.at, where, noValue);
    else {
      const rest = text.slice(cut + 1);
      const value: Node = { kind: 'scalar', at: item.at, value: rest, text: rest, untyped: false };
      pairs.push({ name: text.slice(0, cut), key: where, value });
    }
  }
  return pairs.length === node.items.length ? pairs : undefined;
}

const noValue =
  'there is no value, and none is taken from the environment of the service; write one, or "" for an empty one';

function refuseQuietly(node: Node, key: string, expected: string, reading: Reading): undefined {
  const got = node.kind === 'scalar' ? 'a single value' : `a ${node.kind}`;
  reading.report(node.at, key, `expected ${expected}, got ${got}`, expected);
  return undefined;
}

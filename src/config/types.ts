import { isIP } from 'node:net';
import type { Report } from './problems.ts';
import { childKey, describe, type Node } from './source.ts';

/** What reading a value may depend on beside the value itself. */
export interface Reading {
  readonly report: Report;
  /** Whether `{user_id}` has a meaning. */
  readonly withUsers: boolean;
  /** The sockets of the engine, which no container may get at. */
  readonly engineSockets: readonly string[];
  /** Where relative paths of this machine start. */
  readonly cwd: string;
}

/** A kind of value: declared once, used for reading, for messages and for the reference page. */
export interface Type<T> {
  /** Ends the sentence "expected ...". */
  readonly expected: string;
  /** How the environment writes it, where that is not one plain text. */
  readonly inEnvironment?: 'json' | 'list';
  /** undefined: it was wrong, and that was reported. */
  read(node: Node, key: string, reading: Reading): T | undefined;
}

export type TypeOf<X> = X extends Type<infer T> ? T : never;

/** Reports `expected ..., got ...`. */
export function refuse(node: Node, key: string, expected: string, reading: Reading): undefined {
  reading.report(node.at, key, `expected ${expected}, got ${describe(node)}`, expected);
  return undefined;
}

/** A type that reads one text or number: `parse` gives undefined for what it does not take. */
export function scalarType<T>(expected: string, parse: (text: string) => T | undefined): Type<T> {
  return {
    expected,
    read(node, key, reading) {
      if (node.kind !== 'scalar' || node.value === null || typeof node.value === 'boolean') {
        return refuse(node, key, expected, reading);
      }
      const value = parse(node.text);
      return value === undefined ? refuse(node, key, expected, reading) : value;
    },
  };
}

/** Any text that the test takes; control characters never pass. */
export function text(expected: string, test?: RegExp): Type<string> {
  return scalarType(expected, (value) =>
    !/[\u0000-\u001f\u007f]/.test(value) && (test?.test(value) ?? true) ? value : undefined,
  );
}

export function integer(
  min: number,
  max: number,
  expected = `a whole number from ${min} to ${max}`,
): Type<number> {
  return {
    expected,
    read(node, key, reading) {
      if (node.kind !== 'scalar') return refuse(node, key, expected, reading);
      const isText = node.untyped && /^-?\d{1,15}$/.test(node.text);
      const value = isText ? Number(node.text) : node.value;
      const right = typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
      return right ? value : refuse(node, key, expected, reading);
    },
  };
}

export const boolean: Type<boolean> = {
  expected: 'true or false',
  read(node, key, reading) {
    if (node.kind === 'scalar' && typeof node.value === 'boolean') return node.value;
    if (node.kind === 'scalar' && node.untyped) {
      const word = node.text.trim().toLowerCase();
      if (['true', '1', 'yes', 'on'].includes(word)) return true;
      if (['false', '0', 'no', 'off'].includes(word)) return false;
    }
    return refuse(node, key, this.expected, reading);
  },
};

export function choice<const T extends string>(...words: readonly T[]): Type<T> {
  const expected = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  return scalarType(expected, (value) => words.find((word) => word === value));
}

/**
 * Seconds, or `90s`, `30m`, `8h`, `2d`, `500ms`, `1h30m`; gives milliseconds. `zero`: what 0 means, where it may
 * be written although it is below the least.
 */
export function duration(
  minMs: number,
  options: { readonly maxMs?: number; readonly zero?: string } = {},
): Type<number> {
  const { maxMs = 36_500 * unitsMs.d, zero } = options;
  const least = minMs > 0 ? `, at least ${durationText(minMs)}` : '';
  const most = options.maxMs === undefined ? '' : `, at most ${durationText(maxMs)}`;
  const orZero = zero === undefined ? '' : `, or 0 for ${zero}`;
  return scalarType(`a duration such as 90, 90s, 30m, 8h or 2d${least}${most}${orZero}`, (value) => {
    const ms = parseDurationMs(value);
    if (ms === undefined) return undefined;
    return (ms >= minMs && ms <= maxMs) || (ms === 0 && zero !== undefined) ? ms : undefined;
  });
}

/** Bytes, or `512m`, `1g`, `64kb`; gives bytes. Units are powers of 1024, as in Compose. */
export function size(
  minBytes: number,
  options: { readonly maxBytes?: number; readonly orZero?: boolean } = {},
): Type<number> {
  const { maxBytes = Number.MAX_SAFE_INTEGER } = options;
  const least = minBytes > 1 ? `, at least ${sizeText(minBytes)}` : '';
  const most = options.maxBytes === undefined ? '' : `, at most ${sizeText(maxBytes)}`;
  const zero = options.orZero ? ', or 0 for no limit' : '';
  const example = maxBytes < parseSizeBytes('512m')! ? '64k' : '512m';
  return scalarType(`a size such as ${example}${least}${most}${zero}`, (value) => {
    const bytes = parseSizeBytes(value);
    if (bytes === undefined) return undefined;
    return (bytes >= minBytes && bytes <= maxBytes) || (options.orZero && bytes === 0) ? bytes : undefined;
  });
}

export function parseDurationMs(value: string): number | undefined {
  const trimmed = value.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return whole(Number(trimmed) * 1000);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) return undefined;
  let ms = 0;
  let last = Number.POSITIVE_INFINITY;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    const unitMs = unitsMs[unit as keyof typeof unitsMs];
    // From large to small, each unit once: `5m5m` is a slip of the hand.
    if (unitMs >= last) return undefined;
    last = unitMs;
    ms += Number(amount) * unitMs;
  }
  return whole(ms);
}

export function parseSizeBytes(value: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])i?b?|b)?$/i.exec(value.trim());
  if (!match) return undefined;
  const power = match[2] === undefined ? 0 : 'kmgt'.indexOf(match[2].toLowerCase()) + 1;
  return whole(Number(match[1]) * 1024 ** power);
}

export function durationText(ms: number): string {
  for (const [unit, unitMs] of Object.entries(unitsMs)) {
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}

export function sizeText(bytes: number): string {
  for (const [unit, power] of [
    ['g', 3],
    ['m', 2],
    ['k', 1],
  ] as const) {
    if (bytes >= 1024 ** power && bytes % 1024 ** power === 0) return `${bytes / 1024 ** power}${unit}`;
  }
  return String(bytes);
}

/** A list whose items are of one type; in the environment JSON or separated by commas. */
export function list<T>(item: Type<T>, options: { readonly orSingle?: boolean } = {}): Type<readonly T[]> {
  const expected = `a list, each item ${item.expected}`;
  return {
    expected,
    inEnvironment: 'list',
    read(node, key, reading) {
      if (node.kind === 'scalar' && node.value !== null && options.orSingle) {
        const only = item.read(node, key, reading);
        return only === undefined ? undefined : [only];
      }
      if (node.kind !== 'list') return refuse(node, key, expected, reading);
      const items = node.items.map((child, i) => item.read(child, childKey(key, i), reading));
      return items.includes(undefined) ? undefined : (items as T[]);
    },
  };
}

/** The same, but a problem never quotes what was written. */
export function secret<T>(type: Type<T>): Type<T> {
  return {
    ...type,
    read(node, key, reading) {
      const quiet: Report = (at, where, _message, expected = type.expected) =>
        reading.report(at, where, `expected ${expected}`, expected);
      return type.read(node, key, { ...reading, report: quiet });
    },
  };
}

/** An address to listen on. */
export interface ListenAddress {
  /** An IP address or a host name, without brackets. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** `127.0.0.1:3000`, `[::1]:3000`, `:3000` (every IPv4 address). */
export const listenAddress: Type<ListenAddress> = scalarType(
  'an address such as 127.0.0.1:3000, [::1]:3000 or :3000',
  (value) => {
    const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(value.trim());
    if (!match || Number(match[3]) > 65_535) return undefined;
    const port = Number(match[3]);
    if (match[1] !== undefined) return isIP(match[1]) === 6 ? { host: match[1], port } : undefined;
    const host = match[2]!.toLowerCase();
    if (host === '') return { host: '0.0.0.0', port };
    return isIP(host) === 4 || isHostName(host) ? { host, port } : undefined;
  },
);

/** An IP address, or a range of them in CIDR notation. */
export const addressRange: Type<string> = scalarType(
  'an IP address or a range such as 10.0.0.0/8 or fd00::/8',
  (value) => {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(value.trim()) ?? [];
    const family = isIP(address);
    // A zone (`fe80::1%eth0`) has no meaning in a range.
    if (family === 0 || address.includes('%')) return undefined;
    return Number(bits ?? 0) <= (family === 6 ? 128 : 32) ? value.trim() : undefined;
  },
);

/** Whether a text is a DNS name in lower case that is not an IP address (RFC 1123, section 2.1). */
export function isHostName(name: string): boolean {
  const labels = name.split('.');
  const sound = labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  // A last label of digits only would make it read as an IPv4 address (RFC 3696, section 2).
  return sound && name.length <= 253 && !/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!);
}

const unitsMs = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;

function whole(value: number): number | undefined {
  const rounded = Math.round(value);
  return Number.isSafeInteger(rounded) ? rounded : undefined;
}

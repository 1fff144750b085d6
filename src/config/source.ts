import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  Scalar,
  type YAMLError,
} from 'yaml';
import type { Location, Report } from './problems.ts';

/**
 * What was written, before anybody asks what it means: one tree for the file and for the environment, in which
 * every node knows where it stands.
 */
export type Node = ScalarNode | ListNode | MapNode;

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly at: Location;
  readonly value: string | number | boolean | null;
  /** As it was written: `1.10` is the number 1.1 and the text `1.10`. */
  readonly text: string;
  /** The source knows no types: everything in the environment is text. */
  readonly untyped: boolean;
}

export interface ListNode {
  readonly kind: 'list';
  readonly at: Location;
  readonly items: readonly Node[];
}

export interface MapNode {
  readonly kind: 'map';
  readonly at: Location;
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface MapEntry {
  /** Where the key stands. */
  readonly at: Location;
  readonly value: Node;
}

/** The key of something inside something: `images.web`, or `images["a.b"]` where a dot would mislead. */
export function childKey(parent: string, child: string | number): string {
  if (typeof child === 'number') return `${parent}[${child}]`;
  if (!/^[\w-]+$/.test(child)) return `${parent}[${JSON.stringify(child)}]`;
  return parent === '' ? child : `${parent}.${child}`;
}

/** Reads a YAML file's text; null where it is empty or cannot be read, and then that was reported. */
export function readYaml(text: string, file: string, report: Report): Node | null {
  const lines = new LineCounter();
  if (text.length > maxFileChars) {
    report({ file, line: null }, '', 'the file is larger than a configuration may be (1 MiB)');
    return null;
  }
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // The library compares every key with every other; a map of our own finds doubles in one pass.
    uniqueKeys: false,
    stringKeys: true,
    resolveKnownTags: false,
  });
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults.slice(0, 5)) {
    report({ file, line: lines.linePos(fault.pos[0]).line }, '', faultMessage(fault));
  }
  if (faults.length > 0) return null;
  return new YamlReader(document, file, lines, report).read();
}

/** Reads the JSON of an environment variable; null where it cannot be read, and then that was reported. */
export function readJson(text: string, variable: string, report: Report): Node | null {
  const at = { file: 'environment', line: null };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // Node's own message quotes the text, which may hold secrets.
    const position = /position (\d+)/.exec(String(error))?.[1];
    const where = position === undefined ? '' : ` (it goes wrong at character ${Number(position) + 1})`;
    report(at, variable, `expected JSON${where}`, 'JSON');
    return null;
  }
  const twice = keyWrittenTwice(text);
  if (twice !== null) report(at, variable, `the key ${JSON.stringify(twice)} is there twice; remove one`);
  return fromJson(value, at, variable, report, 0);
}

/** A text that stands for itself, as environment variables do. */
export function untypedText(text: string): ScalarNode {
  return { kind: 'scalar', at: { file: 'environment', line: null }, value: text, text, untyped: true };
}

/** What a node is, for `got ...`; long texts are cut. */
export function describe(node: Node): string {
  if (node.kind === 'list') return 'a list';
  if (node.kind === 'map') return 'a map';
  if (node.value === null) return 'nothing';
  const text = node.text.length > 60 ? `${node.text.slice(0, 57)}...` : node.text;
  return typeof node.value === 'string' ? JSON.stringify(text) : text;
}

const maxFileChars = 1024 * 1024;
const maxDepth = 32;
/** Aliases make a small file a huge one; more values than this no honest configuration has. */
const maxNodes = 200_000;

function faultMessage(fault: YAMLError): string {
  // The library's own messages of these quote the text, which may hold secrets, or speak of its options.
  if (fault.code === 'UNEXPECTED_TOKEN') return 'this is not valid YAML: something stands here that cannot';
  if (fault.code === 'TAG_RESOLVE_FAILED') {
    return 'there is no such tag; put a text that starts with `!` in quotes';
  }
  if (fault.code === 'RESOURCE_EXHAUSTION') return 'the file is nested too deeply';
  if (fault.code === 'MULTIPLE_DOCS') return 'expected one YAML document; `---` begins a second one';
  if (fault.code === 'NON_STRING_KEY') return 'a key must be a plain text';
  return `this is not valid YAML: ${fault.message}`;
}

class YamlReader {
  readonly #document: Document.Parsed;
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #report: Report;
  /** Anchors seen so far; null while what they name is still being read. */
  readonly #anchors = new Map<string, { node: Node; size: number } | null>();
  /** How many values there are with every alias written out. */
  #size = 0;

  constructor(document: Document.Parsed, file: string, lines: LineCounter, report: Report) {
    this.#document = document;
    this.#file = file;
    this.#lines = lines;
    this.#report = report;
  }

  read(): Node | null {
    const { contents } = this.#document;
    if (contents === null || (isScalar(contents) && contents.value === null)) return null;
    const node = this.#node(contents, '', { file: this.#file, line: 1 }, 0);
    if (this.#size <= maxNodes) return node;
    this.#report({ file: this.#file, line: null }, '', 'the aliases of this file expand to too many values');
    return null;
  }

  #node(item: unknown, key: string, fallback: Location, depth: number): Node {
    const at = this.#locate(item) ?? fallback;
    if (isAlias(item)) return this.#alias(item.source, key, at);
    const anchor =
      (isScalar(item) || isMap(item) || isSeq(item)) && item.anchor !== undefined ? item.anchor : null;
    if (anchor !== null) this.#anchors.set(anchor, null);
    const before = this.#size++;
    const node = this.#value(item, key, at, depth);
    if (anchor !== null) this.#anchors.set(anchor, { node, size: this.#size - before });
    return node;
  }

  #value(item: unknown, key: string, at: Location, depth: number): Node {
    if (depth > maxDepth) {
      this.#report(at, key, 'the file is nested too deeply');
      return nothing(at);
    }
    if (isMap(item)) return this.#map(item.items, key, at, depth);
    if (isSeq(item)) {
      const items = item.items.map((child, i) => this.#node(child, childKey(key, i), at, depth + 1));
      return { kind: 'list', at, items };
    }
    return isScalar(item) ? scalar(item, at) : nothing(at);
  }

  #alias(name: string, key: string, at: Location): Node {
    const target = this.#anchors.get(name);
    if (target) {
      this.#size += target.size;
      // Its lines are those of the anchor, where the text is that has to be mended.
      return target.node;
    }
    // The name is not quoted: it may be a secret that somebody forgot to put in quotes.
    const why =
      target === null
        ? 'this alias stands inside of what it names'
        : 'this alias has no anchor above it; put a text that starts with `*` in quotes';
    this.#report(at, key, why);
    return nothing(at);
  }

  #map(pairs: readonly Pair[], key: string, at: Location, depth: number): MapNode {
    const own = new Map<string, MapEntry>();
    const merged = new Map<string, MapEntry>();
    for (const pair of pairs) {
      const name = isScalar(pair.key) ? String(pair.key.value) : '';
      const keyAt = this.#locate(pair.key) ?? at;
      const isMerge = name === '<<' && isScalar(pair.key) && pair.key.type === Scalar.PLAIN;
      const value = this.#node(pair.value, childKey(key, name), keyAt, depth + 1);
      if (isMerge) this.#merge(value, key, keyAt, merged);
      else if (own.has(name)) {
        const first = own.get(name)!.at.line;
        this.#report(keyAt, childKey(key, name), `this key is there already, in line ${first}; remove one`);
      } else own.set(name, { at: keyAt, value });
    }
    for (const [name, entry] of merged) if (!own.has(name)) own.set(name, entry);
    return { kind: 'map', at, entries: own };
  }

  /** `<<: *anchor` or `<<: [*one, *two]`; of two the first one wins. */
  #merge(value: Node, key: string, at: Location, into: Map<string, MapEntry>): void {
    for (const source of value.kind === 'list' ? value.items : [value]) {
      if (source.kind === 'map') {
        for (const [name, entry] of source.entries) if (!into.has(name)) into.set(name, entry);
      } else this.#report(at, childKey(key, '<<'), `expected a map to merge, got ${describe(source)}`);
    }
  }

  #locate(item: unknown): Location | null {
    if (!isScalar(item) && !isMap(item) && !isSeq(item) && !isAlias(item)) return null;
    return item.range ? { file: this.#file, line: this.#lines.linePos(item.range[0]).line } : null;
  }
}

function scalar(item: Scalar, at: Location): ScalarNode {
  const { value } = item;
  const known = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  const text = typeof value === 'string' ? value : (item.source ?? String(value));
  // Other kinds (a date of YAML 1.1, say) are what was written.
  const plain = known || value === null ? (value as ScalarNode['value']) : text;
  return { kind: 'scalar', at, value: plain, text, untyped: false };
}

function nothing(at: Location): ScalarNode {
  return { kind: 'scalar', at, value: null, text: '', untyped: false };
}

/** The first key that an object of this sound JSON has twice: `JSON.parse` silently takes the last one. */
function keyWrittenTwice(json: string): string | null {
  const keys: Set<string>[] = [];
  for (const [token, text, colon] of json.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g)) {
    if (token === '{') keys.push(new Set());
    else if (token === '}') keys.pop();
    else if (text !== undefined && colon !== undefined) {
      const name: string = JSON.parse(text);
      if (keys.at(-1)?.has(name)) return name;
      keys.at(-1)?.add(name);
    }
  }
  return null;
}

function fromJson(value: unknown, at: Location, key: string, report: Report, depth: number): Node {
  if (typeof value !== 'object' || value === null) {
    const plain = value as string | number | boolean | null;
    return { kind: 'scalar', at, value: plain, text: plain === null ? '' : String(plain), untyped: false };
  }
  if (depth > maxDepth) {
    report(at, key, 'the value is nested too deeply');
    return nothing(at);
  }
  if (Array.isArray(value)) {
    const items = value.map((item, i) => fromJson(item, at, childKey(key, i), report, depth + 1));
    return { kind: 'list', at, items };
  }
  const entries = Object.entries(value).map(([name, item]): [string, MapEntry] => [
    name,
    { at, value: fromJson(item, at, childKey(key, name), report, depth + 1) },
  ]);
  return { kind: 'map', at, entries: new Map(entries) };
}

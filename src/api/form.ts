import { MIMEType } from 'node:util';
import { SpawnerError } from '../core/errors.ts';
import { parseMultipart } from './multipart.ts';

/**
 * The fields of a request, as bytes: they become text only when a known field is read, so an unknown field
 * may hold anything. Keys are the names byte by byte (latin1); every name we know is ASCII.
 */
export type Form = ReadonlyMap<string, readonly FieldValue[]>;

export interface FieldValue {
  readonly bytes: Buffer;
  /** null: this can be read as text; otherwise why it cannot, as the end of "FIELD ...". */
  readonly problem: string | null;
}

/** The most bytes of body that a call may have, in either format. */
export const bodyLimitBytes = 64 * 1024;

/**
 * Reads a body of either format that the original took. No body is an empty form: its fields are missing.
 * Throws unsupported_media_type and body_invalid.
 */
export function readForm(request: {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly body: Buffer | undefined;
}): Form {
  if (request.body === undefined) return new Map();
  if (request.contentEncoding !== undefined && request.contentEncoding.toLowerCase() !== 'identity') {
    throw unsupported(`The body is compressed (${request.contentEncoding}); send it as it is`);
  }
  const type = parseMediaType(request.contentType);
  const charset = type?.params.get('charset') ?? 'utf-8';
  if (!isUtf8(charset)) throw unsupported(`The body's charset is ${charset}; send UTF-8`);
  switch (type?.essence) {
    case 'application/x-www-form-urlencoded':
      return group(parseUrlencoded(request.body.toString('latin1')));
    case 'multipart/form-data':
      return group(parseMultipart(type.params.get('boundary') ?? '', request.body).map(fromPart));
    default:
      throw unsupported('Send the fields as application/x-www-form-urlencoded or multipart/form-data');
  }
}

/** The fields of a request target's query. Throws body_invalid for a broken percent escape. */
export function readQuery(target: string): Form {
  const start = target.indexOf('?');
  return start === -1 ? new Map() : group(parseUrlencoded(target.slice(start + 1)));
}

/** Both forms' fields; a field in each of them counts as given twice. */
export function mergeForms(one: Form, other: Form): Form {
  const merged = new Map(one);
  for (const [name, values] of other) merged.set(name, [...(merged.get(name) ?? []), ...values]);
  return merged;
}

/**
 * The one text value of a field. Throws field_missing where there is none or it is empty, and field_invalid
 * for a repeated field, a file, or bytes that are not UTF-8.
 */
export function textField(form: Form, name: string): string {
  const values = form.get(name) ?? [];
  const [value] = values;
  if (value === undefined) throw new SpawnerError('field_missing', `The field ${name} is missing`);
  if (values.length > 1) throw invalid(`${name} is given twice; give it once`);
  if (value.problem !== null) throw invalid(`${name} ${value.problem}`);
  if (value.bytes.length === 0) throw new SpawnerError('field_missing', `The field ${name} is empty`);
  try {
    return utf8.decode(value.bytes);
  } catch {
    throw invalid(`${name} is not valid UTF-8`);
  }
}

// A byte order mark is kept: with it, a user id is another id than without it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Node's parser takes the square of the time for some texts, so what is much longer than any real one is none. */
function parseMediaType(text = ''): MIMEType | null {
  if (text.length > maxMediaTypeLength) return null;
  try {
    return new MIMEType(text);
  } catch {
    return null;
  }
}

const maxMediaTypeLength = 200;

function isUtf8(charset: string): boolean {
  return /^(utf-?8|us-ascii)$/i.test(charset);
}

/** Each costs some microseconds, and a body of 64 KiB could hold tens of thousands (rule 10). */
const maxFields = 1000;

type Pair = readonly [name: string, value: FieldValue];

function parseUrlencoded(text: string): Pair[] {
  const pairs: Pair[] = [];
  for (const piece of text.split('&')) {
    if (piece === '') continue;
    if (pairs.length === maxFields) {
      throw new SpawnerError('body_invalid', `The form has more than ${maxFields} fields`);
    }
    const equals = piece.indexOf('=');
    const name = equals === -1 ? piece : piece.slice(0, equals);
    const value = equals === -1 ? '' : piece.slice(equals + 1);
    pairs.push([decodePercent(name).toString('latin1'), { bytes: decodePercent(value), problem: null }]);
  }
  return pairs;
}

/** Strict, where the URL standard would keep a broken escape as it stands: a guess could name another user. */
function decodePercent(text: string): Buffer {
  if (/%(?![0-9a-f]{2})/i.test(text)) {
    throw new SpawnerError('body_invalid', 'A "%" is not followed by two hexadecimal digits');
  }
  const bytes = text
    .replaceAll('+', ' ')
    .replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(bytes, 'latin1');
}

function fromPart(part: ReturnType<typeof parseMultipart>[number]): Pair {
  const charset = parseMediaType(part.contentType ?? undefined)?.params.get('charset') ?? 'utf-8';
  let problem: string | null = null;
  if (part.isFile) problem = 'is a file; send it as a text field';
  else if (!isUtf8(charset)) problem = 'has a charset other than UTF-8';
  // RFC 7578, section 4.7: deprecated, and nobody decodes it; read as it is, it would be another value.
  else if (!/^(7bit|8bit|binary)$/i.test(part.transferEncoding ?? 'binary')) {
    problem = 'has a Content-Transfer-Encoding; send it as it is';
  }
  return [part.name, { bytes: part.bytes, problem }];
}

function group(pairs: readonly Pair[]): Form {
  const form = new Map<string, FieldValue[]>();
  for (const [name, value] of pairs) {
    const values = form.get(name);
    if (values) values.push(value);
    else form.set(name, [value]);
  }
  return form;
}

function unsupported(message: string): SpawnerError {
  return new SpawnerError('unsupported_media_type', message);
}

function invalid(message: string): SpawnerError {
  return new SpawnerError('field_invalid', message);
}

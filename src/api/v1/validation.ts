import type { TObject, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SpawnerError } from '../../core/errors.ts';
import { readQuery, textField } from '../form.ts';
import type { Operation } from './operation.ts';

/** The parts of a request, as they came. */
export interface RawRequest {
  /** Path and query. */
  readonly target: string;
  readonly params: unknown;
  readonly body: Buffer | undefined;
  readonly contentEncoding: string | undefined;
}

/** Checks requests against the schemas of an operation; throws SpawnerErrors that name the field. */
export function requestReader({ params, query, body }: Operation) {
  const check = { params: checker(params), query: checker(query), body: body && checker(body) };
  return (raw: RawRequest) => ({
    params: check.params(raw.params ?? {}),
    query: check.query(typedQuery(raw.target, query)),
    body: check.body ? check.body(readJson(raw)) : refuseBody(raw),
  });
}

function checker(schema: TSchema = nothing) {
  const compiled = Compile(schema);
  return (value: unknown): unknown => {
    if (!compiled.Check(value)) throw explain(compiled.Errors(value));
    return value;
  };
}

const nothing: TSchema = { type: 'object', properties: {}, additionalProperties: false };

/** A query has only texts: they become what the schema says, where they are the plain form of it. */
function typedQuery(target: string, schema: TObject | undefined): Record<string, unknown> {
  const form = readQuery(target);
  const properties = schema?.properties ?? {};
  const unknown = [...form.keys()].find((name) => !Object.hasOwn(properties, name));
  if (unknown !== undefined) throw invalid(`There is no query field ${unknown.slice(0, 100)} here`);
  return Object.fromEntries(
    [...form.keys()].map((name) => [name, typed(textField(form, name), properties[name]!)]),
  );
}

function typed(text: string, schema: TSchema): unknown {
  const { type } = schema as { type?: string };
  if (type === 'integer' && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

function readJson({ body, contentEncoding }: RawRequest): unknown {
  if (body === undefined || body.length === 0) {
    throw new SpawnerError('body_invalid', 'The body is missing: send a JSON object');
  }
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== 'identity') {
    throw new SpawnerError('unsupported_media_type', 'The body is compressed; send it as it is');
  }
  try {
    return JSON.parse(utf8.decode(body), wellFormed);
  } catch (error) {
    const why = error instanceof NotWellFormed ? 'holds half a character' : 'is not JSON in UTF-8';
    throw new SpawnerError('body_invalid', `The body ${why}`);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

class NotWellFormed extends Error {}

/** Half a surrogate pair has no UTF-8 form: two different users would become one. */
function wellFormed(key: string, value: unknown): unknown {
  if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) throw new NotWellFormed();
  return value;
}

/** Some clients send an empty object with every POST. */
function refuseBody({ body }: RawRequest): object {
  if (body !== undefined && body.length > 0 && !/^\s*\{\s*\}\s*$/.test(body.toString('latin1'))) {
    throw new SpawnerError('body_invalid', 'This call takes no body');
  }
  return {};
}

interface Violation {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** Never quotes a value: it may be a secret. */
function explain(violations: readonly Violation[]): SpawnerError {
  const unknown = violations.find(({ keyword }) => keyword === 'additionalProperties');
  const missing = violations.find(({ keyword }) => keyword === 'required');
  const [first] = violations;
  if (unknown) {
    const { additionalProperties: names } = unknown.params as { additionalProperties: string[] };
    return invalid(`There is no field ${fieldName(unknown.instancePath, names[0])}; or not of this name`);
  }
  if (missing) {
    const { requiredProperties: names } = missing.params as { requiredProperties: string[] };
    const name = fieldName(missing.instancePath, names[0]);
    return new SpawnerError('field_missing', `The field ${name} is missing`);
  }
  const name = fieldName(first?.instancePath ?? '');
  if (first?.keyword === 'pattern') return invalid(`${name} holds characters that it cannot have`);
  return invalid(`${name === '' ? 'The body' : name} ${first?.message ?? 'is not valid'}`);
}

/** `/labels/a~1b` is shown as `labels.a/b` (RFC 6901, section 4). */
function fieldName(pointer: string, last?: string): string {
  const parts = pointer.split('/').slice(1);
  const names = parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return [...names, ...(last === undefined ? [] : [last])].join('.').slice(0, 100);
}

function invalid(message: string): SpawnerError {
  return new SpawnerError('field_invalid', message);
}

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TObject, TSchema } from 'typebox';
import { type ErrorCode, errorTable } from '../../core/errors.ts';
import { scopes } from '../../core/tokens.ts';
import { problemStatus } from '../problems.ts';
import { examplesOf } from './basic-schemas.ts';
import { namedSchemas } from './openapi.ts';
import { type AnswerDescription, commonErrors, type Operation, tags, tokenErrors } from './operation.ts';
import { operations } from './operations.ts';

/** The reference page, docs/api.md, in Markdown: made from the operations and their schemas. */
export function referencePage(): string {
  return `${[
    intro,
    '## Tokens',
    tokens,
    table(
      ['scope', 'allows'],
      Object.entries(scopes).map(([name, meaning]) => [`\`${name}\``, meaning]),
    ),
    '## Errors',
    errors,
    table(['code', 'status', 'meaning'], errorRows()),
    ...Object.entries(tags).flatMap(([tag, title]) => [
      `## ${title}`,
      ...operations.filter((o) => o.tag === tag).map(describe),
    ]),
    '## Objects',
    ...Object.entries(namedSchemas).map(([name, schema]) => describeSchema(name, schema as TObject)),
  ].join('\n\n')}\n`;
}

const intro = `<!-- Made from src/api/v1 by \`node src/api/v1/reference.ts --write\`. Do not edit. -->

# API

The API listens at \`api_listen\`. The same is in \`/openapi.json\` (OpenAPI 3.1), and at \`/docs\` for browsers. A field
that is not described here is refused; fields may be added to answers at any time. The three calls of the original
service (\`/spawn\`, \`/stop\`, \`/get_container_hex\`) are on the same listener, and obey the same tokens.

\`\`\`sh
curl -X POST localhost:3000/v1/containers -H 'Content-Type: application/json' -d '{"image": "web", "user": "alice"}'
\`\`\``;

const tokens = `Once there is any token, every call needs one in \`Authorization: Bearer TOKEN\`; only \`/healthz\`, \`/readyz\`,
\`/openapi.json\` and \`/docs\`, which say nothing of containers, need none. Those of the setting \`api_tokens\` are
administrators'; others are made with \`POST /v1/tokens\` and kept as hashes. One that is bound to users sees and touches
only what is theirs: anything else is not found. Each may make as many calls a minute as \`api_rate_limit\` says. An
expired token is still one that exists: it keeps the door closed.`;

const errors = `An error is \`application/problem+json\` (RFC 9457); its \`code\` and \`type\` never change. With \`Retry-After\`, another
try is worth it then. Every call can answer ${codes(commonErrors)}, and every call with a token ${codes(tokenErrors)};
what is special to a call is named there.`;

function errorRows(): string[][] {
  return (Object.keys(errorTable) as ErrorCode[]).map((code) => [
    `\`${code}\``,
    String(problemStatus(code)),
    errorTable[code].title,
  ]);
}

function describe(operation: Operation): string {
  const { method, path, summary, description, scope, query, body, headers = [], answers } = operation;
  const lines = [
    `### ${method} ${path}`,
    [`${summary}.`, description, scope === null ? 'No token.' : `Scope: \`${scope}\`.`]
      .filter(Boolean)
      .join(' '),
  ];
  if (query) lines.push(fieldTable('query', query));
  if (headers.length > 0) lines.push(`Headers: ${headers.map((name) => `\`${name}\``).join(', ')}.`);
  if (body) lines.push(`Body: ${reference(body)}.`);
  lines.push(
    Object.entries(answers)
      .map(([status, answer]) => `- **${status}** ${answer.description} ${contentOf(answer)}`.trimEnd())
      .join('\n'),
  );
  if (operation.errors.length > 0) lines.push(`Errors: ${codes(operation.errors)}.`);
  return lines.join('\n\n');
}

function contentOf({ schema, contentType, orStream }: AnswerDescription): string {
  if (contentType === 'text/plain') return 'Text.';
  if (!schema) return '';
  if (contentType === 'text/event-stream') return `Server-sent events, each ${reference(schema)}.`;
  return `${reference(schema)}${orStream ? ', or server-sent events of it' : ''}.`;
}

function describeSchema(name: string, schema: TObject): string {
  const { description } = schema as { description?: string };
  const [example] = examplesOf(schema);
  return [
    `### ${name}`,
    ...(description === undefined ? [] : [description]),
    fieldTable('field', schema),
    ...(example === undefined ? [] : [`\`\`\`json\n${JSON.stringify(example, null, 2)}\n\`\`\``]),
  ].join('\n\n');
}

function fieldTable(kind: string, schema: TObject): string {
  const required = (schema as { required?: readonly string[] }).required ?? [];
  const rows = Object.entries(schema.properties).map(([name, property]) => [
    `\`${name}\``,
    typeOf(property) + (required.includes(name) ? '' : ', optional'),
    (property as { description?: string }).description ?? '',
  ]);
  return table([kind, 'type', 'meaning'], rows);
}

interface SchemaLike {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly TSchema[];
  readonly items?: TSchema;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly minimum?: number;
  readonly maximum?: number;
}

function typeOf(schema: TSchema): string {
  const known = nameOf(schema);
  if (known !== undefined) return link(known);
  const { type, enum: words, anyOf, items, format, properties, minimum, maximum } = schema as SchemaLike;
  if (words) return words.map((word) => `\`${word}\``).join(', ');
  if (anyOf) return anyOf.map(typeOf).join(' or ');
  if (items) return `list of ${typeOf(items)}`;
  if (properties) return `{${Object.keys(properties).join(', ')}}`;
  if (format === 'date-time') return 'time (RFC 3339)';
  if (minimum !== undefined && maximum !== undefined) return `${type}, ${minimum} to ${maximum}`;
  return type ?? 'anything';
}

function reference(schema: TSchema): string {
  const name = nameOf(schema);
  return name === undefined ? typeOf(schema) : link(name);
}

function link(name: string): string {
  return `[${name}](#${name.toLowerCase()})`;
}

function nameOf(schema: TSchema): string | undefined {
  return Object.entries(namedSchemas).find(([, named]) => named === schema)?.[0];
}

function codes(list: readonly ErrorCode[]): string {
  return list.map((code) => `\`${code}\``).join(', ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main && process.argv.includes('--write')) {
  writeFileSync(fileURLToPath(new URL('../../../docs/api.md', import.meta.url)), referencePage());
}

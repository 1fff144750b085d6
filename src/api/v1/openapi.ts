import type { TObject, TSchema } from 'typebox';
import { type ErrorCode, errorTable, SpawnerError } from '../../core/errors.ts';
import { scopes } from '../../core/tokens.ts';
import { problemOf, problemStatus } from '../problems.ts';
import { exampleId, examplesOf, health, problem } from './basic-schemas.ts';
import { container, containerChange, containerPage, spawnRequest } from './container-schemas.ts';
import { type AnswerDescription, errorsOf, type Operation, tags } from './operation.ts';
import { newToken, token, tokenList, tokenRequest } from './token-schemas.ts';
import {
  event,
  historyEntry,
  historyPage,
  image,
  imageList,
  queue,
  stats,
  userAnswer,
} from './view-schemas.ts';

type Json = Record<string, unknown>;

/** Schemas that have a name in the document; it is that of their type in clients, too. */
export const namedSchemas: Readonly<Record<string, TSchema>> = {
  Container: container,
  ContainerPage: containerPage,
  ContainerRequest: spawnRequest,
  ContainerChange: containerChange,
  ContainerEvent: event,
  ContainerStats: stats,
  Image: image,
  ImageList: imageList,
  User: userAnswer,
  HistoryEntry: historyEntry,
  HistoryPage: historyPage,
  Queue: queue,
  Token: token,
  TokenList: tokenList,
  TokenRequest: tokenRequest,
  NewToken: newToken,
  Health: health,
  Problem: problem,
};

/** The OpenAPI 3.1 document of these operations. */
export function openApiDocument(operations: readonly Operation[]): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const path = paths[operation.path] ?? {};
    paths[operation.path] = path;
    path[operation.method.toLowerCase()] = describeOperation(operation);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Docker Spawner',
      version: '1.0.0',
      summary: 'A container of their own for each user, on a subdomain of its own.',
      description: introduction,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'where this document came from' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(namedSchemas).map(([name, schema]) => [name, component(schema)]),
      ),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token with the scope that the call names.' },
      },
    },
  };
}

const introduction = `Every call needs a token once there is any, except those that say otherwise. A token has scopes:
${Object.entries(scopes)
  .map(([name, meaning]) => `\`${name}\` (${meaning})`)
  .join(', ')}. One that is bound to users sees and touches only what is theirs; anything else is not found.

A field that is not described is refused. Errors are \`application/problem+json\` (RFC 9457), and their \`code\` never
changes. Fields may be added to answers at any time.`;

function describeOperation(operation: Operation): Json {
  const { id, tag, summary, description, scope, params, query, body, headers = [], answers } = operation;
  const parameters = [
    ...describeParameters('path', params),
    ...describeParameters('query', query),
    ...headers.map((name) => requestHeaders[name]),
  ];
  const needs = scope === null ? '' : `Scope: \`${scope}\`.`;
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: [description, needs].filter(Boolean).join(' ') || summary,
    security: scope === null ? [] : [{ token: [] }],
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { required: true, content: { 'application/json': media(body) } } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer)]),
      ),
      ...describeErrors(errorsOf(operation)),
    },
  };
}

const requestHeaders = {
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'The same key gives the same container, for a day: for calls whose answer was lost.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-+\\--~]+$' },
    example: '7d1a2c52-order-1234',
  },
  'Last-Event-ID': {
    name: 'Last-Event-ID',
    in: 'header',
    description: 'The id of the last event that the caller has.',
    schema: { type: 'string', pattern: '^[0-9]{0,15}$' },
    example: '0',
  },
} as const;

function describeParameters(where: 'path' | 'query', schema: TObject | undefined): Json[] {
  if (!schema) return [];
  const required = (schema as { required?: readonly string[] }).required ?? [];
  return Object.entries(schema.properties).map(([name, property]) => {
    const { description, examples: _examples, ...rest } = documented(property) as Json;
    const example = name === 'id' ? exampleId : examplesOf(property)[0];
    return {
      name,
      in: where,
      required: required.includes(name),
      description,
      schema: rest,
      ...(example !== undefined && { example }),
    };
  });
}

function describeAnswer({ description, schema, contentType, orStream, location }: AnswerDescription): Json {
  const content: Json = {};
  if (contentType === 'text/plain') content[contentType] = { schema: { type: 'string' } };
  else if (contentType === 'text/event-stream') content[contentType] = stream(schema);
  else if (schema) content['application/json'] = media(schema);
  if (orStream) content['text/event-stream'] = stream(schema);
  return {
    description,
    ...(location && {
      headers: { Location: { description: 'Where it is.', schema: { type: 'string' }, required: true } },
    }),
    ...(Object.keys(content).length > 0 && { content }),
  };
}

function media(schema: TSchema): Json {
  const examples = examplesOf(schema).map((value, n) => [`example${n + 1}`, { value }]);
  return {
    schema: documented(schema),
    ...(examples.length > 0 && { examples: Object.fromEntries(examples) }),
  };
}

/** OpenAPI 3.1 has no word for events: the schema is that of the JSON in each `data` field. */
function stream(schema: TSchema | undefined): Json {
  const name = schema && nameOf(schema);
  return {
    schema: {
      type: 'string',
      description: `Server-sent events; \`data\` of each is a \`${name}\` as JSON.`,
      ...(schema && { contentMediaType: 'application/json', contentSchema: documented(schema) }),
    },
  };
}

function describeErrors(codes: readonly ErrorCode[]): Json {
  const byStatus = Map.groupBy(codes, problemStatus);
  const entries = [...byStatus].sort(([a], [b]) => a - b);
  return Object.fromEntries(entries.map(([status, group]) => [status, describeStatus(status, group)]));
}

function describeStatus(status: number, codes: readonly ErrorCode[]): Json {
  const exampleOf = (code: ErrorCode) =>
    problemOf(new SpawnerError(code, errorTable[code].title), '5f0c9a1be372');
  const headers = {
    ...(status === 401 && {
      'WWW-Authenticate': { description: 'How to send a token.', schema: { type: 'string' } },
    }),
    ...([409, 429, 503].includes(status) && {
      'Retry-After': { description: 'Seconds, where another try is worth it.', schema: { type: 'integer' } },
    }),
  };
  return {
    description: codes.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join(' '),
    ...(Object.keys(headers).length > 0 && { headers }),
    content: {
      'application/problem+json': {
        schema: documented(problem),
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code) }])),
      },
    },
  };
}

function nameOf(schema: unknown): string | undefined {
  return Object.entries(namedSchemas).find(([, named]) => named === schema)?.[0];
}

/** The schema with references in the place of what has a name. */
function documented(schema: unknown): unknown {
  const name = nameOf(schema);
  return name === undefined ? withinOf(schema, documented) : { $ref: `#/components/schemas/${name}` };
}

/** A schema with a name. That of an answer is open: clients must not fail at a field of a later version. */
function component(schema: TSchema): unknown {
  const isRequest = [spawnRequest, containerChange, tokenRequest].some((request) => request === schema);
  const open = (inner: unknown): unknown => {
    const name = nameOf(inner);
    return name === undefined ? withoutClosing(withinOf(inner, open)) : documented(inner);
  };
  return isRequest ? withinOf(schema, documented) : withoutClosing(withinOf(schema, open));
}

function withoutClosing(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null || !('additionalProperties' in schema)) return schema;
  const { additionalProperties: _closed, ...open } = schema;
  return open;
}

/** The same with all that is directly in it put through `change`. */
function withinOf(schema: unknown, change: (inner: unknown) => unknown): unknown {
  if (Array.isArray(schema)) return schema.map(change);
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, change(value)]));
}

import { type Static, type TSchema, Type } from 'typebox';

/**
 * What the schemas have in common. What goes in and out of the API is declared once, in the files named
 * `...-schemas.ts`: validation, the OpenAPI document, the types and the reference page are made from there.
 */

/** The id that examples speak of. */
export const exampleId = '3f2b8c1d4e5a69708192a3b4c5d6e7f8';
/** The time of the examples. */
export const exampleTime = '2026-05-04T12:00:00.000Z';

/** An object that takes no other fields than these. */
export function closed<const P extends Record<string, TSchema>>(properties: P, options: object = {}) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

export const time = (description: string) => Type.String({ format: 'date-time', description });
export const orNull = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description });
export const list = <T extends TSchema>(items: T) =>
  closed({ items: Type.Array(items) }, { examples: [{ items: examplesOf(items) }] });
export const page = <T extends TSchema>(items: T) =>
  closed(
    {
      items: Type.Array(items),
      next_cursor: orNull(Type.String(), '`cursor` of the next page; null: there is none'),
    },
    { examples: [{ items: examplesOf(items), next_cursor: null }] },
  );

export function examplesOf(schema: TSchema): readonly unknown[] {
  return (schema as { examples?: readonly unknown[] }).examples ?? [];
}

/** A user as callers name one. Its 256 bytes are counted apart: JSON Schema counts characters. */
export const user = Type.String({
  minLength: 1,
  maxLength: 256,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: 'whose container it is: any text of 1 to 256 bytes without control characters',
  examples: ['alice'],
});

export const imageKey = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  description: 'the key of an image entry',
  examples: ['web'],
});

export const reason = Type.Enum(['asked', 'expired', 'idle', 'exited', 'failed', 'lost'] as const);

export const health = closed({ status: Type.Enum(['ok'] as const) }, { examples: [{ status: 'ok' }] });

export const problem = closed(
  {
    type: Type.String({ format: 'uri', description: 'a name for the kind of problem; it never changes' }),
    title: Type.String({ description: 'the kind of problem in words' }),
    status: Type.Integer({ description: 'the status of the answer' }),
    code: Type.String({ description: 'the kind of problem, for programs' }),
    detail: Type.String({ description: 'what is wrong this time, and what to do' }),
    request_id: Type.String({ description: 'finds the request in the log of the service' }),
    retry_after: Type.Optional(
      Type.Integer({ description: 'seconds after which another try is worth it, as in `Retry-After`' }),
    ),
  },
  { description: 'Why a call failed (RFC 9457).' },
);
export type ProblemAnswer = Static<typeof problem>;

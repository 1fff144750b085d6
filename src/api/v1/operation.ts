import type { Static, TObject, TSchema } from 'typebox';
import type { Commands } from '../../core/commands.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Caller, Scope, Tokens } from '../../core/tokens.ts';
import type { Views } from '../../core/views.ts';

/** What the operations act through, and a few facts for their answers. */
export interface V1Parts {
  readonly commands: Omit<Commands, 'spawn' | 'newestOf'>;
  readonly views: Views;
  readonly tokens: Tokens;
  readonly withUsers: boolean;
  readonly userLimit: number;
  /** What runs containers, as answers name it. */
  readonly engineName: string;
  /** The address of a container as a browser reaches it, without a slash at the end. */
  readonly urlOf: (id: string) => string;
  /** How often a stream of events says that it is still there. */
  readonly heartbeatMs: number;
}

/** A call that was let in, and whose parts are of their schemas. */
export interface V1Call<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
  readonly idempotencyKey: string | null;
  readonly lastEventId: string | null;
  /** Fires when the client has gone, or the service is about to end. */
  readonly signal: AbortSignal;
}

/** What is answered: a body as JSON, nothing, or a stream. */
export interface V1Answer {
  readonly status: 200 | 201 | 202 | 204;
  readonly body?: unknown;
  readonly location?: string;
  /**
   * Writes the body until it resolves; where it rejects before anything was written, its error is answered. `write`
   * resolves when the client can take more, and rejects when it has gone.
   */
  readonly stream?: (write: (text: string) => Promise<void>) => Promise<void>;
}

/** One thing that the API does: all that a document, a check and a route of it are made from. */
export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** As OpenAPI writes it, `/v1/containers/{id}`. */
  readonly path: string;
  readonly tag: keyof typeof tags;
  readonly summary: string;
  readonly description?: string;
  /** null: whoever reaches the service may call it, with no token. */
  readonly scope: Scope | null;
  readonly params?: TObject;
  readonly query?: TObject;
  readonly body?: TObject;
  /** Request fields that it reads. */
  readonly headers?: readonly ('Idempotency-Key' | 'Last-Event-ID')[];
  readonly answers: Readonly<Partial<Record<V1Answer['status'], AnswerDescription>>>;
  /** Codes beside those that every call can get. */
  readonly errors: readonly ErrorCode[];
  readonly handle: (call: V1Call<unknown, unknown, unknown>, parts: V1Parts) => Promise<V1Answer> | V1Answer;
}

export interface AnswerDescription {
  readonly description: string;
  readonly schema?: TSchema;
  /** Other types than JSON; a stream of events holds `schema` in the `data` of each. */
  readonly contentType?: 'text/plain' | 'text/event-stream';
  /** Where more than one type can be answered, by the query. */
  readonly orStream?: boolean;
  readonly location?: boolean;
}

/** The errors that every call can get. */
export const commonErrors = [
  'field_invalid',
  'body_invalid',
  'forbidden_origin',
  'misdirected',
  'internal',
  'shutting_down',
] as const satisfies readonly ErrorCode[];

/** Those of every call that needs a token, once there is any. */
export const tokenErrors = [
  'unauthorized',
  'forbidden',
  'rate_limited',
] as const satisfies readonly ErrorCode[];

/** All errors of an operation, those that every call can get among them. */
export function errorsOf({ errors, scope }: Pick<Operation, 'errors' | 'scope'>): ErrorCode[] {
  // What asks nobody anything cannot go wrong inside.
  const asksNobody = scope === null && errors.length === 0;
  return [
    ...errors,
    ...commonErrors.filter((code) => !(asksNobody && code === 'internal')),
    ...(scope === null ? [] : tokenErrors),
  ];
}

/** The groups of the reference page, in their order. */
export const tags = {
  containers: 'Asking for containers, and what can be done with one',
  output: 'What containers write, use and do',
  overview: 'What can be run, who has what, what waits and what was',
  tokens: 'Who may call',
  service: 'How the service is',
} as const;

/** Declares an operation whose handler gets what its schemas say. */
export function operation<
  P extends TObject = TObject<Record<never, never>>,
  Q extends TObject = TObject<Record<never, never>>,
  B extends TObject = TObject<Record<never, never>>,
>(
  definition: Omit<Operation, 'handle' | 'params' | 'query' | 'body'> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly handle: (
      call: V1Call<Static<P>, Static<Q>, Static<B>>,
      parts: V1Parts,
    ) => Promise<V1Answer> | V1Answer;
  },
): Operation {
  // The router calls it with nothing that was not checked against these schemas.
  return definition as unknown as Operation;
}

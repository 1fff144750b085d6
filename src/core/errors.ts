/**
 * Every error that a caller can get, declared once: a stable code, the HTTP status, and whether trying again
 * later can help. The API turns them into plain text or problem+json; the reference page is made from here.
 */
export const errorTable = {
  field_missing: { status: 400, title: 'A required field is missing' },
  field_invalid: { status: 400, title: 'A field has a value that is not allowed' },
  body_invalid: { status: 400, title: 'The request body cannot be read' },
  not_allowed: { status: 400, title: 'The image entry does not let callers decide this' },
  unknown_image: { status: 400, title: 'There is no image entry with this key' },
  unknown_container: { status: 400, title: 'There is no container with this id' },
  unauthorized: { status: 401, title: 'A valid token is needed' },
  forbidden: { status: 403, title: 'The token does not allow this call' },
  forbidden_origin: { status: 403, title: 'A page of this origin may not call the API' },
  users_off: { status: 404, title: 'Containers are not coupled to users here' },
  no_container: { status: 404, title: 'The user has no container' },
  unknown_token: { status: 404, title: 'There is no token with this id' },
  not_found: { status: 404, title: 'There is nothing at this address' },
  method_not_allowed: { status: 405, title: 'This address does not take this method' },
  no_place: { status: 409, title: 'All places are taken' },
  user_limit: { status: 409, title: 'The user has as many containers as allowed' },
  container_gone: { status: 409, title: 'The container of this key has ended' },
  not_extendable: { status: 409, title: 'The deadline cannot be moved that far' },
  wrong_phase: { status: 409, title: 'The container is in a phase in which this cannot be done' },
  body_too_large: { status: 413, title: 'The request body is too large' },
  unsupported_media_type: { status: 415, title: 'The request body has a type that is not read here' },
  misdirected: { status: 421, title: 'The API does not answer for this host name' },
  key_reused: { status: 422, title: 'The Idempotency-Key came with another request before' },
  queue_full: { status: 429, title: 'Too many requests wait for the engine' },
  rate_limited: { status: 429, title: 'The token has made too many calls' },
  internal: { status: 500, title: 'Something went wrong in the service' },
  on_claim_failed: { status: 500, title: 'The set-up of the container for its user failed' },
  engine_failed: { status: 500, title: 'The engine could not do what was asked' },
  image_missing: { status: 500, title: 'The image is not there and could not be pulled' },
  exited_early: { status: 500, title: 'The container ended before it was ready' },
  stopped_early: { status: 500, title: 'The container was stopped before it was ready' },
  ledger_failed: { status: 503, title: 'The service cannot write to its ledger' },
  port_lost: { status: 503, title: 'Another program has taken the port of the sleeping container' },
  engine_unavailable: { status: 503, title: 'The engine does not answer' },
  shutting_down: { status: 503, title: 'The service is about to stop' },
  not_ready: { status: 504, title: 'The container did not become ready in time' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof errorTable;

/** An error with a code of the table and a sentence that a person can act on. Never holds secrets (rule 12). */
export class SpawnerError extends Error {
  override readonly name = 'SpawnerError';
  readonly code: ErrorCode;
  /** When another try is worth it, in seconds. */
  readonly retryAfterS: number | null;

  constructor(code: ErrorCode, message: string, options: { retryAfterS?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryAfterS = options.retryAfterS ?? null;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

/** Nothing could be committed: the caller hears of it, and nothing was begun. */
export function ledgerFailed(cause: unknown): SpawnerError {
  return new SpawnerError('ledger_failed', 'the service cannot write to its ledger; its log says why', {
    retryAfterS: 30,
    cause,
  });
}

import type { FastifyReply } from 'fastify';
import { SpawnerError } from '../core/errors.ts';
import type { RateLimit } from '../core/rate-limit.ts';
import type { Caller, Identity, Tokens } from '../core/tokens.ts';
import type { Access } from './routes.ts';

/**
 * Who calls, where they may. Throws SpawnerError `unauthorized`, `rate_limited` and `forbidden`, in this order, so
 * that nobody learns by trying what a token could do that they do not have.
 */
export function admitCaller(
  authorization: string | undefined,
  access: Exclude<Access, null>,
  using: { readonly tokens: Tokens; readonly rateLimit: RateLimit; readonly reply: FastifyReply },
): Caller {
  const identity = using.tokens.identify(bearerToken(authorization));
  if (identity.kind !== 'known') throw unauthorized(identity.kind, using.reply);
  const { caller } = identity;
  const retryAfterS = caller.key === null ? null : using.rateLimit.take(caller.key);
  if (retryAfterS !== null) {
    const message = 'This token has made too many calls; slow down, or raise api_rate_limit';
    throw new SpawnerError('rate_limited', message, { retryAfterS });
  }
  if (access.scope !== null && !caller.scopes.has(access.scope)) {
    throw new SpawnerError('forbidden', `This call needs a token with the scope ${access.scope}`);
  }
  if (access.ofAll && caller.users !== null) {
    throw new SpawnerError('forbidden', 'This call needs a token that is not bound to users');
  }
  return caller;
}

/** The token of an Authorization field (RFC 6750, section 2.1). */
function bearerToken(authorization: string | undefined): Buffer | null {
  const token = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  // Node gives header bytes one by one (latin1); a token outside ASCII was configured as UTF-8.
  return token === undefined ? null : Buffer.from(token, 'latin1');
}

/** RFC 6750, section 3: the error attribute only where a token was given. */
function unauthorized(kind: Exclude<Identity['kind'], 'known'>, reply: FastifyReply): SpawnerError {
  const challenge = 'Bearer realm="docker-spawner"';
  reply.header('www-authenticate', kind === 'missing' ? challenge : `${challenge}, error="invalid_token"`);
  const messages = {
    missing:
      'A token is needed: send the header "Authorization: Bearer TOKEN" with one of api_tokens, or of those made with them',
    wrong: 'The token is not one of api_tokens, nor of those made with them',
    expired: 'The token has expired; ask for another one',
  };
  return new SpawnerError('unauthorized', messages[kind]);
}

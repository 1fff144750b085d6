import { Type } from 'typebox';
import { SpawnerError } from '../../core/errors.ts';
import { checkUser } from '../fields.ts';
import { closed } from './basic-schemas.ts';
import { operation } from './operation.ts';
import { presentToken } from './present.ts';
import { newToken, tokenList, tokenRequest } from './token-schemas.ts';

export const tokenOperations = [
  operation({
    id: 'createToken',
    method: 'POST',
    path: '/v1/tokens',
    tag: 'tokens',
    summary: 'Make a token',
    description:
      'Its secret is in this answer and nowhere else: the service keeps a hash of it. From the first token on, every call needs one.',
    scope: 'admin',
    body: tokenRequest,
    answers: { 201: { description: 'The token, with its secret.', schema: newToken, location: true } },
    errors: ['field_missing', 'body_too_large', 'unsupported_media_type', 'ledger_failed'],
    handle({ body }, { tokens, withUsers }) {
      const { name, scopes, users = null, expires_at: expiresAt } = body;
      if (users !== null && !withUsers) throw invalid('users: containers are not coupled to users here');
      if (users !== null && scopes.includes('admin')) {
        throw invalid('A token with the scope admin cannot be bound to users: it could make itself another');
      }
      const expiresAtMs = expiresAt === undefined ? null : Date.parse(expiresAt);
      if (expiresAtMs !== null && expiresAtMs <= Date.now()) throw invalid('expires_at has passed');
      const { token, secret } = tokens.create({
        name,
        scopes,
        users: users?.map((user) => checkUser('users', user)) ?? null,
        expiresAtMs,
      });
      return {
        status: 201,
        location: `/v1/tokens/${token.id}`,
        body: { ...presentToken(token), secret },
      };
    },
  }),

  operation({
    id: 'listTokens',
    method: 'GET',
    path: '/v1/tokens',
    tag: 'tokens',
    summary: 'List the tokens that were made, without their secrets',
    description: 'Those of `api_tokens` are not among them.',
    scope: 'admin',
    answers: { 200: { description: 'The tokens.', schema: tokenList } },
    errors: [],
    handle: (_call, { tokens }) => ({ status: 200, body: { items: tokens.list().map(presentToken) } }),
  }),

  operation({
    id: 'removeToken',
    method: 'DELETE',
    path: '/v1/tokens/{token}',
    tag: 'tokens',
    summary: 'Take a token away',
    description: 'From now on it is good for nothing. What was asked for with it lives on.',
    scope: 'admin',
    params: closed({
      token: Type.String({ minLength: 1, maxLength: 100, description: 'the id of a token, not its secret' }),
    }),
    answers: { 204: { description: 'It is gone.' } },
    errors: ['unknown_token', 'ledger_failed'],
    handle({ params }, { tokens }) {
      tokens.remove(params.token);
      return { status: 204 };
    },
  }),
];

function invalid(message: string): SpawnerError {
  return new SpawnerError('field_invalid', message);
}

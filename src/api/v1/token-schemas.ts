import { type Static, Type } from 'typebox';
import { type Scope, scopes } from '../../core/tokens.ts';
import { closed, exampleTime, list, orNull, time, user } from './basic-schemas.ts';

const exampleTokenId = '9c1e5a77b0d2';

const tokenFields = {
  name: Type.String({ minLength: 1, maxLength: 128, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' }),
  scopes: Type.Array(Type.Enum(Object.keys(scopes) as Scope[]), { minItems: 1, uniqueItems: true }),
};

export const tokenRequest = closed(
  {
    ...tokenFields,
    users: Type.Optional(
      Type.Array(user, {
        minItems: 1,
        maxItems: 100,
        uniqueItems: true,
        description: 'whose containers it sees and touches; left out: everybody’s',
      }),
    ),
    expires_at: Type.Optional(time('until when it can be used; left out: for ever')),
  },
  {
    description: 'A token to make.',
    examples: [
      { name: 'ci', scopes: ['spawn', 'read'], users: ['alice'] },
      { name: 'dashboard', scopes: ['read'] },
    ],
  },
);
export type TokenRequestBody = Static<typeof tokenRequest>;

const tokenAnswerFields = {
  id: Type.String(),
  ...tokenFields,
  users: orNull(Type.Array(Type.String()), 'whose containers it sees and touches; null: everybody’s'),
  created_at: time('when it was made'),
  expires_at: orNull(Type.String({ format: 'date-time' }), 'null: never'),
  last_used_at: orNull(Type.String({ format: 'date-time' }), 'null: never'),
};
const exampleToken = {
  id: exampleTokenId,
  name: 'ci',
  scopes: ['spawn', 'read'],
  users: ['alice'],
  created_at: exampleTime,
  expires_at: null,
  last_used_at: null,
};

export const token = closed(tokenAnswerFields, {
  description: 'A token, without its secret.',
  examples: [exampleToken],
});
export type TokenAnswer = Static<typeof token>;
export const tokenList = list(token);

export const newToken = closed(
  { ...tokenAnswerFields, secret: Type.String({ description: 'what to send; it is told once, now' }) },
  {
    description: 'A token that was just made.',
    examples: [{ ...exampleToken, secret: `dsp_${exampleTokenId}_THE-SECRET-IS-TOLD-ONCE` }],
  },
);
export type NewTokenAnswer = Static<typeof newToken>;

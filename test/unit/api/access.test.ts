import type { FastifyReply } from 'fastify';
import { describe, expect, test } from 'vitest';
import { admitCaller } from '../../../src/api/access.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { createRateLimit } from '../../../src/core/rate-limit.ts';
import { memoryTokens } from '../../support/memory-tokens.ts';

const reply = { header: () => {} } as unknown as FastifyReply;
const rateLimit = createRateLimit(systemClock, 0);

/** The code of the refusal, or `ok`. */
function ask(authorization: string | undefined, ...secrets: string[]): string {
  try {
    admitCaller(authorization, { scope: 'read' }, { tokens: memoryTokens(...secrets), rateLimit, reply });
    return 'ok';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the token check', () => {
  const secrets = ['first', 'second', 'grüße'];

  test('asks for nothing where there is no token at all', () => {
    expect(ask(undefined)).toBe('ok');
    expect(ask('Bearer whatever')).toBe('ok');
  });

  test('accepts each of the tokens, whatever the case of the scheme', () => {
    expect(ask('Bearer first', ...secrets)).toBe('ok');
    expect(ask('bEARER  second', ...secrets)).toBe('ok');
    expect(ask(`Bearer ${Buffer.from('grüße').toString('latin1')}`, ...secrets)).toBe('ok');
  });

  test.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Basic first',
    'first',
    'Bearerfirst',
    'Bearer first second',
  ])('calls %j a missing token', (field) => {
    expect(ask(field, ...secrets)).toContain('A token is needed');
  });

  test.each(['Bearer FIRST', 'Bearer firs', 'Bearer firstt', 'Bearer third'])(
    'calls %j a wrong token',
    (field) => {
      expect(ask(field, ...secrets)).toContain('not one of api_tokens');
    },
  );
});

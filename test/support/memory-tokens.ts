import { systemClock } from '../../src/core/clock.ts';
import { createTokens, type StoredToken, type Tokens } from '../../src/core/tokens.ts';

/** Tokens that are kept nowhere; these secrets are administrators'. */
export function memoryTokens(...administrators: string[]): Tokens {
  const kept = new Map<string, StoredToken>();
  return createTokens({
    ledger: {
      list: () => [...kept.values()],
      add: (token) => void kept.set(token.id, token),
      remove: (id) => void kept.delete(id),
      noteUses() {},
    },
    administrators,
    clock: systemClock,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

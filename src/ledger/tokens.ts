import type { DatabaseSync } from 'node:sqlite';
import type { Scope, StoredToken, TokenLedger } from '../core/tokens.ts';
import { numberOrNull, textOrNull } from './rows.ts';

/** The tokens of the API in the ledger's database. `commit` runs its work in one transaction. */
export function createTokenLedger(db: DatabaseSync, commit: (work: () => void) => void): TokenLedger {
  const all = db.prepare('SELECT * FROM api_tokens ORDER BY created_at_ms, id');
  const insert = db.prepare(
    `INSERT INTO api_tokens (id, name, digest, scopes, users, created_at_ms, expires_at_ms, last_used_at_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const remove = db.prepare('DELETE FROM api_tokens WHERE id = ?');
  const setUsed = db.prepare('UPDATE api_tokens SET last_used_at_ms = ? WHERE id = ?');

  return {
    list: () => all.all().map(toToken),
    add: (token) =>
      commit(() => {
        insert.run(
          token.id,
          token.name,
          token.digest,
          JSON.stringify(token.scopes),
          token.users && JSON.stringify(token.users),
          token.createdAtMs,
          token.expiresAtMs,
          token.lastUsedAtMs,
        );
      }),
    remove: (id) => commit(() => void remove.run(id)),
    noteUses: (uses) =>
      commit(() => {
        for (const [id, atMs] of uses) setUsed.run(atMs, id);
      }),
  };
}

function toToken(row: Record<string, unknown>): StoredToken {
  const users = textOrNull(row.users);
  return {
    id: String(row.id),
    name: String(row.name),
    digest: Buffer.from(row.digest as Uint8Array),
    scopes: JSON.parse(String(row.scopes)) as Scope[],
    users: users === null ? null : (JSON.parse(users) as string[]),
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: numberOrNull(row.expires_at_ms),
    lastUsedAtMs: numberOrNull(row.last_used_at_ms),
  };
}

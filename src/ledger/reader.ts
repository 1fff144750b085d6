import type { Ledger } from '../core/ledger.ts';
import { type Statements, toEvent, toHistory } from './rows.ts';

/** What only reads. `keysSinceMs`: idempotency keys from before then no longer count. */
export function createReader(
  sql: Statements,
  keysSinceMs: () => number,
): Pick<Ledger, 'idempotent' | 'events' | 'history'> {
  return {
    idempotent(key) {
      const row = sql.findKey.get(key, Math.floor(keysSinceMs()));
      return row ? { fingerprint: String(row.fingerprint), containerId: String(row.container_id) } : null;
    },
    events: (afterId, limit) => sql.eventsAfter.all(afterId, limit).map(toEvent),
    history({ user, beforeMs = Number.MAX_SAFE_INTEGER, limit }) {
      const rows =
        user === undefined ? sql.history.all(beforeMs, limit) : sql.historyOf.all(user, beforeMs, limit);
      return rows.map(toHistory);
    },
  };
}

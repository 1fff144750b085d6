import type { Ledger } from '../core/ledger.ts';
import { type Statements, toEvent, toHistory } from './rows.ts';

/** What only reads. `keysSinceMs`: idempotency keys from before then no longer count. */
export function createReader(
  sql: Statements,
  keysSinceMs: () => number,
): Pick<Ledger, 'idempotent' | 'events' | 'newestEvent' | 'history' | 'ended'> {
  return {
    idempotent(key) {
      const row = sql.findKey.get(key, Math.floor(keysSinceMs()));
      return row ? { fingerprint: String(row.fingerprint), containerId: String(row.container_id) } : null;
    },
    events: (afterId, limit) => sql.eventsAfter.all(afterId, limit).map(toEvent),
    newestEvent: () => Number(sql.newestEvent.get()?.seq ?? 0),
    history({ users, imageKey, after, limit }) {
      const rows = sql.history.all({
        endedAtMs: after?.endedAtMs ?? Number.MAX_SAFE_INTEGER,
        id: after?.id ?? '',
        users: users ? JSON.stringify(users) : null,
        imageKey: imageKey ?? null,
        limit,
      });
      return rows.map(toHistory);
    },
    ended(id) {
      const row = sql.ended.get(id);
      return row ? toHistory(row) : null;
    },
  };
}

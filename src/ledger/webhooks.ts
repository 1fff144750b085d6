import type { DatabaseSync } from 'node:sqlite';
import type { BuriedDelivery, WaitingDelivery, WebhookLedger } from '../core/webhooks.ts';
import { toEvent } from './rows.ts';

/** How many deliveries that were given up are kept, over all targets. */
const deadKept = 10_000;

/** What waits for webhooks, in the ledger's database. `commit` runs its work in one transaction. */
export function createWebhookLedger(db: DatabaseSync, commit: (work: () => void) => void): WebhookLedger {
  const sql = statements(db);

  function countAndDrop(key: string): number {
    const count = Number(sql.countWaiting.get(key)!.n);
    sql.dropTarget.run(key);
    sql.dropDeliveries.run(key);
    return count;
  }

  return {
    setTargets(keys) {
      let dropped = 0;
      commit(() => {
        const known = sql.targets.all().map((row) => String(row.key));
        for (const key of known) if (!keys.includes(key)) dropped += countAndDrop(key);
        for (const key of keys) sql.addTarget.run(key);
      });
      return dropped;
    },

    take(wanted, limit) {
      const waiting: WaitingDelivery[] = [];
      const refused = new Map<string, number>();
      let more = false;
      commit(() => {
        for (const { key, kinds, refusal } of wanted) {
          const cursor = Number(sql.cursor.get(key)?.cursor ?? 0);
          const { last, n } = sql.next.get(cursor, limit)!;
          if (last === null) continue;
          more ||= Number(n) === limit;
          const range = { key, after: cursor, last: Number(last), kinds: JSON.stringify(kinds) };
          const rows = sql.take.all({
            ...range,
            error: refusal?.error ?? null,
            deadAt: refusal?.atMs ?? null,
          });
          sql.moveCursor.run(Number(last), key);
          if (refusal) {
            refused.set(key, rows.length);
            sql.pruneDead.run(deadKept);
          } else waiting.push(...rows.map(toWaiting));
        }
      });
      return { waiting, refused, more };
    },

    waiting: (key, afterEventId, limit) => sql.waiting.all(key, afterEventId, limit).map(toWaiting),

    event(key, eventId) {
      const row = sql.event.get(key, eventId);
      return row ? toEvent({ ...row, id: row.event_id }) : null;
    },

    delivered: (key, eventId) => commit(() => void sql.remove.run(key, eventId)),

    failed: (key, eventId, { error, notBeforeMs }) =>
      commit(() => void sql.fail.run(error, Math.ceil(notBeforeMs), key, eventId)),

    bury: (key, eventId, { error, atMs }) =>
      commit(() => {
        sql.bury.run(error, Math.floor(atMs), key, eventId);
        sql.pruneDead.run(deadKept);
      }),

    dead: (limit) => sql.dead.all(limit).map(toBuried),
  };
}

function statements(db: DatabaseSync) {
  return {
    targets: db.prepare('SELECT key FROM webhook_targets'),
    // The sequence, and not the table: events may all have been pruned.
    addTarget: db.prepare(
      `INSERT OR IGNORE INTO webhook_targets (key, cursor)
         SELECT ?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)`,
    ),
    countWaiting: db.prepare(
      'SELECT count(*) AS n FROM webhook_deliveries WHERE key = ? AND dead_at_ms IS NULL',
    ),
    dropTarget: db.prepare('DELETE FROM webhook_targets WHERE key = ?'),
    dropDeliveries: db.prepare('DELETE FROM webhook_deliveries WHERE key = ?'),
    cursor: db.prepare('SELECT cursor FROM webhook_targets WHERE key = ?'),
    moveCursor: db.prepare('UPDATE webhook_targets SET cursor = ? WHERE key = ?'),
    next: db.prepare(
      'SELECT max(id) AS last, count(*) AS n FROM (SELECT id FROM events WHERE id > ? ORDER BY id LIMIT ?)',
    ),
    take: db.prepare(
      `INSERT INTO webhook_deliveries
         (key, event_id, at_ms, container_id, image_key, user, kind, data, error, dead_at_ms)
         SELECT :key, id, at_ms, container_id, image_key, user, kind, data, :error, :deadAt FROM events
         WHERE id > :after AND id <= :last AND kind IN (SELECT value FROM json_each(:kinds))
           AND json_extract(data, '$.warm') IS NULL
         ORDER BY id RETURNING *`,
    ),
    waiting: db.prepare(
      `SELECT key, event_id, container_id, at_ms, attempts, not_before_ms FROM webhook_deliveries
         WHERE key = ? AND event_id > ? AND dead_at_ms IS NULL ORDER BY event_id LIMIT ?`,
    ),
    event: db.prepare(
      'SELECT * FROM webhook_deliveries WHERE key = ? AND event_id = ? AND dead_at_ms IS NULL',
    ),
    remove: db.prepare('DELETE FROM webhook_deliveries WHERE key = ? AND event_id = ?'),
    fail: db.prepare(
      `UPDATE webhook_deliveries SET attempts = attempts + 1, error = ?, not_before_ms = ?
         WHERE key = ? AND event_id = ?`,
    ),
    bury: db.prepare(
      `UPDATE webhook_deliveries SET attempts = attempts + 1, error = ?, dead_at_ms = ?
         WHERE key = ? AND event_id = ?`,
    ),
    dead: db.prepare(
      `SELECT * FROM webhook_deliveries WHERE dead_at_ms IS NOT NULL
         ORDER BY dead_at_ms DESC, event_id DESC LIMIT ?`,
    ),
    pruneDead: db.prepare(
      `DELETE FROM webhook_deliveries WHERE rowid IN
         (SELECT rowid FROM webhook_deliveries WHERE dead_at_ms IS NOT NULL
            ORDER BY dead_at_ms DESC, event_id DESC LIMIT -1 OFFSET ?)`,
    ),
  };
}

type Row = Record<string, unknown>;

function toWaiting(row: Row): WaitingDelivery {
  return {
    key: String(row.key),
    eventId: Number(row.event_id),
    containerId: String(row.container_id),
    atMs: Number(row.at_ms),
    attempts: Number(row.attempts),
    notBeforeMs: Number(row.not_before_ms),
  };
}

function toBuried(row: Row): BuriedDelivery {
  return {
    key: String(row.key),
    event: toEvent({ ...row, id: row.event_id }),
    attempts: Number(row.attempts),
    error: String(row.error),
    deadAtMs: Number(row.dead_at_ms),
  };
}

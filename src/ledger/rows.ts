import type { DatabaseSync } from 'node:sqlite';
import type { GoneReason } from '../core/container.ts';
import type { EventKind, HistoryEntry, SpawnerEvent } from '../core/events.ts';
import type { LedgerEntry } from '../core/ledger.ts';

export type Statements = ReturnType<typeof statements>;

/** Every statement of the ledger, prepared once. */
export function statements(db: DatabaseSync) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    list: db.prepare('SELECT * FROM containers ORDER BY created_at_ms, rowid'),
    insert: db.prepare(
      `INSERT INTO containers (id, image_key, user, created_at_ms, expires_at_ms, ports, config_hash, spec, ready,
         lifecycle, labels, acknowledged, warm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    rebind: db.prepare('UPDATE containers SET ports = ? WHERE id = ?'),
    becomeReady: db.prepare(
      `UPDATE containers SET ready_at_ms = coalesce(ready_at_ms, ?), asleep = NULL,
         acknowledged = CASE warm WHEN 1 THEN acknowledged ELSE 1 END WHERE id = ?`,
    ),
    claim: db.prepare(
      `UPDATE containers SET user = ?, created_at_ms = ?, expires_at_ms = ?, labels = ?, warm = 0
         WHERE id = ? AND warm = 1`,
    ),
    acknowledge: db.prepare('UPDATE containers SET acknowledged = 1 WHERE id = ?'),
    setAsleep: db.prepare('UPDATE containers SET asleep = ? WHERE id = ?'),
    extend: db.prepare('UPDATE containers SET expires_at_ms = ? WHERE id = ?'),
    label: db.prepare('UPDATE containers SET labels = ? WHERE id = ?'),
    condemn: db.prepare('UPDATE containers SET condemned = ? WHERE id = ? AND condemned IS NULL'),
    forget: db.prepare('DELETE FROM containers WHERE id = ?'),
    // What happens to a container that is kept warm says so: it is nobody's business yet.
    insertEvent: db.prepare(
      `INSERT INTO events (at_ms, container_id, image_key, user, kind, data)
         SELECT ?1, id, image_key, user, ?2,
           CASE warm WHEN 1 THEN json_set(?3, '$.warm', json('true')) ELSE ?3 END
         FROM containers WHERE id = ?4 RETURNING *`,
    ),
    insertHistory: db.prepare(
      `INSERT OR REPLACE INTO history (id, image_key, user, created_at_ms, ready_at_ms, ended_at_ms, reason)
         SELECT id, image_key, user, created_at_ms, ready_at_ms, ?, ? FROM containers WHERE id = ?`,
    ),
    insertKey: db.prepare(
      'INSERT OR REPLACE INTO idempotency_keys (key, fingerprint, container_id, at_ms) VALUES (?, ?, ?, ?)',
    ),
    dropFailedKey: db.prepare(
      `DELETE FROM idempotency_keys WHERE container_id IN
         (SELECT id FROM containers WHERE id = ? AND (acknowledged = 0 OR ready_at_ms IS NULL))`,
    ),
    adopt: db.prepare('INSERT OR IGNORE INTO identities (uuid, own) VALUES (?, 0)'),
    findKey: db.prepare('SELECT * FROM idempotency_keys WHERE key = ? AND at_ms > ?'),
    eventsAfter: db.prepare('SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?'),
    // The sequence, and not the table: events may all have been pruned.
    newestEvent: db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'"),
    history: db.prepare(
      `SELECT * FROM history
         WHERE (ended_at_ms < :endedAtMs OR (ended_at_ms = :endedAtMs AND id > :id))
         AND (:users IS NULL OR user IN (SELECT value FROM json_each(:users)))
         AND (:imageKey IS NULL OR image_key = :imageKey)
         ORDER BY ended_at_ms DESC, id LIMIT :limit`,
    ),
    ended: db.prepare('SELECT * FROM history WHERE id = ?'),
    pruneHistory: db.prepare('DELETE FROM history WHERE ended_at_ms < ?'),
    pruneEvents: db.prepare('DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?'),
    pruneKeys: db.prepare('DELETE FROM idempotency_keys WHERE at_ms <= ?'),
  };
}

type Row = Record<string, unknown>;

/** Most containers of an entry have the same texts: each is parsed once, and the values are shared. */
export function toEntries(rows: readonly Row[]): LedgerEntry[] {
  const values = new Map<string, unknown>();
  const parse = <T>(text: unknown): T => {
    const json = String(text);
    if (!values.has(json)) values.set(json, JSON.parse(json));
    return values.get(json) as T;
  };
  return rows.map((row) => toEntry(row, parse));
}

function toEntry(row: Row, parse: <T>(text: unknown) => T): LedgerEntry {
  return {
    id: String(row.id),
    imageKey: String(row.image_key),
    user: textOrNull(row.user),
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: Number(row.expires_at_ms),
    ports: JSON.parse(String(row.ports)),
    configHash: String(row.config_hash),
    spec: parse(row.spec),
    ready: parse(row.ready),
    lifecycle: parse(row.lifecycle),
    labels: JSON.parse(String(row.labels)),
    acknowledged: row.acknowledged === 1,
    condemned: textOrNull(row.condemned) as GoneReason | null,
    readyAtMs: numberOrNull(row.ready_at_ms),
    asleep: textOrNull(row.asleep) as LedgerEntry['asleep'],
    warm: row.warm === 1,
  };
}

export function toEvent(row: Row): SpawnerEvent {
  return {
    id: Number(row.id),
    atMs: Number(row.at_ms),
    containerId: String(row.container_id),
    imageKey: String(row.image_key),
    user: textOrNull(row.user),
    kind: String(row.kind) as EventKind,
    data: JSON.parse(String(row.data)),
  };
}

export function toHistory(row: Row): HistoryEntry {
  return {
    id: String(row.id),
    imageKey: String(row.image_key),
    user: textOrNull(row.user),
    createdAtMs: Number(row.created_at_ms),
    readyAtMs: numberOrNull(row.ready_at_ms),
    endedAtMs: Number(row.ended_at_ms),
    reason: String(row.reason) as GoneReason,
  };
}

export function textOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : String(value);
}

export function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}

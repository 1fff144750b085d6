import type { DatabaseSync } from 'node:sqlite';
import { LedgerError } from './errors.ts';

/** "DSpw": marks the file as ours, so that another program's database is not mistaken for a ledger. */
const applicationId = 0x44537077;

/** Each entry takes the schema one version further. Entries are never changed, only added. */
const migrations: readonly string[] = [
  `CREATE TABLE identities (
     uuid TEXT PRIMARY KEY,
     own INTEGER NOT NULL
   ) STRICT;
   CREATE UNIQUE INDEX one_own_identity ON identities (own) WHERE own = 1;
   CREATE TABLE containers (
     id TEXT PRIMARY KEY,
     image_key TEXT NOT NULL,
     user TEXT,
     created_at_ms INTEGER NOT NULL,
     expires_at_ms INTEGER NOT NULL,
     ports TEXT NOT NULL,
     config_hash TEXT NOT NULL,
     spec TEXT NOT NULL,
     ready TEXT NOT NULL,
     acknowledged INTEGER NOT NULL,
     condemned TEXT
   ) STRICT;`,

  // The life cycle: sleep, warm containers, idempotency keys, events and history.
  `ALTER TABLE containers ADD COLUMN lifecycle TEXT NOT NULL DEFAULT
     '{"idleMs":null,"onIdle":"remove","idleIgnoresTunnels":false,"warnBeforeMs":0,"maxLifetimeMs":0}';
   ALTER TABLE containers ADD COLUMN ready_at_ms INTEGER;
   ALTER TABLE containers ADD COLUMN asleep TEXT;
   ALTER TABLE containers ADD COLUMN warm INTEGER NOT NULL DEFAULT 0;
   UPDATE containers SET ready_at_ms = created_at_ms WHERE acknowledged = 1;
   CREATE TABLE idempotency_keys (
     key TEXT PRIMARY KEY,
     fingerprint TEXT NOT NULL,
     container_id TEXT NOT NULL,
     at_ms INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX idempotency_keys_by_container ON idempotency_keys (container_id);
   CREATE TABLE events (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     at_ms INTEGER NOT NULL,
     container_id TEXT NOT NULL,
     image_key TEXT NOT NULL,
     user TEXT,
     kind TEXT NOT NULL,
     data TEXT NOT NULL
   ) STRICT;
   CREATE TABLE history (
     id TEXT PRIMARY KEY,
     image_key TEXT NOT NULL,
     user TEXT,
     created_at_ms INTEGER NOT NULL,
     ready_at_ms INTEGER,
     ended_at_ms INTEGER NOT NULL,
     reason TEXT NOT NULL
   ) STRICT;
   CREATE INDEX history_by_end ON history (ended_at_ms);
   CREATE INDEX history_by_user ON history (user, ended_at_ms);`,

  // The API: what callers note on containers, and its tokens.
  `ALTER TABLE containers ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
   CREATE TABLE api_tokens (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL,
     digest BLOB NOT NULL,
     scopes TEXT NOT NULL,
     users TEXT,
     created_at_ms INTEGER NOT NULL,
     expires_at_ms INTEGER,
     last_used_at_ms INTEGER
   ) STRICT;`,

  // Webhooks: the newest event that each target has in its lines, and what waits in them, or was given up.
  `CREATE TABLE webhook_targets (
     key TEXT PRIMARY KEY,
     cursor INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE webhook_deliveries (
     key TEXT NOT NULL,
     event_id INTEGER NOT NULL,
     at_ms INTEGER NOT NULL,
     container_id TEXT NOT NULL,
     image_key TEXT NOT NULL,
     user TEXT,
     kind TEXT NOT NULL,
     data TEXT NOT NULL,
     attempts INTEGER NOT NULL DEFAULT 0,
     not_before_ms INTEGER NOT NULL DEFAULT 0,
     error TEXT,
     dead_at_ms INTEGER,
     PRIMARY KEY (key, event_id)
   ) STRICT;
   CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (dead_at_ms, event_id)
     WHERE dead_at_ms IS NOT NULL;`,
];

/** Brings the schema to this version. Refuses a file of another program, or of a newer version of this one. */
export function migrate(db: DatabaseSync, file: string): void {
  const version = pragma(db, 'user_version');
  const tables = Number(db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()!.n);
  if (pragma(db, 'application_id') !== applicationId && (version !== 0 || tables !== 0)) {
    throw new LedgerError(
      `${file}: this is the database of another program; give the service another data_dir`,
    );
  }
  if (version > migrations.length) {
    throw new LedgerError(
      `${file}: a newer version of Docker Spawner wrote this ledger (schema ${version}, this one knows ` +
        `${migrations.length}); start the newer version, or put a backup in its place`,
    );
  }
  for (let next = version; next < migrations.length; next++) {
    db.exec(
      `BEGIN IMMEDIATE; ${migrations[next]}
       PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${next + 1}; COMMIT`,
    );
  }
}

function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()![name]);
}

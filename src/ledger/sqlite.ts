import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { GoneReason } from '../core/container.ts';
import type { Ledger, LedgerEntry } from '../core/ledger.ts';
import { LedgerError } from './errors.ts';
import { migrate } from './schema.ts';

/**
 * Opens, or makes, the ledger in `dataDir`. One process at a time: a second one gets a LedgerError.
 *
 * Commits survive the end of the process at any moment. `synchronous=NORMAL` leaves the last commits before a
 * power cut to chance, since an fsync would block every spawn; the containers' birth labels cover that case.
 */
export function openLedger(dataDir: string): Ledger {
  const file = join(dataDir, 'ledger.sqlite');
  const db = open(dataDir, file);
  const identity = readOrMakeIdentity(db);
  const identities = new Set(
    db
      .prepare('SELECT uuid FROM identities')
      .all()
      .map((row) => String(row.uuid)),
  );

  const insert = db.prepare(
    `INSERT INTO containers (id, image_key, user, created_at_ms, expires_at_ms, ports, config_hash, spec, ready,
       acknowledged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const rebind = db.prepare('UPDATE containers SET ports = ? WHERE id = ?');
  const acknowledge = db.prepare('UPDATE containers SET acknowledged = 1 WHERE id = ?');
  const condemn = db.prepare('UPDATE containers SET condemned = ? WHERE id = ? AND condemned IS NULL');
  const forget = db.prepare('DELETE FROM containers WHERE id = ?');
  const select = db.prepare('SELECT * FROM containers ORDER BY created_at_ms, rowid');
  const adopt = db.prepare('INSERT OR IGNORE INTO identities (uuid, own) VALUES (?, 0)');

  return {
    identity,
    identities: () => identities,
    adopt(uuid) {
      adopt.run(uuid);
      identities.add(uuid);
    },
    list: () => select.all().map(toEntry),
    add(s, acknowledged) {
      insert.run(
        s.id,
        s.imageKey,
        s.user,
        s.createdAtMs,
        s.expiresAtMs,
        JSON.stringify(s.ports),
        s.configHash,
        JSON.stringify(s.spec),
        JSON.stringify(s.ready),
        acknowledged ? 1 : 0,
      );
    },
    rebind: (id, ports) => void rebind.run(JSON.stringify(ports), id),
    acknowledge(id) {
      const { changes } = acknowledge.run(id);
      // An acknowledgement that is committed nowhere must never reach a caller (rule 2).
      if (changes !== 1) throw new LedgerError(`the ledger has no container ${id} to acknowledge`);
    },
    condemn: (id, reason) => void condemn.run(reason, id),
    forget: (id) => void forget.run(id),
    close: () => db.close(),
  };
}

function open(dataDir: string, file: string): DatabaseSync {
  let db: DatabaseSync | null = null;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    db = new DatabaseSync(file);
    // It holds the environment of containers: nobody else's business.
    chmodSync(file, 0o600);
    // Exclusive: the lock is taken by the first statement that writes, and held until the file is closed.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0');
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    db.exec('BEGIN IMMEDIATE; COMMIT');
    migrate(db, file);
    return db;
  } catch (error) {
    db?.close();
    throw explain(error, file);
  }
}

function readOrMakeIdentity(db: DatabaseSync): string {
  const row = db.prepare('SELECT uuid FROM identities WHERE own = 1').get();
  if (row) return String(row.uuid);
  const uuid = randomUUID();
  db.prepare('INSERT INTO identities (uuid, own) VALUES (?, 1)').run(uuid);
  return uuid;
}

function toEntry(row: Record<string, unknown>): LedgerEntry {
  return {
    id: String(row.id),
    imageKey: String(row.image_key),
    user: row.user === null ? null : String(row.user),
    createdAtMs: Number(row.created_at_ms),
    expiresAtMs: Number(row.expires_at_ms),
    ports: JSON.parse(String(row.ports)),
    configHash: String(row.config_hash),
    spec: JSON.parse(String(row.spec)),
    ready: JSON.parse(String(row.ready)),
    acknowledged: row.acknowledged === 1,
    condemned: row.condemned === null ? null : (String(row.condemned) as GoneReason),
  };
}

/** SQLite's result codes, put into what an operator can do about them. */
function explain(error: unknown, file: string): Error {
  if (error instanceof LedgerError || !(error instanceof Error)) return error as Error;
  const code = (error as { errcode?: number }).errcode;
  const name = (error as { code?: string }).code;
  const advice = (text: string) => new LedgerError(`${file}: ${text}`, { cause: error });
  // The low byte is the primary code; extended ones add to it.
  switch (code === undefined ? null : code & 0xff) {
    case 5:
    case 6:
      return advice('another process uses this ledger; stop it first, or give this one another data_dir');
    case 8:
      return advice('the ledger cannot be written; make the file and its folder writable for this user');
    case 10:
    case 13:
      return advice(`the disk is full or failing (${error.message}); make room, then start again`);
    case 11:
    case 26:
      return advice(
        'this is not a ledger, or it is damaged; put a backup in its place, or move it away and start with ' +
          '--adopt to rebuild it from the labels of the running containers',
      );
    case 14:
      return advice('the ledger cannot be opened; check that its folder exists and belongs to this user');
  }
  if (name === 'EACCES' || name === 'EPERM' || name === 'EROFS') {
    return advice('the ledger cannot be written; make data_dir writable for this user');
  }
  if (name === 'ENOSPC') return advice('the disk is full; make room, then start again');
  return advice(error.message);
}

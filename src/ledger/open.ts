import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { LedgerError } from './errors.ts';
import { migrate } from './schema.ts';

/** Opens, or makes, the database in `dataDir`, for this process alone, in the schema of this version. */
export function openDatabase(dataDir: string): { readonly db: DatabaseSync; readonly file: string } {
  const file = join(dataDir, 'ledger.sqlite');
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
    // A damaged page would otherwise be found by whoever needs it first.
    const { quick_check: health } = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
    if (health !== 'ok') throw new LedgerError(`${file}: ${damaged}`);
    migrate(db, file);
    return { db, file };
  } catch (error) {
    db?.close();
    throw explain(error, file);
  }
}

const damaged =
  'this is not a ledger, or it is damaged; put a backup in its place, or move it away and start with --adopt to ' +
  'rebuild it from the labels of the running containers';

/** SQLite's result codes, put into what an operator can do about them. */
export function explain(error: unknown, file: string): Error {
  if (error instanceof LedgerError || !(error instanceof Error)) return error as Error;
  const { errcode, code } = error as { errcode?: number; code?: string };
  const advice = (text: string) => new LedgerError(`${file}: ${text}`, { cause: error });
  // The low byte is the primary code; extended ones add to it.
  switch (errcode === undefined ? null : errcode & 0xff) {
    case 5:
    case 6:
      return advice('another process uses this ledger; stop it first, or give this one another data_dir');
    case 8:
      return advice('the ledger cannot be written; make the file and its folder writable for this user');
    case 10:
    case 13:
      return advice(`the disk is full or failing (${error.message}); make room`);
    case 11:
    case 26:
      return advice(damaged);
    case 14:
      return advice('the ledger cannot be opened; check that its folder exists and belongs to this user');
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return advice('the ledger cannot be written; make data_dir writable for this user');
  }
  if (code === 'ENOSPC') return advice('the disk is full; make room');
  // What neither SQLite nor the system says is a defect of ours, and keeps its own face.
  return errcode === undefined && code?.startsWith('ERR_INVALID') ? error : advice(error.message);
}

import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { EventKind, SpawnerEvent } from '../core/events.ts';
import type { IdempotencyKey, Ledger } from '../core/ledger.ts';
import { LedgerError } from './errors.ts';
import { explain, openDatabase } from './open.ts';
import { createReader } from './reader.ts';
import { statements, toEntries, toEvent } from './rows.ts';
import { createTokenLedger } from './tokens.ts';
import { createWebhookLedger } from './webhooks.ts';

/** How long an idempotency key is remembered. */
const idempotencyMs = 24 * 3_600_000;

/**
 * Opens, or makes, the ledger in `dataDir`. One process at a time: a second one gets a LedgerError. `nowMs` is
 * the wall clock, milliseconds since 1970.
 *
 * Commits survive the end of the process at any moment. `synchronous=NORMAL` leaves the last commits before a
 * power cut to chance, since an fsync would block every spawn; the containers' birth labels cover that case.
 */
export function openLedger(dataDir: string, nowMs: () => number = Date.now): Ledger {
  const { db, file } = openDatabase(dataDir);
  const sql = statements(db);
  const identity = readOrMakeIdentity(db);
  const identities = new Set(
    db
      .prepare('SELECT uuid FROM identities')
      .all()
      .map((row) => String(row.uuid)),
  );
  const listeners: ((event: SpawnerEvent) => void)[] = [];

  /** All that `work` writes, and the events it returns, in one transaction. */
  function commit(work: () => (SpawnerEvent | null)[]): void {
    let events: (SpawnerEvent | null)[];
    try {
      sql.begin.run();
      events = work();
      sql.commit.run();
    } catch (error) {
      // SQLite ends the transaction itself after some errors, a full disk among them.
      if (db.isTransaction) sql.rollback.run();
      throw explain(error, file);
    }
    for (const event of events) if (event) for (const listener of listeners) listener(event);
  }

  /** The same for what no event tells of. */
  function commitQuietly(work: () => void): void {
    commit(() => {
      work();
      return [];
    });
  }

  /** A change of one container; nothing happens where the ledger does not know it. */
  function change(id: string, kind: EventKind, data: object, work?: () => void): void {
    commit(() => {
      work?.();
      return [writeEvent(id, kind, data)];
    });
  }

  function writeEvent(id: string, kind: EventKind, data: object): SpawnerEvent | null {
    const row = sql.insertEvent.get(Math.floor(nowMs()), kind, JSON.stringify(data), id);
    return row ? toEvent(row) : null;
  }

  function keep(idempotency: IdempotencyKey | null, containerId: string): void {
    if (!idempotency) return;
    sql.insertKey.run(idempotency.key, idempotency.fingerprint, containerId, Math.floor(nowMs()));
  }

  /** An acknowledgement that is committed nowhere must never reach a caller (rule 2). */
  function mustExist(id: string, changes: number | bigint): void {
    if (changes !== 1) throw new LedgerError(`the ledger does not know the container ${id}`);
  }

  return {
    identity,
    identities: () => identities,
    adopt(uuid) {
      commit(() => {
        sql.adopt.run(uuid);
        return [];
      });
      identities.add(uuid);
    },
    onEvent: (listener) => void listeners.push(listener),
    list: () => toEntries(sql.list.all()),
    add: (s, { acknowledged, warm, idempotency }) =>
      change(s.id, 'queued', {}, () => {
        sql.insert.run(
          s.id,
          s.imageKey,
          s.user,
          s.createdAtMs,
          s.expiresAtMs,
          JSON.stringify(s.ports),
          s.configHash,
          JSON.stringify(s.spec),
          JSON.stringify(s.ready),
          JSON.stringify(s.lifecycle),
          JSON.stringify(s.labels),
          acknowledged ? 1 : 0,
          warm ? 1 : 0,
        );
        keep(idempotency, s.id);
      }),
    rebind: (id, ports) =>
      commit(() => {
        sql.rebind.run(JSON.stringify(ports), id);
        return [];
      }),
    becomeReady: (id, readyAtMs) =>
      change(id, 'ready', {}, () => mustExist(id, sql.becomeReady.run(readyAtMs, id).changes)),
    claim: (id, claim) =>
      change(id, 'claimed', { expires_at_ms: claim.expiresAtMs }, () => {
        const { user, createdAtMs, expiresAtMs, labels, idempotency } = claim;
        mustExist(id, sql.claim.run(user, createdAtMs, expiresAtMs, JSON.stringify(labels), id).changes);
        keep(idempotency, id);
      }),
    acknowledge(id) {
      commit(() => {
        mustExist(id, sql.acknowledge.run(id).changes);
        return [];
      });
    },
    fallAsleep: (id, mode) =>
      change(id, 'asleep', { mode }, () => mustExist(id, sql.setAsleep.run(mode, id).changes)),
    awake: (id) => change(id, 'awake', {}, () => sql.setAsleep.run(null, id)),
    extend: (id, expiresAtMs) =>
      change(id, 'extended', { expires_at_ms: expiresAtMs }, () =>
        mustExist(id, sql.extend.run(expiresAtMs, id).changes),
      ),
    label: (id, labels) =>
      change(id, 'labelled', {}, () => mustExist(id, sql.label.run(JSON.stringify(labels), id).changes)),
    condemn: (id, reason) =>
      commit(() =>
        sql.condemn.run(reason, id).changes === 1 ? [writeEvent(id, 'stopping', { reason })] : [],
      ),
    forget: (id, reason) =>
      commit(() => {
        const event = writeEvent(id, 'gone', { reason });
        // A start that nobody was told of leaves its key free for another try.
        sql.dropFailedKey.run(id);
        sql.insertHistory.run(Math.floor(nowMs()), reason, id);
        sql.forget.run(id);
        return [event];
      }),
    note: (id, kind, data = {}) => change(id, kind, data),
    remember: (idempotency, containerId) =>
      commit(() => {
        keep(idempotency, containerId);
        return [];
      }),
    ...createReader(sql, () => nowMs() - idempotencyMs),
    prune: ({ historyMs, events }) =>
      commit(() => {
        sql.pruneHistory.run(Math.floor(nowMs() - historyMs));
        sql.pruneEvents.run(events);
        sql.pruneKeys.run(Math.floor(nowMs() - idempotencyMs));
        return [];
      }),
    tokens: createTokenLedger(db, commitQuietly),
    webhooks: createWebhookLedger(db, commitQuietly),
    close: () => db.close(),
  };
}

function readOrMakeIdentity(db: DatabaseSync): string {
  const row = db.prepare('SELECT uuid FROM identities WHERE own = 1').get();
  if (row) return String(row.uuid);
  const uuid = randomUUID();
  db.prepare('INSERT INTO identities (uuid, own) VALUES (?, 1)').run(uuid);
  return uuid;
}

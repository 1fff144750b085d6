import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Specification } from '../../../src/core/container.ts';
import { openLedger } from '../../../src/ledger/sqlite.ts';
import { entry } from '../../support/core-harness.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'docker-spawner-ledger-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const file = () => join(dir, 'ledger.sqlite');

const specification = (id: string, user: string | null = null): Specification => ({
  id,
  imageKey: 'web',
  user,
  createdAtMs: 1,
  expiresAtMs: 2,
  ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: 9000 }],
  configHash: 'hash',
  spec: entry('web', { spec: { environment: { A: 'ü"\u0001' } } }).spec,
  ready: entry('web').ready,
  lifecycle: entry('web').lifecycle,
  labels: { team: 'ü' },
});

const plain = { acknowledged: false, warm: false, idempotency: null };

describe('the ledger', () => {
  test('gives back what was committed, after it was opened again', () => {
    const ledger = openLedger(dir);
    for (const id of ['a', 'b', 'c', 'd', 'e']) ledger.add(specification(id, `${id}’s user`), plain);
    ledger.becomeReady('b', 5);
    ledger.becomeReady('c', 6);
    ledger.condemn('c', 'expired');
    ledger.condemn('c', 'asked');
    ledger.forget('d', 'failed');
    ledger.rebind('b', [{ name: 'web', port: 80, protocol: 'http', hostPort: 9001 }]);
    ledger.fallAsleep('b', 'pause');
    ledger.extend('b', 77);
    ledger.becomeReady('e', 7);
    ledger.fallAsleep('e', 'stop');
    ledger.awake('e');
    ledger.adopt('other');
    ledger.close();

    const again = openLedger(dir);
    expect(again.identity).toBe(ledger.identity);
    expect([...again.identities()].sort()).toEqual([ledger.identity, 'other'].sort());
    const state = { acknowledged: true, condemned: null, readyAtMs: null, asleep: null, warm: false };
    expect(again.list()).toEqual([
      { ...specification('a', 'a’s user'), ...state, acknowledged: false },
      {
        ...specification('b', 'b’s user'),
        ...state,
        ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: 9001 }],
        readyAtMs: 5,
        asleep: 'pause',
        expiresAtMs: 77,
      },
      { ...specification('c', 'c’s user'), ...state, readyAtMs: 6, condemned: 'expired' },
      { ...specification('e', 'e’s user'), ...state, readyAtMs: 7 },
    ]);
    again.close();
  });

  test('refuses to acknowledge what it does not know', () => {
    const ledger = openLedger(dir);
    expect(() => ledger.acknowledge('nobody')).toThrow('does not know the container nobody');
    ledger.close();
  });

  test('is readable by its owner only', () => {
    openLedger(dir).close();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  test('is open in one process at a time', () => {
    const first = openLedger(dir);
    expect(() => openLedger(dir)).toThrow(/another process uses this ledger/);
    first.close();
    openLedger(dir).close();
  });

  test('refuses a file that is no database, and leaves it as it was', () => {
    writeFileSync(file(), 'precious notes, but no database\n'.repeat(100));
    expect(() => openLedger(dir)).toThrow(/ledger\.sqlite: this is not a ledger/);
    expect(readFileSync(file(), 'utf8')).toContain('precious notes');
  });

  test('refuses a truncated file', () => {
    const ledger = openLedger(dir);
    for (let i = 0; i < 200; i++) ledger.add(specification(`${i}`), plain);
    ledger.close();
    truncateSync(file(), 5000);
    expect(() => openLedger(dir).list()).toThrow();
  });

  test('refuses the database of another program', () => {
    const other = new DatabaseSync(file());
    other.exec('CREATE TABLE notes (text TEXT)');
    other.close();
    expect(() => openLedger(dir)).toThrow(/database of another program/);
  });

  test('refuses the ledger of a newer version', () => {
    openLedger(dir).close();
    const newer = new DatabaseSync(file());
    newer.exec('PRAGMA user_version = 999');
    newer.close();
    expect(() => openLedger(dir)).toThrow(/newer version of Docker Spawner/);
  });

  test('says what to do when its folder cannot be made', () => {
    const blocked = join(dir, 'file');
    writeFileSync(blocked, '');
    chmodSync(blocked, 0o600);
    expect(() => openLedger(join(blocked, 'data'))).toThrow(/ledger\.sqlite: /);
  });
});

describe('events and history', () => {
  test('every change writes its event in the same commit, with ids that go up over restarts', () => {
    let ledger = openLedger(dir, () => 1000);
    const told: unknown[] = [];
    ledger.onEvent((event) => told.push(event.kind));
    ledger.add(specification('a', 'alice'), plain);
    ledger.note('a', 'creating');
    ledger.becomeReady('a', 3);
    ledger.extend('a', 99);
    ledger.close();
    ledger = openLedger(dir, () => 2000);
    ledger.condemn('a', 'asked');
    ledger.forget('a', 'asked');
    const events = ledger.events(0, 100);
    expect(events.map((e) => e.kind)).toEqual([
      'queued',
      'creating',
      'ready',
      'extended',
      'stopping',
      'gone',
    ]);
    expect(events.map((e) => e.id)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(told).toEqual(['queued', 'creating', 'ready', 'extended']);
    expect(events[3]).toMatchObject({
      containerId: 'a',
      imageKey: 'web',
      user: 'alice',
      data: { expires_at_ms: 99 },
    });
    expect(ledger.events(4, 1).map((e) => e.kind)).toEqual(['stopping']);
    ledger.close();
  });

  test('what failed to be committed tells no event and changes nothing', () => {
    const ledger = openLedger(dir);
    ledger.add(specification('a'), plain);
    expect(() => ledger.add(specification('a'), plain)).toThrow();
    const claim = { user: 'x', createdAtMs: 1, expiresAtMs: 2, labels: {}, idempotency: null };
    expect(() => ledger.claim('a', claim)).toThrow('does not know the container a');
    expect(ledger.events(0, 10).map((e) => e.kind)).toEqual(['queued']);
    ledger.note('a', 'creating');
    ledger.close();
  });

  test('history says who, what, when and why, newest first, and is kept as long as asked', () => {
    let now = 1000;
    const ledger = openLedger(dir, () => now);
    for (const [id, user] of [
      ['a', 'alice'],
      ['b', 'bob'],
      ['c', 'alice'],
    ] as const) {
      ledger.add(specification(id, user), plain);
      if (id !== 'b') ledger.becomeReady(id, 10);
      now += 1000;
      ledger.forget(id, id === 'b' ? 'failed' : 'expired');
    }
    expect(ledger.history({ limit: 2 }).map((h) => h.id)).toEqual(['c', 'b']);
    expect(ledger.history({ users: ['alice'], after: { endedAtMs: 4000, id: 'c' }, limit: 10 })).toEqual([
      {
        id: 'a',
        imageKey: 'web',
        user: 'alice',
        createdAtMs: 1,
        readyAtMs: 10,
        endedAtMs: 2000,
        reason: 'expired',
      },
    ]);
    ledger.prune({ historyMs: 1500, events: 2 });
    expect(ledger.history({ limit: 10 }).map((h) => h.id)).toEqual(['c', 'b']);
    expect(ledger.events(0, 100)).toHaveLength(2);
    ledger.close();
  });
});

describe('idempotency keys', () => {
  const idempotency = { key: 'k', fingerprint: 'f' };

  test('are remembered for a day, over restarts', () => {
    let now = 0;
    let ledger = openLedger(dir, () => now);
    ledger.add(specification('a'), { ...plain, idempotency });
    ledger.becomeReady('a', 1);
    ledger.close();
    ledger = openLedger(dir, () => now);
    expect(ledger.idempotent('k')).toEqual({ fingerprint: 'f', containerId: 'a' });
    expect(ledger.idempotent('other')).toBeNull();
    now = 24 * 3_600_000;
    expect(ledger.idempotent('k')).toBeNull();
    ledger.close();
  });

  test('outlive their container, but not a start that failed', () => {
    const ledger = openLedger(dir);
    ledger.add(specification('a'), { ...plain, idempotency });
    ledger.becomeReady('a', 1);
    ledger.forget('a', 'expired');
    expect(ledger.idempotent('k')).not.toBeNull();
    ledger.add(specification('b'), { ...plain, idempotency: { key: 'failed', fingerprint: 'f' } });
    ledger.forget('b', 'failed');
    expect(ledger.idempotent('failed')).toBeNull();
    ledger.close();
  });
});

describe('a schema of an earlier version', () => {
  test('is migrated, and its containers are kept', () => {
    const old = new DatabaseSync(file());
    old.exec(readFileSync(join(import.meta.dirname, 'schema-1.sql'), 'utf8'));
    old.close();
    const ledger = openLedger(dir);
    expect(ledger.identity).toBe('11111111-1111-4111-8111-111111111111');
    expect(ledger.list()).toMatchObject([
      {
        id: 'abc',
        user: 'alice',
        acknowledged: true,
        readyAtMs: 100,
        warm: false,
        lifecycle: { onIdle: 'remove' },
      },
    ]);
    ledger.close();
  });
});

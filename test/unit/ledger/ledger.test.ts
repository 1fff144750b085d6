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
});

describe('the ledger', () => {
  test('gives back what was committed, after it was opened again', () => {
    const ledger = openLedger(dir);
    for (const id of ['a', 'b', 'c', 'd']) ledger.add(specification(id, `${id}’s user`), false);
    ledger.acknowledge('b');
    ledger.acknowledge('c');
    ledger.condemn('c', 'expired');
    ledger.condemn('c', 'asked');
    ledger.forget('d');
    ledger.rebind('b', [{ name: 'web', port: 80, protocol: 'http', hostPort: 9001 }]);
    ledger.adopt('other');
    ledger.close();

    const again = openLedger(dir);
    expect(again.identity).toBe(ledger.identity);
    expect([...again.identities()].sort()).toEqual([ledger.identity, 'other'].sort());
    const state = { acknowledged: false, condemned: null };
    expect(again.list()).toEqual([
      { ...specification('a', 'a’s user'), ...state },
      {
        ...specification('b', 'b’s user'),
        ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: 9001 }],
        ...state,
        acknowledged: true,
      },
      { ...specification('c', 'c’s user'), acknowledged: true, condemned: 'expired' },
    ]);
    again.close();
  });

  test('refuses to acknowledge what it does not know', () => {
    const ledger = openLedger(dir);
    expect(() => ledger.acknowledge('nobody')).toThrow('no container nobody');
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
    for (let i = 0; i < 200; i++) ledger.add(specification(`${i}`), true);
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

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/core/clock.ts';
import type { Ledger } from '../../../src/core/ledger.ts';
import { createRateLimit } from '../../../src/core/rate-limit.ts';
import { createTokens, mayTouch, type Tokens } from '../../../src/core/tokens.ts';
import { openLedger } from '../../../src/ledger/sqlite.ts';

let dir: string;
let ledger: Ledger;
let nowMs: number;
let timers: (() => void)[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'docker-spawner-tokens-'));
  ledger = openLedger(dir);
  nowMs = 1_000_000;
  timers = [];
});
afterEach(() => {
  ledger.close();
  rmSync(dir, { recursive: true, force: true });
});

const clock: Clock = {
  wallMs: () => nowMs,
  monoMs: () => nowMs,
  after: (_delayMs, fire) => {
    timers.push(fire);
    return () => void timers.splice(timers.indexOf(fire), 1);
  },
  timeout: () => new AbortController().signal,
};
const warnings: string[] = [];
const warn = (_fields: object, message: string) => void warnings.push(message);
const open = (administrators: readonly string[] = []): Tokens =>
  createTokens({
    ledger: ledger.tokens,
    administrators,
    clock,
    log: { debug() {}, info() {}, warn, error: warn },
  });
const wish = { name: 'ci', scopes: ['read'], users: null, expiresAtMs: null } as const;
const kindOf = (tokens: Tokens, secret: string | null) =>
  tokens.identify(secret === null ? null : Buffer.from(secret)).kind;

describe('tokens', () => {
  test('with none at all everybody is let in, as an administrator', () => {
    expect(open().identify(null)).toMatchObject({ kind: 'known', caller: { key: null, users: null } });
  });

  test('from the first one on, every call needs one, and the last one to go opens the door again', () => {
    const tokens = open();
    const { token, secret } = tokens.create(wish);
    expect(kindOf(tokens, null)).toBe('missing');
    expect(kindOf(tokens, 'something else')).toBe('wrong');
    expect(kindOf(tokens, `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`)).toBe('wrong');
    expect(kindOf(tokens, secret)).toBe('known');
    tokens.remove(token.id);
    expect(kindOf(tokens, null)).toBe('known');
    expect(() => tokens.remove(token.id)).toThrow('no token with this id');
  });

  test('an expired token is told from a wrong one, and still counts as one that exists', () => {
    const tokens = open();
    const { secret } = tokens.create({ ...wish, expiresAtMs: nowMs + 10 });
    expect(kindOf(tokens, secret)).toBe('known');
    nowMs += 10;
    expect(kindOf(tokens, secret)).toBe('expired');
    expect(kindOf(tokens, null)).toBe('missing');
  });

  test('those of the configuration are administrators, each with a limit of its own, and can be replaced', () => {
    const tokens = open(['the first secret', 'the second secret']);
    const [first, second] = ['the first secret', 'the second secret'].map((s) =>
      tokens.identify(Buffer.from(s)),
    );
    expect(first).toMatchObject({ kind: 'known', caller: { users: null } });
    expect(first).not.toEqual(second);
    tokens.setAdministrators(['a third one']);
    expect(kindOf(tokens, 'the first secret')).toBe('wrong');
    expect(kindOf(tokens, 'a third one')).toBe('known');
  });

  test('survive a restart, with scopes and users', () => {
    const { secret } = open().create({ ...wish, scopes: ['spawn'], users: ['alice', 'bob'] });
    const identity = open().identify(Buffer.from(secret));
    expect(identity).toMatchObject({ kind: 'known', caller: { scopes: new Set(['spawn']) } });
    if (identity.kind !== 'known') throw new Error('not known');
    expect(mayTouch(identity.caller, 'alice')).toBe(true);
    expect(mayTouch(identity.caller, 'eve')).toBe(false);
    expect(mayTouch(identity.caller, null)).toBe(false);
  });

  test('the scope admin holds the others', () => {
    const tokens = open();
    const { secret } = tokens.create({ ...wish, scopes: ['admin'] });
    const identity = tokens.identify(Buffer.from(secret));
    expect(identity).toMatchObject({ caller: { scopes: new Set(['read', 'spawn', 'admin']) } });
  });

  test('no secret is in the ledger, nor in the list', () => {
    const tokens = open();
    const { secret } = tokens.create(wish);
    const random = secret.split('_').slice(2).join('_');
    const files = ['ledger.sqlite', 'ledger.sqlite-wal'].map((name) =>
      readFileSync(join(dir, name), 'latin1'),
    );
    expect(files.join()).not.toContain(random);
    expect(JSON.stringify(tokens.list())).not.toContain(random);
    expect(tokens.list()[0]).not.toHaveProperty('digest');
  });

  test('the last use is known at once, and written down later, once for many', () => {
    const tokens = open();
    const { token, secret } = tokens.create(wish);
    for (let n = 0; n < 100; n++) tokens.identify(Buffer.from(secret));
    expect(tokens.list()[0]!.lastUsedAtMs).toBe(nowMs);
    expect(ledger.tokens.list()[0]!.lastUsedAtMs).toBeNull();
    expect(timers).toHaveLength(1);
    timers[0]!();
    expect(ledger.tokens.list()).toMatchObject([{ id: token.id, lastUsedAtMs: nowMs }]);
    nowMs += 5;
    tokens.identify(Buffer.from(secret));
    tokens.close();
    expect(ledger.tokens.list()[0]!.lastUsedAtMs).toBe(nowMs);
  });
});

describe('the limit of calls', () => {
  test('lets a burst pass, then holds each caller to the rate, and says when to come again', () => {
    const limit = createRateLimit(clock, 60);
    for (let n = 0; n < 60; n++) expect(limit.take('a')).toBeNull();
    expect(limit.take('a')).toBe(1);
    expect(limit.take('b')).toBeNull();
    nowMs += 1000;
    expect(limit.take('a')).toBeNull();
    expect(limit.take('a')).toBe(1);
  });

  test('a rate below one a second says how many seconds', () => {
    const limit = createRateLimit(clock, 1);
    expect(limit.take('a')).toBeNull();
    expect(limit.take('a')).toBe(60);
    nowMs += 30_000;
    expect(limit.take('a')).toBe(30);
  });

  test('0 is no limit, and another limit holds from when it is set', () => {
    const limit = createRateLimit(clock, 0);
    for (let n = 0; n < 1000; n++) expect(limit.take('a')).toBeNull();
    limit.set(1);
    expect(limit.take('a')).toBeNull();
    expect(limit.take('a')).toBe(60);
  });
});

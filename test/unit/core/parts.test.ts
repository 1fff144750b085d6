import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import type { Container, Phase } from '../../../src/core/container.ts';
import { createDeadlines } from '../../../src/core/deadlines.ts';
import { decodeLabels, encodeLabels } from '../../../src/core/labels.ts';
import { escapeName } from '../../../src/core/names.ts';
import { createPortPool } from '../../../src/core/ports.ts';
import { quote } from '../../../src/core/quote.ts';
import { createRegistry } from '../../../src/core/registry.ts';
import { entry } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

function container(id: string, user: string | null, phase: Phase = 'queued'): Container {
  return {
    id,
    user,
    phase,
    imageKey: 'web',
    createdAtMs: 0,
    expiresAtMs: 1,
    ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: 9000 }],
    configHash: '',
    spec: entry('web').spec,
    ready: entry('web').ready,
    reason: null,
    ref: null,
    changedMonoMs: 0,
    stopsUntilMonoMs: Number.NEGATIVE_INFINITY,
    upstream: null,
    acknowledged: true,
    readyAtMs: null,
    expiresAtMonoMs: 0,
    moving: null,
    warm: false,
    usedSinceMonoMs: 0,
    lifecycle: entry('web').lifecycle,
    labels: {},
  };
}

describe('the registry', () => {
  test('allows the transitions of the table and no others', () => {
    const registry = createRegistry((id) => `${id}.test`);
    registry.add(container('a', 'alice'));
    expect(() => registry.move('a', 'ready')).toThrow('cannot go from queued to ready');
    registry.move('a', 'creating');
    registry.move('a', 'starting');
    registry.move('a', 'ready');
    registry.move('a', 'asleep');
    registry.move('a', 'ready');
    registry.move('a', 'stopping');
    expect(() => registry.move('a', 'ready')).toThrow('cannot go from stopping to ready');
    registry.move('a', 'gone');
    expect(() => registry.move('a', 'stopping')).toThrow('has no container a');
    expect(registry.size).toBe(0);
    expect(registry.ofUser('alice')).toEqual([]);
  });

  test('refuses an id that is taken', () => {
    const registry = createRegistry((id) => `${id}.test`);
    registry.add(container('a', null));
    expect(() => registry.add(container('a', null))).toThrow('cannot add a');
  });

  test('routes hold until ready, lead to the upstream then, and are gone when stopping', () => {
    const registry = createRegistry((id) => `${id}.test`);
    registry.add(container('a', null));
    expect(registry.routes.get('a.test')).toMatchObject({ id: 'a', state: 'waiting', upstream: null });
    const { version } = registry.routes;
    registry.move('a', 'creating');
    registry.move('a', 'starting', { upstream: { address: '127.0.0.1', port: 9000 } });
    expect(registry.routes.get('a.test')?.upstream).toBeNull();
    registry.move('a', 'ready');
    expect(registry.routes.get('a.test')).toMatchObject({
      state: 'ready',
      upstream: { address: '127.0.0.1', port: 9000 },
    });
    expect(registry.routes.version).toBeGreaterThan(version);
    registry.move('a', 'stopping');
    expect(registry.routes.get('a.test')).toBeUndefined();
  });

  test('lists a user’s containers oldest first, whatever changed last', () => {
    const registry = createRegistry((id) => id);
    for (const id of ['a', 'b', 'c']) registry.add(container(id, 'alice'));
    registry.move('a', 'creating');
    expect(registry.ofUser('alice').map((c) => c.id)).toEqual(['a', 'b', 'c']);
  });
});

describe('the port pool', () => {
  test('gives every port once, and a released one last', () => {
    const pool = createPortPool(9000, 3);
    expect([pool.reserve(), pool.reserve()]).toEqual([9000, 9001]);
    pool.release(9000);
    expect([pool.reserve(), pool.reserve(), pool.reserve()]).toEqual([9002, 9000, null]);
    expect(pool.free).toBe(0);
  });

  test('gives a port that was set aside only when no other is free', () => {
    const pool = createPortPool(9000, 2);
    pool.setAside(pool.reserve()!);
    expect([pool.reserve(), pool.reserve(), pool.reserve()]).toEqual([9001, 9000, null]);
  });

  test('does not take ports of an earlier range in', () => {
    const pool = createPortPool(9000, 1);
    expect(pool.reserveExactly(8000)).toBe(false);
    pool.release(8000);
    expect([pool.reserve(), pool.reserve()]).toEqual([9000, null]);
  });
});

describe('what a program wrote', () => {
  test('is quoted in one line, from its end, without secrets in whatever form', () => {
    expect(quote(' a \n\n b\r\n', [], 100)).toBe('a | b');
    expect(quote('x'.repeat(20), [], 5)).toBe('xxxxx');
    expect(quote('two\nlines, "two\\nlines", abc', ['two\nlines', 'abc'], 100)).toBe('***, "***", abc');
  });

  test('is quoted in time that does not grow with the square of its length', () => {
    const before = process.cpuUsage();
    quote(`a${' '.repeat(64_000)}a`, ['secret'], 500);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(50);
  });
});

describe('deadlines', () => {
  test('fire in order, once, and not when moved or deleted', () => {
    const fired: string[] = [];
    let now = 0;
    let due: { at: number; fire: () => void } | null = null;
    const clock = {
      wallMs: () => now,
      monoMs: () => now,
      after(delayMs: number, fire: () => void) {
        const own = { at: now + delayMs, fire };
        due = own;
        return () => {
          if (due === own) due = null;
        };
      },
    };
    const pass = (ms: number) => {
      for (const end = now + ms; ; ) {
        if (!due || due.at > end) {
          now = end;
          return;
        }
        const { at, fire } = due;
        now = Math.max(now, at);
        due = null;
        fire();
      }
    };
    const deadlines = createDeadlines(clock, (name) => fired.push(name));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(9), fc.nat(100), fc.boolean()), { maxLength: 200 }), (steps) => {
        fired.length = 0;
        const expected = new Map<string, number>();
        for (const [name, inMs, remove] of steps) {
          if (remove) {
            deadlines.delete(`${name}`);
            expected.delete(`${name}`);
          } else {
            deadlines.set(`${name}`, now + inMs);
            expected.set(`${name}`, inMs);
          }
        }
        pass(101);
        const order = [...expected].sort((a, b) => a[1] - b[1]).map(([, at]) => at);
        expect(fired.map((name) => expected.get(name))).toEqual(order);
      }),
    );
  });

  test('that are moved a million times take no memory for it', () => {
    const clock = { monoMs: () => 0, after: () => () => {} };
    const deadlines = createDeadlines(clock, () => {});
    deadlines.set('soon', 1);
    const before = process.memoryUsage().heapUsed;
    for (let at = 2; at < 1_000_000; at++) deadlines.set('later', at);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(30e6);
    deadlines.close();
  });

  test('longer than Node’s longest timer do not fire at once', async () => {
    const fired: string[] = [];
    const deadlines = createDeadlines(systemClock, (name) => fired.push(name));
    deadlines.set('far', systemClock.monoMs() + 40 * 24 * 3600_000);
    deadlines.set('near', systemClock.monoMs() + 5);
    await eventually(() => expect(fired.length).toBeGreaterThan(0));
    expect(fired).toEqual(['near']);
    deadlines.close();
  });
});

describe('labels and names', () => {
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });

  test('what is written to labels is read back the same', () => {
    fc.assert(
      fc.property(text, text, fc.option(text), fc.integer({ min: 1, max: 65535 }), (id, key, user, port) => {
        const birth = {
          id,
          imageKey: key,
          user,
          createdAtMs: 1_700_000_000_123,
          expiresAtMs: 1_700_000_003_456,
          ports: [{ name: 'web', port: 80, protocol: 'http' as const, hostPort: port }],
          configHash: 'abc',
        };
        const owner = { instance: 'i', ledger: 'l' };
        expect(decodeLabels(encodeLabels(owner, birth))).toEqual({ owner, birth });
      }),
    );
  });

  test('escaped names are injective and made of what Docker allows', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
        expect(escapeName(a)).toMatch(/^[a-z0-9_-]*$/);
        expect(escapeName(a) === escapeName(b)).toBe(Buffer.from(a).equals(Buffer.from(b)));
      }),
    );
    expect(escapeName('Alice@example')).toBe('_41lice_40example');
  });
});

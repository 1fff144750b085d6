import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { delay, systemClock } from '../../../src/core/clock.ts';
import { currentRequestId, traced, tracedLog, untraced } from '../../../src/core/trace.ts';

test('what a request begins, and awaits, belongs to it; what runs beside it does not', async () => {
  const seen = await Promise.all(
    ['a', 'b'].map((id) =>
      traced(id, async () => {
        await turn();
        await delay(systemClock, 1, new AbortController().signal);
        return currentRequestId();
      }),
    ),
  );
  expect(seen).toEqual(['a', 'b']);
  expect(currentRequestId()).toBeNull();
});

test('a timer that a request happened to set fires for nobody', async () => {
  const fired = await traced(
    'a',
    () =>
      new Promise((resolve) => {
        systemClock.after(1, () => resolve(currentRequestId()));
      }),
  );
  expect(fired).toBeNull();
});

test('work can be taken out of the request that begins it', () => {
  expect(traced('a', () => untraced(currentRequestId))).toBeNull();
});

test('a traced log names the request in every line, unless the line names one itself', () => {
  const lines: object[] = [];
  const keep = (fields: object, message: string) => void lines.push({ ...fields, message });
  const log = tracedLog({ debug: keep, info: keep, warn: keep, error: keep });
  log.info({ id: 1 }, 'outside');
  traced('a', () => {
    log.debug({}, 'one');
    log.warn({ requestId: 'b' }, 'two');
    log.error({ err: 3 }, 'three');
  });
  expect(lines).toEqual([
    { id: 1, message: 'outside' },
    { requestId: 'a', message: 'one' },
    { requestId: 'b', message: 'two' },
    { requestId: 'a', err: 3, message: 'three' },
  ]);
});

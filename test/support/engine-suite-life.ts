import { once } from 'node:events';
import { createServer } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import type { Specification } from '../../src/core/container.ts';
import type { Engine } from '../../src/core/engine.ts';
import { type EngineHarness, serves } from './engine-harness.ts';
import { eventually } from './eventually.ts';
import { specify } from './specification.ts';

/** The part of the suite about what happens to a container between its start and its end. */
export function testLife(suite: () => { readonly harness: EngineHarness; readonly engine: Engine }): void {
  let harness: EngineHarness;
  let engine: Engine;
  const soon = () => AbortSignal.timeout(30_000);
  const create = (specification: Specification) => engine.create({ specification, warm: false }, soon());

  beforeAll(() => {
    ({ harness, engine } = suite());
  });

  test('a paused container is listed as such, and wakes', async () => {
    const created = await create(await specify(harness.web));
    await harness.pause(created.ref);
    expect(await engine.list({}, soon())).toMatchObject([{ state: 'paused', upstream: null }]);
    const woken = await engine.wake(created.ref, soon());
    expect(woken).toEqual(created);
    await serves(woken);
  });

  test('an exited container starts again when it is woken', async () => {
    const { ref } = await create(await specify(harness.exits));
    await eventually(async () => expect((await engine.list({}, soon()))[0]!.state).toBe('exited'));
    expect((await engine.wake(ref, soon())).ref).toBe(ref);
  });

  test('waking a container that runs changes nothing', async () => {
    const created = await create(await specify(harness.web));
    expect(await engine.wake(created.ref, soon())).toEqual(created);
  });

  test('one that sleeps stopped has given its port back, and wakes with it', async () => {
    const created = await create(await specify(harness.web));
    await serves(created);
    const stop = () => engine.sleep(created.ref, { mode: 'stop', graceMs: 500 }, soon());
    await stop();
    await stop();
    const [asleep] = await engine.list({}, soon());
    expect(asleep).toMatchObject({ ref: created.ref, name: created.name, state: 'exited', upstream: null });
    const holder = createServer().listen(created.upstream!.port, '127.0.0.1');
    try {
      await once(holder, 'listening');
      await expect(engine.wake(created.ref, soon())).rejects.toMatchObject({
        kind: 'port_taken',
        hostPort: created.upstream!.port,
      });
      expect(await engine.list({}, soon())).toMatchObject([{ ref: created.ref, upstream: null }]);
    } finally {
      await new Promise((closed) => holder.close(closed));
    }
    expect(await engine.wake(created.ref, soon())).toEqual(created);
    await serves(created);
  });

  test('one that sleeps paused answers when it is awake', async () => {
    const created = await create(await specify(harness.web));
    await serves(created);
    const pause = () => engine.sleep(created.ref, { mode: 'pause', graceMs: null }, soon());
    await pause();
    await pause();
    expect(await engine.list({}, soon())).toMatchObject([{ state: 'paused', upstream: null }]);
    let answered = false;
    const waiting = serves(created).then(() => {
      answered = true;
    });
    expect((await engine.list({}, soon())).length).toBe(1);
    expect(answered).toBe(false);
    expect(await engine.wake(created.ref, soon())).toEqual(created);
    await waiting;
  });

  test('a paused one can be stopped, and a stopped one is not paused', async () => {
    const { ref } = await create(await specify(harness.web));
    await engine.sleep(ref, { mode: 'pause', graceMs: null }, soon());
    await engine.sleep(ref, { mode: 'stop', graceMs: 500 }, soon());
    expect(await engine.list({}, soon())).toMatchObject([{ ref, state: 'exited' }]);
    await engine.sleep(ref, { mode: 'pause', graceMs: null }, soon());
    expect(await engine.list({}, soon())).toMatchObject([{ ref, state: 'exited' }]);
  });

  test('a warm container has a name of its own until it is renamed; twice is no error', async () => {
    const specification = await specify(harness.web);
    const { id } = specification;
    const warm = await engine.create({ specification, warm: true }, soon());
    expect(warm.name).toBe(`spawned__warm-${id}`);
    await engine.rename(warm.ref, id, soon());
    await engine.rename(warm.ref, id, soon());
    expect(await engine.list({}, soon())).toEqual([{ ...warm, name: `spawned__${id}` }]);
  });

  test('a name that another container has is not given away', async () => {
    const first = await specify(harness.web);
    await create(first);
    const { ref } = await create(await specify(harness.web));
    await expect(engine.rename(ref, first.id, soon())).rejects.toMatchObject({ kind: 'failed' });
  });

  test('exec gives a command its input and its end, and tells what it wrote and how it ended', async () => {
    const { ref } = await create(await specify(harness.web));
    const run = (input: string) => engine.exec(ref, { command: harness.copy, input }, soon());
    expect(await run('{"user":"Zoë"}\n')).toEqual({ exitCode: 7, output: '{"user":"Zoë"}\nend' });
    expect(await run('')).toEqual({ exitCode: 7, output: 'end' });
  });

  test('exec takes a long input, and keeps the end of a long output', async () => {
    const { ref } = await create(await specify(harness.web));
    const input = 'x'.repeat(1_000_000);
    const { exitCode, output } = await engine.exec(ref, { command: harness.copy, input }, soon());
    expect(exitCode).toBe(7);
    expect(output).toBe(`${'x'.repeat(4093)}end`);
  });

  test('nothing is run in a container that sleeps', async () => {
    const { ref } = await create(await specify(harness.web));
    const run = () => engine.exec(ref, { command: harness.copy, input: '' }, soon());
    await engine.sleep(ref, { mode: 'pause', graceMs: null }, soon());
    await expect(run()).rejects.toMatchObject({ kind: 'failed' });
    await engine.sleep(ref, { mode: 'stop', graceMs: 500 }, soon());
    await expect(run()).rejects.toMatchObject({ kind: 'failed' });
  });
}

import { afterEach, describe, expect, test } from 'vitest';
import { EngineError } from '../../../src/core/engine.ts';
import { describeEngine } from '../../support/engine-suite.ts';
import { eventually } from '../../support/eventually.ts';
import { createMemoryEngine } from '../../support/memory-engine.ts';
import { MemoryMachine } from '../../support/memory-machine.ts';
import { freePort, specify } from '../../support/specification.ts';

describeEngine('the memory engine', async () => {
  const machine = new MemoryMachine();
  machine.images.set('exits', {
    does: 'exit',
    exitCode: 3,
    output: [1, 2, 3, 4, 5].map((line) => `line ${line}\n`),
  });
  machine.images.set('web', {
    does: 'serve',
    exec: ({ input }) => ({ exitCode: 7, output: `${input}end`.slice(-4096) }),
  });
  return {
    engine: ({ instance, ledger }) =>
      createMemoryEngine({ machine, owner: { instance, identity: () => ledger } }),
    web: { image: 'web' },
    exits: { image: 'exits' },
    copy: ['copy'],
    pause: async (ref) => machine.pause(ref),
    cleanUp: () => machine.close(),
  };
});

describe('the knobs of the memory machine', () => {
  let machine = new MemoryMachine();
  const owner = { instance: 'knobs', identity: () => 'ledger' };
  const signal = () => AbortSignal.timeout(10_000);
  const setUp = () => {
    machine = new MemoryMachine();
    return createMemoryEngine({ machine, owner });
  };
  afterEach(() => machine.close());

  test('failNext before: one call fails and has no effect', async () => {
    const engine = setUp();
    machine.failNext('create', new EngineError('failed', 'broken'));
    const specification = await specify({ image: 'idle' });
    await expect(engine.create({ specification, warm: false }, signal())).rejects.toThrow('broken');
    expect(machine.containers).toEqual([]);
    await engine.create({ specification, warm: false }, signal());
    expect(machine.calls.create).toBe(2);
  });

  test('failNext after: the call fails and has its effect', async () => {
    const engine = setUp();
    machine.failNext('create', new EngineError('unreachable', 'lost'), 'after');
    await expect(
      engine.create({ specification: await specify({ image: 'idle' }), warm: false }, signal()),
    ).rejects.toThrow('lost');
    expect(machine.containers).toHaveLength(1);
  });

  test('hold keeps calls waiting until release, and an aborted one never takes effect', async () => {
    const engine = setUp();
    const hold = machine.hold('create');
    const stop = new AbortController();
    const given = engine.create(
      { specification: await specify({ image: 'idle' }), warm: false },
      stop.signal,
    );
    const kept = engine.create({ specification: await specify({ image: 'idle' }), warm: false }, signal());
    await eventually(() => expect(hold.waiting()).toBe(2));
    stop.abort();
    await expect(given).rejects.toMatchObject({ kind: 'aborted' });
    hold.release();
    const { ref } = await kept;
    expect(machine.containers.map((c) => c.ref)).toEqual([ref]);
  });

  test('away makes calls unreachable and ends watches; back undoes it', async () => {
    const engine = setUp();
    const watching = engine.watch(() => {}, signal());
    await eventually(() => expect(machine.calls.watch).toBe(1));
    machine.away();
    await expect(watching).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(engine.list({}, signal())).rejects.toMatchObject({ kind: 'unreachable' });
    machine.back();
    expect(await engine.list({}, signal())).toEqual([]);
  });

  test('dropped events are not told; emitted ones are, true or not', async () => {
    const engine = setUp();
    const kinds: string[] = [];
    const watching = engine.watch(
      (event) => kinds.push(event.kind === 'open' ? 'open' : event.change),
      signal(),
    );
    await eventually(() => expect(kinds).toEqual(['open']));
    machine.dropEvents(true);
    await engine.create({ specification: await specify({ image: 'idle' }), warm: false }, signal());
    machine.emit('knobs', { kind: 'container', ref: 'r', id: 'i', change: 'paused' });
    expect(kinds).toEqual(['open', 'paused']);
    machine.endWatches();
    await expect(watching).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('a container that never listens accepts connections and answers nothing', async () => {
    const engine = setUp();
    const { upstream } = await engine.create(
      { specification: await specify({ image: 'never-listens' }), warm: false },
      signal(),
    );
    await expect(fetch(`http://127.0.0.1:${upstream!.port}/`)).rejects.toThrow('fetch failed');
  });

  test('a container that is removed by hand gives its port back', async () => {
    const engine = setUp();
    const specification = await specify({ image: 'web' });
    await engine.create({ specification, warm: false }, signal());
    await machine.removeByHand(specification.id);
    await expect(fetch(`http://127.0.0.1:${specification.ports[0]!.hostPort}/`)).rejects.toThrow();
    expect(await freePort()).toBeGreaterThan(0);
    expect(await engine.list({}, signal())).toEqual([]);
  });

  test('what is run inside is kept, and the image says what comes of it', async () => {
    const engine = setUp();
    const specification = await specify({ image: 'idle' });
    const { ref } = await engine.create({ specification, warm: true }, signal());
    const run = () => engine.exec(ref, { command: ['tell', 'it'], input: 'ann' }, signal());
    expect(await run()).toEqual({ exitCode: 0, output: '' });
    machine.images.set('idle', { does: 'idle', exec: () => ({ exitCode: 1, output: 'no' }) });
    expect(await run()).toEqual({ exitCode: 1, output: 'no' });
    const exec = { id: specification.id, ref, command: ['tell', 'it'], input: 'ann' };
    expect(machine.execs).toEqual([exec, exec]);
    expect(machine.calls).toMatchObject({ exec: 2, sleep: 0, rename: 0 });
  });

  test('an image of the registry is pulled, which can be held, and the turn is asked for again', async () => {
    const engine = setUp();
    machine.registry.set('far', { does: 'idle' });
    const hold = machine.hold('pull');
    const steps: string[] = [];
    const creating = engine.create(
      {
        specification: await specify({ image: 'far' }),
        warm: false,
        beforeCreate: async () => void steps.push('turn'),
        onProgress: ({ step }) => steps.push(step),
      },
      signal(),
    );
    await eventually(() => expect(hold.waiting()).toBe(1));
    expect(machine.containers).toEqual([]);
    hold.release();
    await creating;
    expect(steps).toEqual(['turn', 'creating', 'pulling', 'turn', 'creating', 'starting']);
    expect(machine.images.has('far')).toBe(true);
  });

  test('a create that is aborted while it waits for its turn makes nothing, also when the turn comes', async () => {
    const engine = setUp();
    const { promise: turn, resolve } = Promise.withResolvers<void>();
    const stop = new AbortController();
    const specification = await specify({ image: 'idle' });
    const creating = engine.create({ specification, warm: false, beforeCreate: () => turn }, stop.signal);
    stop.abort();
    await expect(creating).rejects.toMatchObject({ kind: 'aborted' });
    resolve();
    await engine.check(signal());
    expect(machine.containers).toEqual([]);
  });

  test('retag gives the image of the containers that are there another name', async () => {
    const engine = setUp();
    const create = async () =>
      engine.create({ specification: await specify({ image: 'idle' }), warm: true }, signal());
    const old = await create();
    machine.retag('idle');
    const young = await create();
    expect(await engine.list({}, signal())).toEqual([
      { ...old, image: expect.stringMatching(/^sha256:/) },
      young,
    ]);
  });
});

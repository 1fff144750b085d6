import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Specification } from '../../src/core/container.ts';
import type { CreateProgress, Engine, EngineEvent } from '../../src/core/engine.ts';
import { decodeLabels, labels } from '../../src/core/labels.ts';
import { type EngineHarness, serves } from './engine-harness.ts';
import { testLife } from './engine-suite-life.ts';
import { eventually } from './eventually.ts';
import { logsOf } from './logs-of.ts';
import { specify } from './specification.ts';

/** The behaviour that everything which implements Engine shares. */
export function describeEngine(name: string, start: () => Promise<EngineHarness>): void {
  describe(name, () => {
    const prefix = `suite-${randomBytes(4).toString('hex')}`;
    let harness: EngineHarness;
    let owner: { instance: string; ledger: string };
    let engine: Engine;
    let instances = 0;
    const soon = () => AbortSignal.timeout(30_000);
    const newOwner = () => ({ instance: `${prefix}-${++instances}`, ledger: randomUUID() });
    /** A watch that stands, on an instance that no earlier test has used. */
    const watched = async (signal: AbortSignal) => {
      const engine = harness.engine(newOwner());
      const events: EngineEvent[] = [];
      const watching = engine.watch((event) => events.push(event), signal);
      await eventually(() => expect(events).toEqual([{ kind: 'open' }]));
      return { engine, events, watching };
    };
    const create = (specification: Specification) => engine.create({ specification, warm: false }, soon());

    beforeAll(async () => {
      harness = await start();
      owner = newOwner();
      engine = harness.engine(owner);
    });
    afterEach(async () => {
      for (const container of await engine.list({}, soon())) {
        await engine.remove(container.ref, { graceMs: null }, soon());
      }
    });
    afterAll(() => harness?.cleanUp(prefix));

    test('check tells name and version', async () => {
      const info = await engine.check(soon());
      expect(info.name).not.toBe('');
      expect(info.version).toMatch(/^\d+\./);
    });

    test('a created container runs, serves on its upstream, and carries its birth', async () => {
      const specification = await specify(harness.web);
      const container = await create(specification);
      const { id, ports } = specification;
      const image = harness.web.image;
      expect(container).toMatchObject({ name: `spawned__${id}`, image, state: 'running', exit: null });
      expect(container.upstream).toEqual({ address: '127.0.0.1', port: ports[0]!.hostPort });
      const { spec: _spec, ready: _ready, lifecycle: _lifecycle, labels: _labels, ...birth } = specification;
      expect(decodeLabels(container.labels)).toEqual({ owner, birth });
      await serves(container);
      expect(await engine.list({}, soon())).toEqual([container]);
    });

    test('an entry adds labels of its own, and cannot replace ours', async () => {
      const specification = await specify({
        ...harness.web,
        labels: { 'com.example.team': 'a', [labels.id.name]: 'other' },
      });
      await create(specification);
      const [listed] = await engine.list({}, soon());
      expect(listed!.labels).toMatchObject({
        'com.example.team': 'a',
        [labels.id.name]: specification.id,
      });
    });

    test('create tells its steps in order', async () => {
      const steps: CreateProgress['step'][] = [];
      const specification = await specify(harness.web);
      await engine.create({ specification, warm: false, onProgress: ({ step }) => steps.push(step) }, soon());
      expect(steps).toEqual(['creating', 'starting']);
    });

    test('create waits for its turn before there is a container', async () => {
      const { promise: turn, resolve } = Promise.withResolvers<void>();
      let asked = 0;
      const beforeCreate = async () => {
        asked++;
        await turn;
      };
      const specification = await specify(harness.web);
      const creating = engine.create({ specification, warm: false, beforeCreate }, soon());
      await eventually(() => expect(asked).toBe(1));
      expect(await engine.list({}, soon())).toEqual([]);
      resolve();
      const created = await creating;
      expect(await engine.list({}, soon())).toEqual([created]);
      expect(asked).toBe(1);
    });

    test('containers that are created at once all run', async () => {
      const many = await Promise.all(Array.from({ length: 6 }, () => specify(harness.web)));
      const containers = await Promise.all(many.map(create));
      await Promise.all(containers.map(serves));
      expect((await engine.list({}, soon())).map((c) => c.ref).sort()).toEqual(
        containers.map((c) => c.ref).sort(),
      );
    });

    test('list gives the containers of this instance only, whichever ledger made them', async () => {
      const ours = await create(await specify(harness.web));
      const sameInstance = harness.engine({ ...owner, ledger: randomUUID() });
      const older = await sameInstance.create(
        { specification: await specify(harness.web), warm: false },
        soon(),
      );
      const stranger = harness.engine(newOwner());
      const theirs = await stranger.create(
        { specification: await specify(harness.web), warm: false },
        soon(),
      );
      const refs = (await engine.list({}, soon())).map((c) => c.ref);
      expect(refs.sort()).toEqual([ours.ref, older.ref].sort());
      expect((await stranger.list({}, soon())).map((c) => c.ref)).toEqual([theirs.ref]);
    });

    test('list with an id gives that container or none', async () => {
      const specification = await specify(harness.web);
      const container = await create(specification);
      await create(await specify(harness.web));
      expect(await engine.list({ id: specification.id }, soon())).toEqual([container]);
      expect(await engine.list({ id: 'ffffffffffffffff' }, soon())).toEqual([]);
    });

    test('an image that is not there and may not be pulled is image_missing, and nothing is left', async () => {
      const specification = await specify({
        ...harness.web,
        image: 'no-such-image:none',
        pullPolicy: 'never',
      });
      await expect(create(specification)).rejects.toMatchObject({
        name: 'EngineError',
        kind: 'image_missing',
      });
      expect(await engine.list({}, soon())).toEqual([]);
    });

    test('a host port that somebody else holds is port_taken, and nothing is left', async () => {
      const specification = await specify(harness.web);
      const { hostPort } = specification.ports[0]!;
      const holder = createServer().listen(hostPort, '127.0.0.1');
      try {
        await expect(create(specification)).rejects.toMatchObject({ kind: 'port_taken', hostPort });
        expect(await engine.list({}, soon())).toEqual([]);
      } finally {
        holder.close();
      }
      await serves(await create(specification));
    });

    test('a host port that another container holds is port_taken, and that one lives on', async () => {
      const first = await specify(harness.web);
      const container = await create(first);
      const second = { ...(await specify(harness.web)), ports: first.ports };
      const { hostPort } = first.ports[0]!;
      await expect(create(second)).rejects.toMatchObject({ kind: 'port_taken', hostPort });
      expect(await engine.list({}, soon())).toEqual([container]);
    });

    test('a name that is taken is refused, and its holder lives on', async () => {
      const first = await specify(harness.web);
      const container = await create(first);
      const second = { ...(await specify(harness.web)), id: first.id };
      await expect(create(second)).rejects.toMatchObject({ kind: 'failed' });
      expect(await engine.list({}, soon())).toEqual([container]);
    });

    test('a container that ends is listed as exited, with its exit code', async () => {
      const { ref } = await create(await specify(harness.exits));
      const [exited] = await eventually(async () => {
        const list = await engine.list({}, soon());
        expect(list[0]!.state).toBe('exited');
        return list;
      });
      expect(exited).toMatchObject({ ref, upstream: null, exit: { code: 3, outOfMemory: false } });
    });

    test('a removed container is gone, and its name and port are free', async () => {
      const specification = await specify(harness.web);
      const { ref } = await create(specification);
      await engine.remove(ref, { graceMs: null }, soon());
      expect(await engine.list({}, soon())).toEqual([]);
      await serves(await create(specification));
    });

    test('remove with a grace ends a container too', async () => {
      const { ref } = await create(await specify(harness.web));
      await engine.remove(ref, { graceMs: 300 }, soon());
      expect(await engine.list({}, soon())).toEqual([]);
    });

    test('removing what is gone, or twice at once, is no error', async () => {
      const { ref } = await create(await specify(harness.web));
      const remove = () => engine.remove(ref, { graceMs: null }, soon());
      await Promise.all([remove(), remove(), remove()]);
      await remove();
      expect(await engine.list({}, soon())).toEqual([]);
    });

    test('watch tells of starts, exits and removals, of this instance only, until its signal fires', async () => {
      const stop = new AbortController();
      const { engine, events, watching } = await watched(stop.signal);
      await create(await specify(harness.web));
      const specification = await specify(harness.web);
      const { ref } = await engine.create({ specification, warm: false }, soon());
      await engine.remove(ref, { graceMs: null }, soon());
      const about = { kind: 'container', ref, id: specification.id };
      await eventually(() =>
        expect(events).toEqual([
          { kind: 'open' },
          { ...about, change: 'started' },
          { ...about, change: 'exited' },
          { ...about, change: 'removed' },
        ]),
      );
      stop.abort();
      await watching;
    });

    test('watch tells of a pause and its end', async () => {
      const stop = new AbortController();
      const { engine, events, watching } = await watched(stop.signal);
      const { ref } = await engine.create({ specification: await specify(harness.web), warm: false }, soon());
      await harness.pause(ref);
      await engine.wake(ref, soon());
      const changes = () => events.flatMap((event) => (event.kind === 'container' ? event.change : []));
      await eventually(() => expect(changes()).toEqual(['started', 'paused', 'unpaused']));
      stop.abort();
      await watching;
    });

    testLife(() => ({ harness, engine }));

    test('logs gives the last lines', async () => {
      const { ref } = await create(await specify(harness.exits));
      await eventually(async () =>
        expect(await logsOf(engine, ref, { tailLines: 2 }, soon())).toBe('line 4\nline 5\n'),
      );
    });

    test('logs goes on with what is written, until the container ends', async () => {
      const { ref } = await create(await specify(harness.exits));
      expect(await logsOf(engine, ref, { follow: true }, soon())).toBe(
        'line 1\nline 2\nline 3\nline 4\nline 5\n',
      );
    });

    test('logs waits with each piece until the one before is done with', async () => {
      const { ref } = await create(await specify(harness.exits));
      let atOnce = 0;
      let most = 0;
      let text = '';
      const onText = async (piece: string) => {
        most = Math.max(most, ++atOnce);
        await new Promise((resolve) => setImmediate(resolve));
        text += piece;
        atOnce--;
      };
      await engine.logs(ref, { tailLines: null, sinceMs: null, follow: true }, onText, soon());
      expect(most).toBe(1);
      expect(text).toContain('line 5\n');
    });

    test('stats tells what a container uses', async () => {
      const { ref } = await create(await specify(harness.web));
      const stats = await engine.stats(ref, soon());
      expect(stats.cpuMs).toBeGreaterThanOrEqual(0);
      expect(stats.memoryBytes).toBeGreaterThanOrEqual(0);
      expect(stats.pids).toBeGreaterThanOrEqual(1);
      expect(Object.values(stats)).not.toContain(Number.NaN);
    });

    test('a container that is not there is not_found', async () => {
      const none = 'f'.repeat(64);
      await expect(engine.wake(none, soon())).rejects.toMatchObject({ kind: 'not_found' });
      const calls = [
        logsOf(engine, none, { tailLines: 5 }, soon()),
        engine.sleep(none, { mode: 'stop', graceMs: 0 }, soon()),
        engine.sleep(none, { mode: 'pause', graceMs: null }, soon()),
        engine.exec(none, { command: harness.copy, input: '' }, soon()),
        engine.rename(none, 'abc', soon()),
      ];
      await Promise.all(calls.map((call) => expect(call).rejects.toMatchObject({ kind: 'not_found' })));
    });

    test('a signal that has fired ends every call: aborted, or unreachable where it was a deadline', async () => {
      const specification = await specify(harness.web);
      const aborted = AbortSignal.abort();
      const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
      for (const [signal, kind] of [
        [aborted, 'aborted'],
        [late, 'unreachable'],
      ] as const) {
        await expect(engine.check(signal)).rejects.toMatchObject({ kind });
        await expect(engine.list({}, signal)).rejects.toMatchObject({ kind });
        await expect(engine.create({ specification, warm: false }, signal)).rejects.toMatchObject({ kind });
        await expect(engine.remove('x', { graceMs: null }, signal)).rejects.toMatchObject({ kind });
        await expect(engine.wake('x', signal)).rejects.toMatchObject({ kind });
        await expect(logsOf(engine, 'x', { tailLines: 1 }, signal)).rejects.toMatchObject({ kind });
        const sleep = engine.sleep('x', { mode: 'stop', graceMs: null }, signal);
        await expect(sleep).rejects.toMatchObject({ kind });
        const exec = engine.exec('x', { command: harness.copy, input: '' }, signal);
        await expect(exec).rejects.toMatchObject({ kind });
        await expect(engine.rename('x', 'y', signal)).rejects.toMatchObject({ kind });
      }
      await engine.watch(() => {}, aborted);
      expect(await engine.list({}, soon())).toEqual([]);
    });
  });
}

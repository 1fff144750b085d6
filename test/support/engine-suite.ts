import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Specification } from '../../src/core/container.ts';
import type { CreateProgress, Engine, EngineContainer, EngineEvent } from '../../src/core/engine.ts';
import type { ContainerSpec, LifecycleSpec } from '../../src/core/image-entry.ts';
import { decodeLabels, labels } from '../../src/core/labels.ts';
import { eventually } from './eventually.ts';

/** What the suite needs of an engine under test. */
export interface EngineHarness {
  engine(owner: { readonly instance: string; readonly ledger: string }): Engine;
  /** What to run for a container that serves; one that writes `line 1` to `line 5`, then exits with 3. */
  readonly web: Partial<ContainerSpec>;
  readonly exits: Partial<ContainerSpec>;
  /** What to run in `web` for a command that writes what it reads, then `end`, and exits with 7. */
  readonly copy: readonly string[];
  pause(ref: string): Promise<void>;
  /** Ends everything that instances whose name begins with `prefix` have left. */
  cleanUp(prefix: string): Promise<void>;
}

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
      const { spec: _spec, ready: _ready, lifecycle: _lifecycle, ...birth } = specification;
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

    test('logs gives the last lines', async () => {
      const { ref } = await create(await specify(harness.exits));
      await eventually(async () =>
        expect(await engine.logs(ref, { tailLines: 2 }, soon())).toBe('line 4\nline 5\n'),
      );
    });

    test('a container that is not there is not_found', async () => {
      const none = 'f'.repeat(64);
      await expect(engine.wake(none, soon())).rejects.toMatchObject({ kind: 'not_found' });
      const calls = [
        engine.logs(none, { tailLines: 5 }, soon()),
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
        await expect(engine.logs('x', { tailLines: 1 }, signal)).rejects.toMatchObject({ kind });
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

/** A specification with a fresh id and a host port that was free a moment ago. */
export async function specify(spec: Partial<ContainerSpec>): Promise<Specification> {
  const createdAtMs = Date.parse('2030-01-02T03:04:05.678Z');
  return {
    id: randomBytes(16).toString('hex'),
    imageKey: 'test',
    user: 'Zoë <&> "it\'s me"',
    createdAtMs,
    expiresAtMs: createdAtMs + 3_600_000,
    ports: [{ name: 'web', port: 80, protocol: 'http', hostPort: await freePort() }],
    configHash: 'c0ffee',
    ready: { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 60_000 },
    lifecycle: plainLifecycle,
    spec: { ...plainSpec, ...spec },
  };
}

export const plainLifecycle: LifecycleSpec = {
  idleMs: null,
  onIdle: 'remove',
  idleIgnoresTunnels: false,
  warnBeforeMs: 0,
  maxLifetimeMs: 3_600_000,
};

export const plainSpec: ContainerSpec = {
  image: 'web',
  command: null,
  entrypoint: null,
  environment: {},
  volumes: [],
  tmpfs: [],
  workingDir: null,
  user: null,
  labels: {},
  memLimitBytes: 128 * 1024 * 1024,
  cpus: 1,
  pidsLimit: 64,
  shmSizeBytes: null,
  ulimits: [],
  readOnly: false,
  capabilities: ['NET_BIND_SERVICE'],
  securityOpt: ['no-new-privileges:true'],
  runtime: null,
  init: null,
  devices: [],
  dns: [],
  extraHosts: [],
  stopSignal: null,
  stopGracePeriodMs: null,
  pullPolicy: 'missing',
  platform: null,
  networkMode: null,
  logMaxSizeBytes: 10 * 1024 * 1024,
  logMaxFiles: 2,
};

export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once('error', reject).listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function serves(container: EngineContainer): Promise<void> {
  const { address, port } = container.upstream!;
  await eventually(async () => {
    const response = await fetch(`http://${address}:${port}/`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    expect(response.status).toBe(200);
  });
}

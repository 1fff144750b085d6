import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { type Core, createCore } from '../../../src/core/core.ts';
import { SpawnerError } from '../../../src/core/errors.ts';
import type { Ledger } from '../../../src/core/ledger.ts';
import { createDockerEngine } from '../../../src/engine/docker.ts';
import { openLedger } from '../../../src/ledger/sqlite.ts';
import { type Daemon, type Misdeed, startDaemon } from '../../model/daemon.ts';
import { entry } from '../../support/core-harness.ts';
import { eventually } from '../../support/eventually.ts';

/** The core, the real Docker engine and its real connections, on a daemon that lies. */
interface Service {
  readonly core: Core;
  readonly ledger: Ledger;
  close(): void;
}

let daemon: Daemon;
let dataDir: string;
let service: Service;

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'docker-spawner-test-'));
  daemon = await startDaemon();
  service = await start();
});
afterEach(async () => {
  service.close();
  await daemon[Symbol.asyncDispose]();
  rmSync(dataDir, { recursive: true, force: true });
});

async function start(): Promise<Service> {
  const ledger = openLedger(dataDir);
  const quiet = () => {};
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const engine = createDockerEngine({
    owner: { instance: 'scripted', identity: () => ledger.identity },
    ...{ containerPrefix: 'spawned__', env: daemon.env, log },
  });
  const running = (port: number) =>
    [...daemon.containers.values()].some((c) => c.port === port && c.state === 'running');
  const core = createCore({
    ...{ withUsers: true, userLimit: 1, onUserLimit: 'reject', maxContainers: 10, hexSize: 32 },
    ...{ queueLength: 100, maxParallelStarts: 4, portStart: 9000, sweepEveryMs: 50, historyMs: 3_600_000 },
    ...{ instance: 'scripted', domain: 'example.test', urlOf: (id) => `http://${id}.example.test` },
    ...{ adopt: false, engine, ledger, clock: systemClock, log },
    images: new Map([['web', entry('web', { lifecycle: { onIdle: 'stop' } })]]),
    traffic: { release: async () => {}, quiesce: async () => {}, noteNow() {} },
    reach: { portIsFree: async () => true, httpStatus: async ({ port }) => (running(port) ? 200 : null) },
  });
  await core.start();
  const close = () => {
    core.close();
    ledger.close();
  };
  return { core, ledger, close };
}

const spawn = (user = 'ann') => service.core.commands.spawn({ imageKey: 'web', user });
const sweeps = async (count: number) => {
  const before = daemon.count(/^GET .containers.json/);
  await eventually(() =>
    expect(daemon.count(/^GET .containers.json/)).toBeGreaterThanOrEqual(before + count),
  );
};
const isEmpty = () =>
  eventually(() => {
    expect([...daemon.containers.keys()]).toEqual([]);
    expect(service.ledger.list()).toEqual([]);
  });

const misdeeds: Record<string, Misdeed> = {
  'is late': { kind: 'delay', ms: 300 },
  'breaks before its effect': { kind: 'drop', after: false },
  'breaks after its effect': { kind: 'drop', after: true },
  'says 404': { kind: 'status', status: 404, after: false },
  'says 409': { kind: 'status', status: 409, after: false },
  'says 500': { kind: 'status', status: 500, after: false },
  'says 500 after its effect': { kind: 'status', status: 500, after: true },
  'is cut off': { kind: 'cut', clean: false },
  'is cut short': { kind: 'cut', clean: true },
};

const calls: Record<string, RegExp> = {
  'its creation': /^POST .containers.create/,
  'its start': /^POST .containers.\w+.start/,
  'the network': /^POST .networks.create/,
  'the question whether the engine is there': /^GET ._ping/,
};

describe.each(Object.entries(calls))('a spawn of which %s', (_call, pattern) => {
  test.each(Object.entries(misdeeds))('%s is completed, or leaves nothing', async (_misdeed, misdeed) => {
    daemon.misbehave(pattern, misdeed);
    const result = await spawn().catch((error: unknown) => error);
    if (result instanceof Error) {
      expect(result).toBeInstanceOf(SpawnerError);
      expect((result as SpawnerError).status).toBeGreaterThanOrEqual(500);
      expect((result as SpawnerError).code).not.toBe('internal');
      await isEmpty();
    }
    const { id } = result instanceof Error ? await spawn() : (result as { id: string });
    expect([...daemon.containers.values()].map((c) => [c.id, c.state])).toEqual([[id, 'running']]);
    await service.core.commands.stop(id);
    await isEmpty();
  });
});

test.each(['before', 'after'])('a creation that hangs %s its effect can be stopped', async (when) => {
  daemon.misbehave(/^POST .containers.create/, { kind: 'hang', after: when === 'after' });
  const spawning = spawn();
  spawning.catch(() => {});
  const { id } = await eventually(() => {
    expect(daemon.count(/^POST .containers.create/)).toBe(1);
    return service.core.commands.newestOf('ann')!;
  });
  await service.core.commands.stop(id);
  await expect(spawning).rejects.toMatchObject({ code: 'stopped_early' });
  await isEmpty();
});

describe('a removal', () => {
  test.each(Object.entries(misdeeds))('that %s is finished in the end', async (_misdeed, misdeed) => {
    const { id } = await spawn();
    daemon.misbehave(/^DELETE/, misdeed);
    await service.core.commands.stop(id).catch(() => {});
    await isEmpty();
  });
});

describe('a container that serves', () => {
  const lies: Record<string, Misdeed> = {
    ...misdeeds,
    'is empty': { kind: 'empty' },
    'is an old one': { kind: 'stale' },
    'does not come': { kind: 'hang', after: false },
  };

  test.each(Object.entries(lies))('is served on where the list %s', async (_lie, lie) => {
    const [ann, bob] = await Promise.all([spawn('ann'), spawn('bob')]);
    daemon.misbehave(/^GET .containers.json/, lie);
    if (lie.kind === 'hang') {
      await eventually(() => expect(daemon.count(/^GET .containers.json/)).toBeGreaterThan(2));
      daemon.away();
      daemon.back();
    }
    await sweeps(5);
    for (const { id } of [ann, bob]) {
      expect(service.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
    }
    expect(daemon.containers.size).toBe(2);
  });

  test('is served by the next start though the first list of it is an empty lie', async () => {
    const [ann, bob] = await Promise.all([spawn('ann'), spawn('bob')]);
    service.close();
    daemon.misbehave(/^GET .containers.json/, { kind: 'empty' });
    service = await start();
    for (const { id } of [ann, bob]) {
      expect(service.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
    }
  });

  test('is forgotten where two lists say that all of them are gone', async () => {
    await Promise.all([spawn('ann'), spawn('bob')]);
    daemon.misbehave(/^GET .containers.json/, { kind: 'empty' }, 1000);
    await eventually(() => expect([...service.core.commands.all()]).toEqual([]));
  });

  test.each(['byte by byte', 'twice', 'silent'] as const)(
    'and ends is noticed, and only that one, where events are sent %s',
    async (how) => {
      const [ann, bob] = await Promise.all([spawn('ann'), spawn('bob')]);
      daemon.events = how;
      daemon.exit(ann.id);
      await eventually(() => expect(service.core.commands.get(ann.id)).toBeUndefined());
      expect(service.core.commands.get(bob.id)?.phase).toBe('ready');
      await eventually(() => expect([...daemon.containers.values()].map((c) => c.id)).toEqual([bob.id]));
    },
  );

  test('is there after the engine was away six times, and the next spawn works each time', async () => {
    const { id } = await spawn('ann');
    for (let round = 0; round < 6; round++) {
      daemon.away();
      await expect(spawn('bob')).rejects.toMatchObject({ code: 'engine_unavailable' });
      daemon.back();
      const bob = await eventually(() => spawn('bob'));
      await service.core.commands.stop(bob.id);
    }
    expect(service.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
    expect([...daemon.containers.values()].map((c) => c.id)).toEqual([id]);
  });
});

describe('a container that sleeps', () => {
  const verbs = { 'falls asleep': /stop$/, wakes: /start$/ };
  test.each(
    Object.entries(verbs).flatMap(([verb, call]) =>
      Object.entries(misdeeds).map(([name, misdeed]) => [verb, name, call, misdeed] as const),
    ),
  )('and %s with a call that %s is not lost, and serves in the end', async (verb, _name, call, misdeed) => {
    const { id } = await spawn();
    if (verb === 'falls asleep') daemon.misbehave(call, misdeed);
    await service.core.commands.sleep(id).catch(() => {});
    if (verb === 'wakes') daemon.misbehave(call, misdeed);
    await eventually(() => service.core.commands.wake(id));
    expect([...daemon.containers.values()].map((c) => [c.id, c.state])).toEqual([[id, 'running']]);
    expect(service.core.routes.get(`${id}.example.test`)?.state).toBe('ready');
  });
});

import { randomBytes } from 'node:crypto';
import Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Engine, EngineContainer } from '../../src/core/engine.ts';
import { labels, type Owner } from '../../src/core/labels.ts';
import { networkName } from '../../src/core/names.ts';
import { createDockerEngine } from '../../src/engine/docker.ts';
import { describeEngine } from '../support/engine-suite.ts';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { logsOf } from '../support/logs-of.ts';
import { specify } from '../support/specification.ts';

const docker = new Docker();

describeEngine('the Docker engine', async () => {
  const image = await testImage();
  const lines = 'for (let i = 1; i <= 5; i++) console.log("line " + i); process.exitCode = 3;';
  const copy =
    'process.stdin.on("end", () => { process.stdout.write("end"); process.exitCode = 7; })' +
    '.pipe(process.stdout, { end: false })';
  return {
    engine: engineOf,
    web: { image },
    exits: { image, command: ['node', '-e', lines] },
    copy: ['node', '-e', copy],
    pause: (ref) => docker.getContainer(ref).pause(),
    cleanUp,
  };
});

describe('containers of the Docker engine', () => {
  const prefix = `docker-${randomBytes(4).toString('hex')}`;
  const soon = () => AbortSignal.timeout(60_000);
  let instances = 0;
  let image = '';

  beforeAll(async () => {
    image = await testImage();
  });
  afterAll(() => cleanUp(prefix));

  test('have what the entry says, and the rest shut', async () => {
    const { engine } = newEngine();
    const specification = await specify({
      image,
      environment: { ID: 'x', QUOTED: '"a" b=c' },
      workingDir: '/tmp',
      tmpfs: [{ target: '/scratch', options: 'size=1m' }],
      ulimits: [{ name: 'nofile', soft: 1000, hard: 2000 }],
      readOnly: true,
      shmSizeBytes: 1024 * 1024,
      runtime: 'runc',
      devices: [{ hostPath: '/dev/null', containerPath: '/dev/nothing', permissions: 'rw' }],
      dns: ['127.0.0.1'],
      extraHosts: ['db:10.0.0.1'],
      stopSignal: 'SIGINT',
      stopGracePeriodMs: 2500,
      platform: `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`,
    });
    const { ref } = await engine.create({ specification, warm: false }, soon());
    const { Config, HostConfig, NetworkSettings } = await docker.getContainer(ref).inspect();
    const HostPort = String(specification.ports[0]!.hostPort);
    expect(NetworkSettings.Ports['80/tcp']).toEqual([{ HostIp: '127.0.0.1', HostPort }]);
    expect(Config.Env).toEqual(expect.arrayContaining(['ID=x', 'QUOTED="a" b=c']));
    expect(Config).toMatchObject({ WorkingDir: '/tmp', StopSignal: 'SIGINT', StopTimeout: 3, Tty: false });
    expect(HostConfig).toMatchObject({
      Privileged: false,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      Memory: 128 * 1024 * 1024,
      MemorySwap: 128 * 1024 * 1024,
      NanoCpus: 1e9,
      PidsLimit: 64,
      ReadonlyRootfs: true,
      ShmSize: 1024 * 1024,
      Tmpfs: { '/scratch': 'size=1m' },
      Ulimits: [{ Name: 'nofile', Soft: 1000, Hard: 2000 }],
      ExtraHosts: ['db:10.0.0.1'],
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10485760', 'max-file': '2' } },
    });
  });

  test('cannot reach each other, while the host can reach them', async () => {
    const { engine } = newEngine();
    const web = await engine.create({ specification: await specify({ image }), warm: false }, soon());
    await eventually(async () =>
      expect((await fetch(`http://127.0.0.1:${web.upstream!.port}/`)).ok).toBe(true),
    );
    const { NetworkSettings } = await docker.getContainer(web.ref).inspect();
    const [network] = Object.values(NetworkSettings.Networks);
    const address = network!.IPAddress;
    expect((await fetch(`http://${address}/`)).ok).toBe(true);
    const probe = `fetch('http://${address}/', { signal: AbortSignal.timeout(2000) })
      .then(() => console.log('reached'), () => console.log('blocked'))`;
    const other = await engine.create(
      { specification: await specify({ image, command: ['node', '-e', probe] }), warm: false },
      soon(),
    );
    await eventually(async () =>
      expect(await logsOf(engine, other.ref, { tailLines: 1 }, soon())).toBe('blocked\n'),
    );
  });

  test('take their anonymous volumes along; a named one stays, and tells who made it', async () => {
    const { engine, instance } = newEngine();
    const name = `${instance}-home`;
    const specification = await specify({
      image,
      volumes: [
        { type: 'volume', source: name, target: '/home', readOnly: false },
        { type: 'volume', source: '', target: '/cache', readOnly: false },
      ],
    });
    const { ref } = await engine.create({ specification, warm: false }, soon());
    const { Mounts } = await docker.getContainer(ref).inspect();
    const anonymous = Mounts.find((mount) => mount.Destination === '/cache')!.Name!;
    await engine.remove(ref, { graceMs: null }, soon());
    await expect(docker.getVolume(anonymous).inspect()).rejects.toMatchObject({ statusCode: 404 });
    expect((await docker.getVolume(name).inspect()).Labels).toEqual({ [labels.instance.name]: instance });
  });

  test('share one network, also when many are the first; it is made again when it was removed', async () => {
    const { engine, instance } = newEngine();
    const create = async () =>
      engine.create({ specification: await specify({ image }), warm: false }, soon());
    const networks = async () =>
      (await docker.listNetworks()).filter((network) => network.Name === networkName(instance));
    const first = await Promise.all([create(), create(), create()]);
    expect(await networks()).toHaveLength(1);
    await Promise.all(first.map(({ ref }) => engine.remove(ref, { graceMs: null }, soon())));
    await docker.getNetwork((await networks())[0]!.Id).remove();
    const { ref } = await create();
    expect(await networks()).toHaveLength(1);
    expect((await engine.list({}, soon())).map((container) => container.ref)).toEqual([ref]);
  });

  test('wake although their network was removed while all of them slept', async () => {
    const { engine, instance } = newEngine();
    const create = async () =>
      engine.create({ specification: await specify({ image }), warm: false }, soon());
    const created = await Promise.all([create(), create()]);
    const sleep = ({ ref }: EngineContainer) => engine.sleep(ref, { mode: 'stop', graceMs: 0 }, soon());
    await Promise.all(created.map(sleep));
    await docker.getNetwork(networkName(instance)).remove();
    expect(await Promise.all(created.map(({ ref }) => engine.wake(ref, soon())))).toEqual(created);
    for (const { upstream } of created) {
      await eventually(async () =>
        expect((await fetch(`http://127.0.0.1:${upstream!.port}/`)).ok).toBe(true),
      );
    }
  });

  test('are listed with an image id once the name of their image means another image', async () => {
    const { engine, instance } = newEngine();
    const name = `${instance}:latest`;
    const tag = { repo: instance, tag: 'latest' };
    await docker.getImage(image).tag(tag);
    try {
      const specification = await specify({ image: name });
      const created = await engine.create({ specification, warm: true }, soon());
      expect(created.image).toBe(name);
      expect(await engine.list({}, soon())).toEqual([created]);
      await docker.getImage(name).remove();
      const [listed] = await engine.list({}, soon());
      expect(listed!.image).toMatch(/^sha256:/);
      await engine.sleep(created.ref, { mode: 'stop', graceMs: 0 }, soon());
      const [asleep] = await engine.list({}, soon());
      expect(asleep!.image).toBe(listed!.image);
    } finally {
      await docker
        .getImage(name)
        .remove()
        .catch(() => {});
    }
  });

  test('are not disturbed by a command that leaves a process behind', async () => {
    const { engine } = newEngine();
    const { ref } = await engine.create({ specification: await specify({ image }), warm: false }, soon());
    const child = 'process.on("SIGHUP", () => {}); setInterval(() => {}, 1000)';
    const command = `require("node:child_process")
      .spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit", detached: true }).unref()`;
    const exec = { command: ['node', '-e', command], input: '' };
    expect(await engine.exec(ref, exec, soon())).toEqual({ exitCode: 0, output: '' });
  });

  test('tell of a command that is not there by its exit code', async () => {
    const { engine } = newEngine();
    const { ref } = await engine.create({ specification: await specify({ image }), warm: false }, soon());
    const { exitCode, output } = await engine.exec(ref, { command: ['/no/such'], input: 'x' }, soon());
    expect([126, 127]).toContain(exitCode);
    expect(output).toMatch(/no such file/);
  });

  test('lose nothing where a call to a command that goes on ends', async () => {
    const { engine } = newEngine();
    const { ref } = await engine.create({ specification: await specify({ image }), warm: false }, soon());
    const endless = { command: ['node', '-e', 'setInterval(() => {}, 1000)'], input: '' };
    const late = AbortSignal.timeout(1500);
    await expect(engine.exec(ref, endless, late)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(await engine.list({}, soon())).toMatchObject([{ ref, state: 'running' }]);
  });

  test('are not put into a network that somebody else made under that name', async () => {
    const { engine, instance } = newEngine();
    const foreign = await docker.createNetwork({ Name: networkName(instance) });
    try {
      await expect(
        engine.create({ specification: await specify({ image }), warm: false }, soon()),
      ).rejects.toThrow('that this service has not made');
    } finally {
      await foreign.remove();
    }
  });

  test.each([
    ['a command that is not there', { command: ['/no/such/program'] }, 'no such file'],
    [
      'a bind mount whose source is not there',
      { volumes: [{ type: 'bind', source: '/no/such/path', target: '/x', readOnly: true }] },
      'bind source path does not exist',
    ],
  ] as const)('with %s fail in the words of the engine, and leave nothing', async (_what, spec, words) => {
    const { engine } = newEngine();
    const specification = await specify({ image, ...spec });
    await expect(engine.create({ specification, warm: false }, soon())).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining(words),
    });
    expect(await engine.list({}, soon())).toEqual([]);
  });

  test('that were killed for want of memory say so', async () => {
    const { engine } = newEngine();
    const hungry = 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));';
    const specification = await specify({ image, command: ['node', '-e', hungry] });
    await engine.create({ specification, warm: false }, soon());
    await eventually(async () =>
      expect(await engine.list({}, soon())).toMatchObject([
        { state: 'exited', exit: { code: 137, outOfMemory: true } },
      ]),
    );
  });

  test('that write much have all of it read, in pieces', async () => {
    const { engine } = newEngine();
    const chatty = 'console.log("x".repeat(300_000)); console.log("the end")';
    const specification = await specify({ image, command: ['node', '-e', chatty] });
    const { ref } = await engine.create({ specification, warm: false }, soon());
    await eventually(async () => {
      const text = await logsOf(engine, ref, { tailLines: 100 }, soon());
      expect(text).toMatch(/xxx\nthe end\n$/);
      expect(text).toHaveLength(300_009);
    });
  });

  function newEngine(): { engine: Engine; instance: string } {
    const instance = `${prefix}-${++instances}`;
    return { engine: engineOf({ instance, ledger: 'ledger' }), instance };
  }
});

function engineOf({ instance, ledger }: Owner): Engine {
  const quiet = () => {};
  return createDockerEngine({
    owner: { instance, identity: () => ledger },
    containerPrefix: 'spawned__',
    env: process.env,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
}

/** Removes the containers, networks and volumes of all instances whose name begins so. */
async function cleanUp(prefix: string): Promise<void> {
  const filters = { label: [labels.instance.name] };
  const isOurs = ({ Labels }: { Labels?: Record<string, string> | null | undefined }) =>
    Labels?.[labels.instance.name]?.startsWith(prefix) === true;
  for (const { Id } of (await docker.listContainers({ all: true, filters })).filter(isOurs)) {
    await docker.getContainer(Id).remove({ force: true, v: true });
  }
  for (const { Id } of (await docker.listNetworks({ filters })).filter(isOurs)) {
    await docker.getNetwork(Id).remove();
  }
  for (const { Name } of (await docker.listVolumes({ filters: JSON.stringify(filters) })).Volumes.filter(
    isOurs,
  )) {
    await docker.getVolume(Name).remove();
  }
}

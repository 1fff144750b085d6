import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testImage } from '../support/images.ts';
import { docker, type RunningService, startService } from '../support/service.ts';

let service: RunningService;

/** Serves what the kernel says of the process, since an unprivileged file is all that this needs. */
const showStatus =
  "const fs = require('fs'); require('http').createServer((q, r) => " +
  "r.end(fs.readFileSync('/proc/self/status'))).listen(80);";

/** Engines take both signs. */
const noNewPrivileges = expect.stringMatching(/^no-new-privileges[:=]true$/);

beforeAll(async () => {
  const image = await testImage();
  service = await startService({
    settings: {
      container_images: {
        web: image,
        status: { image, command: ['node', '-e', showStatus] },
        loosened: {
          image,
          ...{ cap_add: ['NET_RAW', 'SYS_PTRACE'], cap_drop: ['CHOWN'] },
          security_opt: ['no-new-privileges:false', 'seccomp=unconfined'],
          ...{ pids_limit: -1, mem_limit: 0, cpus: 0, network_mode: 'bridge' },
          logging: { options: { 'max-size': '1m', 'max-file': 1 } },
          ...{ shm_size: '32m', init: true, ulimits: { nofile: { soft: 512, hard: 1024 } } },
        },
        locked: {
          image,
          ...{ read_only: true, tmpfs: ['/scratch:size=1m'], cap_drop: ['ALL'], user: '1000:1000' },
          ...{ port: 8080, environment: { PORT: 8080 }, mem_limit: '64m', cpus: 0.5, pids_limit: 32 },
        },
      },
    },
  });
});

afterAll(() => service[Symbol.asyncDispose]());

describe('a container', () => {
  test('is published on loopback only', async () => {
    const { NetworkSettings, HostConfig } = await inspect(await spawned('web', 'loopback'));
    const [binding, ...others] = NetworkSettings.Ports['80/tcp']!;
    expect(others).toEqual([]);
    expect(binding!.HostIp).toBe('127.0.0.1');
    expect(Number(binding!.HostPort)).toBeGreaterThanOrEqual(service.portStart);
    expect(Object.keys(NetworkSettings.Ports)).toEqual(['80/tcp']);
    expect(HostConfig.PublishAllPorts).toBe(false);
  });

  test('is not privileged, shares nothing of the host, and has limits, unless its entry says otherwise', async () => {
    const { HostConfig, Mounts } = await inspect(await spawned('web', 'limits'));
    expect(HostConfig).toMatchObject({
      ...{ Privileged: false, CapDrop: ['ALL'], SecurityOpt: [noNewPrivileges] },
      CapAdd: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'],
      ...{ PidsLimit: 256, Memory: 512 * 2 ** 20, MemorySwap: 512 * 2 ** 20, NanoCpus: 1e9 },
      LogConfig: { Type: 'json-file', Config: { 'max-size': String(10 * 2 ** 20), 'max-file': '3' } },
      ...{ PidMode: '', UTSMode: '', IpcMode: 'private', Binds: null, VolumesFrom: null },
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    });
    expect(HostConfig.Devices).toEqual([]);
    expect(Mounts).toEqual([]);
  });

  test('has, as its own kernel says, no new privileges, seven capabilities and a filter of system calls', async () => {
    const status = (await service.visit(await spawned('status', 'kernel'))).body;
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];
    const seven = [0, 1, 3, 5, 6, 7, 10].reduce((bits, capability) => bits | (1 << capability), 0);
    for (const set of ['CapEff', 'CapPrm', 'CapBnd']) {
      expect(Number.parseInt(field(set)!, 16), set).toBe(seven);
    }
    expect(field('CapAmb')).toMatch(/^0+$/);
    expect(field('NoNewPrivs')).toBe('1');
    expect(field('Seccomp')).toBe('2');
  });

  test('gets by name what its entry loosens, and nothing else', async () => {
    const { HostConfig } = await inspect(await spawned('loosened', 'loose'));
    expect(HostConfig).toMatchObject({
      ...{ Privileged: false, CapDrop: ['ALL'] },
      CapAdd: [
        ...['DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'NET_RAW', 'SETGID', 'SETUID'],
        'SYS_PTRACE',
      ],
      ...{ Memory: 0, NanoCpus: 0, NetworkMode: 'bridge', ShmSize: 32 * 2 ** 20, Init: true },
      LogConfig: { Type: 'json-file', Config: { 'max-size': String(2 ** 20), 'max-file': '1' } },
      Ulimits: [{ Name: 'nofile', Soft: 512, Hard: 1024 }],
    });
    expect(HostConfig.SecurityOpt).toContain('seccomp=unconfined');
    expect(HostConfig.SecurityOpt).not.toContainEqual(noNewPrivileges);
    // Engines show an unlimited number as -1, 0 or null.
    expect(HostConfig.PidsLimit ?? 0).toBeLessThanOrEqual(0);
    expect(Object.values(HostConfig.PortBindings as object).flat()).toEqual([
      { HostIp: '127.0.0.1', HostPort: expect.any(String) },
    ]);
  });

  test('that is locked down further works: another port and user, no capability, nothing to write but a tmpfs', async () => {
    const id = await spawned('locked', 'locked');
    expect(JSON.parse((await service.visit(id, '/write?path=/file')).body).result).toBe('EROFS');
    expect(JSON.parse((await service.visit(id, '/write?path=/scratch/file')).body).result).toBe('written');
    const { HostConfig, Config } = await inspect(id);
    expect(HostConfig).toMatchObject({
      ...{ ReadonlyRootfs: true, CapDrop: ['ALL'], Memory: 64 * 2 ** 20, NanoCpus: 5e8, PidsLimit: 32 },
    });
    expect(HostConfig.CapAdd ?? []).toEqual([]);
    expect(Config.User).toBe('1000:1000');
  });
});

describe('the network of the containers', () => {
  test('is this instance’s own, carries its labels, and separates its members', async () => {
    const id = await spawned('web', 'network');
    const name = `docker-spawner-${service.instance}`;
    const network = await docker.getNetwork(name).inspect();
    expect(network).toMatchObject({
      Driver: 'bridge',
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
      Labels: { 'docker-spawner.instance': service.instance },
    });
    const { NetworkSettings, Config } = await inspect(id);
    expect(Object.keys(NetworkSettings.Networks)).toEqual([name]);
    expect(network.Labels?.['docker-spawner.ledger']).toBe(Config.Labels['docker-spawner.ledger']);
  });

  test('lets no container reach another one, by address, by name or by its published port, nor the API', async () => {
    const [one, other] = [await spawned('web', 'attacker'), await spawned('web', 'victim')];
    const name = `docker-spawner-${service.instance}`;
    const victim = (await inspect(other)).NetworkSettings;
    const { IPAddress: address, Gateway: gateway } = victim.Networks[name]!;
    const publishedPort = Number(victim.Ports['80/tcp']![0]!.HostPort);

    // The host can be reached, so what follows is not for want of a network.
    const listener = createServer((socket) => socket.end()).listen(0, gateway);
    await once(listener, 'listening');
    try {
      expect(await reaches(one, gateway, (listener.address() as { port: number }).port)).toBe('open');
    } finally {
      listener.close();
    }
    expect(await reaches(one, '127.0.0.1', 80)).toBe('open');
    expect(await reaches(one, address, 80)).toBe('timeout');
    expect(await reaches(one, `spawned__${other}`, 80)).toBe('timeout');
    expect(await reaches(one, gateway, publishedPort)).not.toBe('open');
    expect(await reaches(one, gateway, service.api.port)).not.toBe('open');
    expect((await service.visit(other)).status).toBe(200);
  });

  async function reaches(from: string, host: string, port: number): Promise<string> {
    const query = new URLSearchParams({ host, port: String(port), ms: '1000' });
    return JSON.parse((await service.visit(from, `/net?${query}`)).body).result;
  }
});

async function spawned(key: string, user: string): Promise<string> {
  const answer = await service.spawn(key, user);
  expect(answer.status, answer.body).toBe(200);
  return answer.body;
}

function inspect(id: string) {
  return docker.getContainer(`spawned__${id}`).inspect();
}

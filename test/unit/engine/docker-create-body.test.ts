import { describe, expect, test } from 'vitest';
import type { Specification } from '../../../src/core/container.ts';
import type { ContainerSpec } from '../../../src/core/image-entry.ts';
import { createBody } from '../../../src/engine/docker-create-body.ts';
import { plainLifecycle, plainSpec } from '../../support/specification.ts';

const owner = { instance: 'i', ledger: 'l' };

describe('the body of a create call', () => {
  test('a plain entry is published on loopback only, without privileges, and with limits', () => {
    const { HostConfig, ...body } = bodyOf({ pidsLimit: 64, cpus: 0.5, memLimitBytes: 1000 });
    expect(body.ExposedPorts).toEqual({ '8888/tcp': {} });
    expect(HostConfig).toMatchObject({
      NetworkMode: 'the-network',
      PortBindings: { '8888/tcp': [{ HostIp: '127.0.0.1', HostPort: '9001' }] },
      PublishAllPorts: false,
      Privileged: false,
      CapDrop: ['ALL'],
      CapAdd: ['NET_BIND_SERVICE'],
      SecurityOpt: ['no-new-privileges:true'],
      PidsLimit: 64,
      NanoCpus: 500_000_000,
      Memory: 1000,
      MemorySwap: 1000,
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10485760', 'max-file': '2' } },
    });
  });

  test('what the entry leaves open is left to the image', () => {
    const body = bodyOf({});
    for (const word of ['Cmd', 'Entrypoint', 'WorkingDir', 'User', 'StopSignal', 'StopTimeout']) {
      expect(body).not.toHaveProperty(word);
    }
    for (const word of ['ShmSize', 'Init', 'Runtime']) expect(body.HostConfig).not.toHaveProperty(word);
  });

  test('no limit is said as the engine says it', () => {
    const { HostConfig } = bodyOf({ memLimitBytes: 0, cpus: 0, pidsLimit: -1, logMaxSizeBytes: 0 });
    expect(HostConfig).toMatchObject({ PidsLimit: -1, LogConfig: { Type: 'json-file', Config: {} } });
    for (const word of ['Memory', 'MemorySwap', 'NanoCpus']) expect(HostConfig).not.toHaveProperty(word);
  });

  test('every word of the entry reaches the engine', () => {
    const body = bodyOf({
      command: ['serve', '--now'],
      entrypoint: [],
      environment: { A: '1', B: 'x=y' },
      workingDir: '/srv',
      user: '1000:1000',
      stopSignal: 'SIGINT',
      stopGracePeriodMs: 1500,
      tmpfs: [{ target: '/tmp', options: 'size=64m' }],
      volumes: [
        { type: 'volume', source: 'home-1', target: '/home', readOnly: false },
        { type: 'volume', source: '', target: '/cache', readOnly: false },
        { type: 'bind', source: '/etc/motd', target: '/motd', readOnly: true },
      ],
      shmSizeBytes: 1024,
      ulimits: [{ name: 'nofile', soft: 10, hard: 20 }],
      readOnly: true,
      runtime: 'runc',
      init: true,
      devices: [{ hostPath: '/dev/null', containerPath: '/dev/x', permissions: 'rw' }],
      dns: ['9.9.9.9'],
      extraHosts: ['db:10.0.0.1'],
      networkMode: 'lab',
    });
    expect(body).toMatchObject({
      Image: 'web',
      Cmd: ['serve', '--now'],
      Entrypoint: [],
      Env: ['A=1', 'B=x=y'],
      WorkingDir: '/srv',
      User: '1000:1000',
      StopSignal: 'SIGINT',
      StopTimeout: 2,
      HostConfig: {
        NetworkMode: 'lab',
        Tmpfs: { '/tmp': 'size=64m' },
        Mounts: [
          { Type: 'volume', Source: 'home-1', Target: '/home', ReadOnly: false },
          { Type: 'volume', Source: '', Target: '/cache', ReadOnly: false },
          { Type: 'bind', Source: '/etc/motd', Target: '/motd', ReadOnly: true },
        ],
        ShmSize: 1024,
        Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 20 }],
        ReadonlyRootfs: true,
        Runtime: 'runc',
        Init: true,
        Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/x', CgroupPermissions: 'rw' }],
        Dns: ['9.9.9.9'],
        ExtraHosts: ['db:10.0.0.1'],
      },
    });
  });

  test('an entry cannot set labels in our name, also those that this container has none of', () => {
    const labels = { 'docker-spawner.user': 'eve', 'docker-spawner.id': 'other', team: 'a' };
    const body = bodyOf({ labels }, { user: null });
    expect(body.Labels).toMatchObject({ team: 'a', 'docker-spawner.id': 'abc' });
    expect(body.Labels).not.toHaveProperty('docker-spawner.user');
  });
});

function bodyOf(spec: Partial<ContainerSpec>, birth: Partial<Specification> = {}) {
  const specification: Specification = {
    id: 'abc',
    imageKey: 'key',
    labels: {},
    user: 'ann',
    createdAtMs: 0,
    expiresAtMs: 1,
    ports: [{ name: 'web', port: 8888, protocol: 'http', hostPort: 9001 }],
    configHash: 'hash',
    ready: { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 1000 },
    lifecycle: plainLifecycle,
    spec: { ...plainSpec, ...spec },
    ...birth,
  };
  return createBody(owner, specification, 'the-network');
}

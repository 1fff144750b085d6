import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dockerConnection } from '../../../src/engine/docker-connection.ts';

describe('DOCKER_HOST', () => {
  test('without it, a socket of this machine is used', () => {
    for (const env of [{}, { DOCKER_HOST: '' }, { DOCKER_HOST: 'unix://' }]) {
      expect(dockerConnection(env).place).toMatch(/^unix:\/\/\/.*docker\.sock$/);
    }
  });

  test('a unix address is a socket', () => {
    const { options, place } = dockerConnection({ DOCKER_HOST: 'unix:///run/user/1/docker.sock' });
    expect(options.socketPath).toBe('/run/user/1/docker.sock');
    expect(place).toBe('unix:///run/user/1/docker.sock');
  });

  test.each([
    ['tcp://127.0.0.1:2375', '127.0.0.1', '2375', 'http'],
    ['tcp://localhost', 'localhost', '2375', 'http'],
    ['127.0.0.1:80', '127.0.0.1', '80', 'http'],
    ['tcp://[::1]:1234', '::1', '1234', 'http'],
  ])('%s is a loopback address', (DOCKER_HOST, host, port, protocol) => {
    expect(dockerConnection({ DOCKER_HOST }).options).toMatchObject({ host, port, protocol });
  });

  test.each(['ssh://root@example.com', 'tcp://192.0.2.1:2375', 'tcp://127.0.0.1.example.com:2375'])(
    '%s is refused, since containers are published on the loopback address of that machine',
    (DOCKER_HOST) => {
      expect(() => dockerConnection({ DOCKER_HOST })).toThrow(/on another machine.*loopback/);
    },
  );

  test.each(['npipe:////./pipe/docker', 'fd://', 'tcp://127.0.0.1:99999', 'tcp://'])(
    '%s is refused with its own name',
    (DOCKER_HOST) => {
      expect(() => dockerConnection({ DOCKER_HOST })).toThrow(`DOCKER_HOST is ${DOCKER_HOST}`);
    },
  );

  test('with TLS, the three files of DOCKER_CERT_PATH are used', () => {
    const directory = mkdtempSync(join(tmpdir(), 'certificates-'));
    try {
      for (const name of ['ca', 'cert', 'key']) writeFileSync(join(directory, `${name}.pem`), name);
      const env = {
        DOCKER_HOST: 'tcp://127.0.0.1',
        DOCKER_TLS_VERIFY: '1',
        DOCKER_CERT_PATH: directory,
      };
      const { options } = dockerConnection(env);
      expect(options).toMatchObject({ protocol: 'https', port: '2376' });
      expect([options.ca, options.cert, options.key].map(String)).toEqual(['ca', 'cert', 'key']);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('with TLS, a missing file is named', () => {
    const env = {
      DOCKER_HOST: 'tcp://127.0.0.1',
      DOCKER_TLS_VERIFY: '1',
      DOCKER_CERT_PATH: '/nowhere',
    };
    expect(() => dockerConnection(env)).toThrow('/nowhere/ca.pem cannot be read: set DOCKER_CERT_PATH');
  });
});

import { describe, expect, test } from 'vitest';
import { EngineError } from '../../../src/core/engine.ts';
import {
  fromResponse,
  fromTransport,
  isNetworkMissing,
  redacted,
} from '../../../src/engine/docker-errors.ts';

const endpoint = 'driver failed programming external connectivity on endpoint x (5d04): ';

describe('errors of the engine', () => {
  test.each([
    ['another container, 20.10', `${endpoint}Bind for 127.0.0.1:9000 failed: port is already allocated`],
    [
      'another process, 20.10',
      `${endpoint}Error starting userland proxy: listen tcp4 127.0.0.1:9000: bind: address already in use`,
    ],
    [
      'another process, 28',
      `failed to set up container networking: ${endpoint}failed to bind host port for 127.0.0.1:9000:172.18.0.2:80/tcp: address already in use`,
    ],
    [
      'another process, 29',
      `failed to set up container networking: ${endpoint}failed to bind host port 127.0.0.1:9000/tcp: address already in use`,
    ],
    [
      'Docker Desktop',
      'Ports are not available: exposing port TCP 127.0.0.1:9000 -> 0.0.0.0:0: listen tcp 127.0.0.1:9000: bind: address already in use',
    ],
  ])('a taken port is recognised with its number: %s', (_who, message) => {
    expect(fromResponse('start it', 500, message)).toMatchObject({ kind: 'port_taken', hostPort: 9000 });
  });

  test.each([
    'No such image: nginx:alpine',
    'image with reference nginx was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64',
    'image with reference nginx was found but does not provide the specified platform (linux/arm64)',
  ])('a missing image is recognised: %s', (message) => {
    expect(fromResponse('create it', 404, message)).toMatchObject({ kind: 'image_missing' });
  });

  test('a missing container is not_found; other things that are missing are not', () => {
    expect(fromResponse('inspect it', 404, 'No such container: abc')).toMatchObject({ kind: 'not_found' });
    const network = fromResponse('start it', 404, 'network docker-spawner-x not found');
    expect(network).toMatchObject({ kind: 'failed' });
    expect(isNetworkMissing(network)).toBe(true);
  });

  test('anything else is failed, in the words of the engine, or the status where it has none', () => {
    const error = fromResponse('create it', 400, 'invalid mount config');
    expect(error).toMatchObject({
      kind: 'failed',
      message: 'Docker could not create it: invalid mount config',
    });
    expect(fromResponse('create it', 502, '').message).toBe('Docker could not create it: HTTP status 502');
  });

  test.each([
    ['ENOENT', /installed and running/],
    ['ECONNREFUSED', /is it running/],
    ['EACCES', /group "docker"/],
    ['ECONNRESET', /broke: reset/],
  ])('a connection that fails with %s is unreachable, and the message says what to do', (code, advice) => {
    const error = fromTransport(Object.assign(new Error('reset'), { code }), 'unix:///run/x.sock');
    expect(error).toMatchObject({ kind: 'unreachable' });
    expect(error.message).toMatch(advice);
    expect(error.message).toContain('unix:///run/x.sock');
  });

  test('values of the environment are cut out of messages, the longest first', () => {
    const error = new EngineError('port_taken', 'bad: hunter22-long and hunter22', { hostPort: 9 });
    const clean = redacted(error, { A: 'hunter22', B: 'hunter22-long', PORT: '80' });
    expect(clean).toMatchObject({ message: 'bad: *** and ***', kind: 'port_taken', hostPort: 9 });
    expect(clean.cause).toBeUndefined();
    expect(redacted(error, { PORT: '80' })).toBe(error);
  });
});

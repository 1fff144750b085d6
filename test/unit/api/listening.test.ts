import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exchange, headOf, makeApi, startApi, statusOf } from './support.ts';

describe('listening', () => {
  test('on a port that is taken rejects with EADDRINUSE', async () => {
    const { port } = await startApi();
    const { api } = makeApi();
    await expect(api.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  test('on IPv6 answers for [::1] with that port', async () => {
    const { api } = makeApi();
    const { port } = await api.listen({ host: '::1', port: 0 });
    expect((await fetch(`http://[::1]:${port}/get_container_hex?user_id=bob`)).status).toBe(200);
  });

  test('on every address answers for the one that a connection came to', async () => {
    const { api } = makeApi();
    const { port } = await api.listen({ host: '0.0.0.0', port: 0 });
    expect((await fetch(`http://127.0.0.5:${port}/get_container_hex?user_id=bob`)).status).toBe(200);
    const other = headOf('GET /get_container_hex?user_id=bob', `Host: 127.0.0.6:${port}`);
    expect(statusOf(await exchange(port, other))).toBe(421);
  });

  test('works on a socket that another process opened', async () => {
    const opener = createServer().listen(0, '127.0.0.1');
    await once(opener, 'listening');
    const { port } = opener.address() as AddressInfo;
    const { fd } = (opener as unknown as { _handle: { fd: number } })._handle;
    const child = spawn(process.execPath, ['--input-type=module', '-e', childProgram], {
      stdio: ['ignore', 'pipe', 'inherit', fd],
    });
    onTestFinished(async () => {
      child.kill();
      await once(child, 'exit');
    });
    const [line] = await once(child.stdout!, 'data');
    // Closed here, so that it is the child that accepts.
    opener.close();
    expect(String(line)).toContain(`"port":${port}`);
    expect((await fetch(`http://127.0.0.1:${port}/get_container_hex?user_id=bob`)).status).toBe(404);
  });
});

const childProgram = `
  import { createApi } from ${JSON.stringify(new URL('../../../src/api/server.ts', import.meta.url).href)};
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const tokens = { identify: () => ({ kind: 'known', caller: { key: null, scopes: new Set(['read']), users: null } }) };
  const options = { withUsers: true, tokens, origins: [], hosts: [], log: quiet };
  const api = createApi({ ...options, commands: { newestOf() {} } });
  console.log(JSON.stringify(await api.listen({ fd: 3 })));
`;

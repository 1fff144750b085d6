import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePortRange } from '../support/core-harness.ts';
import { eventually } from '../support/eventually.ts';
import { call, docker } from '../support/service.ts';

const script = path.join(import.meta.dirname, '../../scripts/start.mjs');
let home: string;
let environment: NodeJS.ProcessEnv;
let instance: string;

beforeEach(async () => {
  home = mkdtempSync(path.join(tmpdir(), 'docker-spawner-start-'));
  instance = `test-${randomBytes(4).toString('hex')}`;
  const { npm_lifecycle_event: _, ...inherited } = process.env;
  environment = {
    ...inherited,
    INSTANCE: instance,
    DATA_DIR: path.join(home, 'data'),
    API_LISTEN: '127.0.0.1:0',
    PROXY_LISTEN: '127.0.0.1:0',
    PORT_START: String(await freePortRange(5)),
    MAX_CONTAINERS: '5',
  };
});

afterEach(async () => {
  const filters = { label: [`docker-spawner.instance=${instance}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    await docker.getContainer(Id).remove({ force: true });
  }
  for (const { Id } of await docker.listNetworks({ filters })) await docker.getNetwork(Id).remove();
  rmSync(home, { recursive: true, force: true });
});

/** Resolves with the ports of the line on standard output that says where it listens, and nothing before it. */
async function ready(child: ChildProcess): Promise<{ api: number; proxy: number; output: () => string }> {
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  return eventually(() => {
    const line = /^ready api=http:\/\/127\.0\.0\.1:(\d+) proxy=http:\/\/127\.0\.0\.1:(\d+)\n/.exec(output);
    expect(line).not.toBeNull();
    return { api: Number(line![1]), proxy: Number(line![2]), output: () => output };
  }, 60_000);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

test('with no configuration the demo runs, serves its page through the subdomain, and ends with 0 when asked', async () => {
  const child = spawn(process.execPath, [script], {
    cwd: home,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  const { api, proxy, output } = await ready(child);
  expect(said).toContain('curl -d container_id=demo -d user_id=me http://');

  const local = (port: number) => ({ host: '127.0.0.1', port });
  const form = (fields: Record<string, string>) => ({
    method: 'POST',
    type: 'application/x-www-form-urlencoded',
    body: new URLSearchParams(fields).toString(),
  });
  const spawned = await call(local(api), {
    path: '/spawn',
    ...form({ container_id: 'demo', user_id: 'Ada & co' }),
  });
  expect(spawned).toMatchObject({ status: 200, body: expect.stringMatching(/^[0-9a-f]{32}$/) });
  const page = await call(local(proxy), { path: '/', host: `${spawned.body}.localhost` });
  expect(page.status).toBe(200);
  expect(page.body).toContain(`<code id="id">${spawned.body}</code>`);
  expect(page.body).toContain('Ada &#38; co');

  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(output().trimEnd().split('\n')).toHaveLength(1);
});

test('the service ends with the npm that it was started by, even one that is killed', async () => {
  // npm starts a script through a shell, and some shells stay between them.
  const npm = spawn('sh', ['-c', `"${process.execPath}" "${script}" & wait`], {
    cwd: home,
    env: { ...environment, npm_lifecycle_event: 'start' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { api } = await ready(npm);
  npm.kill('SIGKILL');
  await eventually(async () => expect(await listens(api)).toBe(false));
});

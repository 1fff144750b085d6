import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Engine } from '../../../src/core/engine.ts';
import { createDockerEngine } from '../../../src/engine/docker.ts';
import { eventually } from '../../support/eventually.ts';
import { inTurn, json, type ScriptedDocker, startScriptedDocker } from '../../support/scripted-docker.ts';

const ref = 'a'.repeat(64);
const startCall = 'POST /exec/e1/start';
const soon = () => AbortSignal.timeout(10_000);

let docker: ScriptedDocker;
let engine: Engine;

const run = (signal: AbortSignal, input = 'the input') =>
  engine.exec(ref, { command: ['tell', '--now'], input }, signal);

beforeEach(async () => {
  docker = await startScriptedDocker();
  docker.answers
    .set(`POST /containers/${ref}/exec`, json(201, { Id: 'e1' }))
    .set('GET /exec/e1/json', json(200, { Running: false, ExitCode: 0 }));
  engine = engineFor(docker.env);
});
afterEach(() => docker.close());

describe('exec', () => {
  test('runs the command with streams of its own, and sends the input and its end', async () => {
    const got: Buffer[] = [];
    docker.upgrades.set(startCall, (connection) => {
      connection.on('data', (chunk: Buffer) => got.push(chunk));
      connection.on('end', () => connection.end(Buffer.from('\x01\0\0\0\0\0\0\x03yes', 'latin1')));
    });
    expect(await run(soon())).toEqual({ exitCode: 0, output: 'yes' });
    expect(Buffer.concat(got).toString()).toBe('the input');
    expect(docker.calls.map(({ call, body }) => [call, body])).toEqual([
      [
        `POST /containers/${ref}/exec`,
        {
          AttachStdin: true,
          AttachStdout: true,
          AttachStderr: true,
          Tty: false,
          Cmd: ['tell', '--now'],
        },
      ],
      [startCall, { Detach: false, Tty: false }],
      ['GET /exec/e1/json', null],
    ]);
  });

  test('waits for the exit code where the output ends first', async () => {
    docker.upgrades.set(startCall, (connection) => connection.end());
    docker.answers.set(
      'GET /exec/e1/json',
      inTurn(
        json(200, { Running: true, ExitCode: null }),
        json(200, { Running: true, ExitCode: null }),
        json(200, { Running: false, ExitCode: 3 }),
      ),
    );
    expect(await run(soon())).toEqual({ exitCode: 3, output: '' });
  });

  test('ends when its signal fires while the command runs, and closes its connection', async () => {
    let started = false;
    docker.upgrades.set(startCall, (connection) => {
      started = true;
      const speak = () => connection.write('x', (error) => error || setImmediate(speak));
      speak();
    });
    const stop = new AbortController();
    const running = run(stop.signal);
    await eventually(() => expect(started).toBe(true));
    stop.abort();
    await expect(running).rejects.toMatchObject({ kind: 'aborted' });
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('ends when its signal fires before the engine has begun', async () => {
    const stop = new AbortController();
    const running = run(stop.signal);
    await eventually(() => expect(docker.calls.at(-1)?.call).toBe(startCall));
    stop.abort();
    await expect(running).rejects.toMatchObject({ kind: 'aborted' });
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('ends when its signal fires while the exit code does not come', async () => {
    docker.upgrades.set(startCall, (connection) => connection.end());
    docker.answers.set('GET /exec/e1/json', json(200, { Running: true, ExitCode: null }));
    await expect(run(AbortSignal.timeout(100))).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('fails in the words of the engine where it refuses', async () => {
    docker.answers.set(startCall, json(409, { message: 'Container a is not running' }));
    await expect(run(soon())).rejects.toMatchObject({
      kind: 'failed',
      message: 'Docker could not run a command in a container: Container a is not running',
    });
  });

  test('fails where something in between lets no upgrades pass', async () => {
    docker.answers.set(startCall, (response) => response.writeHead(200).flushHeaders());
    await expect(run(soon())).rejects.toMatchObject({ kind: 'unreachable' });
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('does not count as done what ended well on a part of its input', async () => {
    docker.upgrades.set(startCall, (connection) => void connection.destroy());
    const input = 'x'.repeat(10_000_000);
    await expect(run(soon(), input)).rejects.toMatchObject({
      kind: 'failed',
      message: 'The command in the container ended before it had read all of its input',
    });
    docker.answers.set('GET /exec/e1/json', json(200, { Running: false, ExitCode: 4 }));
    expect(await run(soon(), input)).toEqual({ exitCode: 4, output: '' });
  });

  test('fails where the engine was restarted meanwhile and knows nothing of the command', async () => {
    docker.upgrades.set(startCall, (connection) => void connection.destroy());
    docker.answers.set('GET /exec/e1/json', json(404, { message: 'No such exec instance: e1' }));
    await expect(run(soon())).rejects.toMatchObject({ kind: 'failed' });
  });
});

function engineFor(env: { readonly DOCKER_HOST: string }): Engine {
  const quiet = () => {};
  return createDockerEngine({
    owner: { instance: 'exec', identity: () => 'ledger-1' },
    containerPrefix: 'spawned__',
    env,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
}

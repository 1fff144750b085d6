import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Engine, EngineEvent } from '../../../src/core/engine.ts';
import { createDockerEngine } from '../../../src/engine/docker.ts';
import { eventually } from '../../support/eventually.ts';
import { logsOf } from '../../support/logs-of.ts';
import {
  type Answer,
  cutOff,
  inTurn,
  json,
  type ScriptedDocker,
  startScriptedDocker,
} from '../../support/scripted-docker.ts';
import { specify } from '../../support/specification.ts';

const owner = { instance: 'faults', ledger: 'ledger-1' };
const networkLabels = { 'docker-spawner.instance': owner.instance };
const ref = 'a'.repeat(64);
const noContent: Answer = (response) => response.writeHead(204).end();
const noContainer = json(404, { message: `No such container: ${ref}` });

let docker: ScriptedDocker;
let engine: Engine;
const soon = () => AbortSignal.timeout(10_000);
const callNames = () => docker.calls.map(({ call }) => call);

beforeEach(async () => {
  docker = await startScriptedDocker();
  docker.answers
    .set('GET /networks', json(200, [{ Name: 'docker-spawner-faults', Labels: networkLabels }]))
    .set('POST /containers/create', json(201, { Id: ref, Warnings: [] }))
    .set(`POST /containers/${ref}/start`, noContent)
    .set(`DELETE /containers/${ref}`, inTurn(noContent, noContainer));
  engine = engineFor(docker.env);
});
afterEach(() => docker.close());

describe('an engine that hangs', () => {
  const calls: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
    check: (signal) => engine.check(signal),
    list: (signal) => engine.list({}, signal),
    create: async (signal) => engine.create({ specification: await specify({}), warm: false }, signal),
    remove: (signal) => engine.remove('x', { graceMs: null }, signal),
    'remove with a grace': (signal) => engine.remove('x', { graceMs: 1000 }, signal),
    sleep: (signal) => engine.sleep('x', { mode: 'stop', graceMs: 1000 }, signal),
    pause: (signal) => engine.sleep('x', { mode: 'pause', graceMs: null }, signal),
    exec: (signal) => engine.exec('x', { command: ['tell'], input: '' }, signal),
    rename: (signal) => engine.rename('x', 'y', signal),
    wake: (signal) => engine.wake('x', signal),
    logs: (signal) => logsOf(engine, 'x', { tailLines: 1 }, signal),
  };

  test.each(Object.keys(calls))('%s ends when its signal fires, and closes its connection', async (verb) => {
    docker.answers.clear();
    const stop = new AbortController();
    const call = calls[verb]!(stop.signal);
    await eventually(() => expect(docker.open()).toBe(1));
    stop.abort();
    await expect(call).rejects.toMatchObject({ name: 'EngineError', kind: 'aborted' });
    // The network is looked up for all who may come, so that call has a deadline of its own.
    if (verb !== 'create') await eventually(() => expect(docker.open()).toBe(0));
  });

  test('a call ends in the middle of an answer too, and closes its connection', async () => {
    docker.answers.set('GET /containers/json', (response) => void response.write('[{"Id":'));
    await expect(engine.list({}, AbortSignal.timeout(100))).rejects.toMatchObject({ kind: 'unreachable' });
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('a create whose start hangs ends when its signal fires, and the container is removed then', async () => {
    docker.answers.delete(`POST /containers/${ref}/start`);
    const stop = new AbortController();
    const creating = engine.create({ specification: await specify({}), warm: false }, stop.signal);
    await eventually(() => expect(callNames()).toContain(`POST /containers/${ref}/start`));
    stop.abort();
    await expect(creating).rejects.toMatchObject({ kind: 'aborted' });
    await eventually(() => expect(callNames()).toContain(`DELETE /containers/${ref}`));
  });
});

describe('an engine that goes away', () => {
  test('in the middle of a list, the list fails at once', async () => {
    docker.answers.set('GET /containers/json', cutOff('[{"Id":"x","Names":["/y"]'));
    await expect(engine.list({}, soon())).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('in the middle of an error, the call fails at once', async () => {
    docker.answers.set('GET /containers/json', (response) => {
      response.writeHead(500).write('{"mess', () => response.destroy());
    });
    await expect(engine.list({}, soon())).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('with a list that is complete but no JSON, the list fails', async () => {
    docker.answers.set('GET /containers/json', (response) => response.end('[{"Id":'));
    await expect(engine.list({}, soon())).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('a socket that is not there is unreachable, and the message says where', async () => {
    const away = engineFor({ DOCKER_HOST: 'unix:///nowhere/docker.sock' });
    await expect(away.check(soon())).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('unix:///nowhere/docker.sock'),
    });
  });

  test('the next call works once it is back', async () => {
    docker.answers.set(
      'GET /_ping',
      inTurn((response) => void response.destroy(), pong),
    );
    await expect(engine.check(soon())).rejects.toMatchObject({ kind: 'unreachable' });
    expect(await engine.check(soon())).toEqual({ name: 'docker', version: '29.1.0' });
  });
});

describe('an engine that is restarted', () => {
  test('is used again at once, although connections to it were kept', async () => {
    docker.answers.set('GET /_ping', pong);
    await Promise.all(Array.from({ length: 4 }, () => engine.check(soon())));
    await docker.restart();
    await Promise.all(Array.from({ length: 8 }, () => engine.check(soon())));
  });
});

describe('the stream of events', () => {
  const died = `${JSON.stringify({
    Type: 'container',
    Action: 'die',
    Actor: { ID: ref, Attributes: { 'docker-spawner.id': 'abc', name: 'é€' } },
  })}\n`;
  const exited: EngineEvent = { kind: 'container', ref, id: 'abc', change: 'exited' };

  test('may be cut anywhere, in the middle of a character too, and its end is an error', async () => {
    const bytes = Buffer.from(died);
    const middle = bytes.indexOf(0xc3) + 1;
    docker.answers.set('GET /events', (response) => {
      response.write(bytes.subarray(0, middle), () =>
        setImmediate(() => response.end(Buffer.concat([bytes.subarray(middle), bytes]))),
      );
    });
    const events: EngineEvent[] = [];
    await expect(engine.watch((event) => events.push(event), soon())).rejects.toMatchObject({
      kind: 'unreachable',
    });
    expect(events).toEqual([{ kind: 'open' }, exited, exited]);
  });

  test('ends with an error where it is broken off', async () => {
    docker.answers.set('GET /events', cutOff(died, '{"Type":'));
    const events: EngineEvent[] = [];
    await expect(engine.watch((event) => events.push(event), soon())).rejects.toMatchObject({
      kind: 'unreachable',
    });
    expect(events).toEqual([{ kind: 'open' }, exited]);
  });

  test('ends with an error where it is no JSON, and the connection is closed', async () => {
    docker.answers.set('GET /events', (response) => void response.write('<html>\n'));
    await expect(engine.watch(() => {}, soon())).rejects.toMatchObject({ kind: 'unreachable' });
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('is open before the first event, and closed when the signal fires', async () => {
    docker.answers.set('GET /events', (response) => response.writeHead(200).flushHeaders());
    const stop = new AbortController();
    const events: EngineEvent[] = [];
    const watching = engine.watch((event) => events.push(event), stop.signal);
    await eventually(() => expect(events).toEqual([{ kind: 'open' }]));
    stop.abort();
    await watching;
    await eventually(() => expect(docker.open()).toBe(0));
  });

  test('that is refused is never open', async () => {
    docker.answers.set('GET /events', json(500, { message: 'no events today' }));
    const events: EngineEvent[] = [];
    await expect(engine.watch((event) => events.push(event), soon())).rejects.toMatchObject({
      kind: 'failed',
      message: 'Docker could not tell its events: no events today',
    });
    expect(events).toEqual([]);
  });
});

const pong: Answer = (response) => response.writeHead(200, { server: 'Docker/29.1.0 (linux)' }).end('OK');

function engineFor(env: { readonly DOCKER_HOST: string }): Engine {
  const quiet = () => {};
  return createDockerEngine({
    owner: { instance: owner.instance, identity: () => owner.ledger },
    containerPrefix: 'spawned__',
    env,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
}

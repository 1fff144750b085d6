import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CreateProgress, Engine } from '../../../src/core/engine.ts';
import { encodeLabels } from '../../../src/core/labels.ts';
import { createDockerEngine } from '../../../src/engine/docker.ts';
import {
  type Answer,
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
const noImage = json(404, { message: 'No such image: web' });

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

describe('create', () => {
  test('asks no more than is needed: the network once, then create and start', async () => {
    for (let i = 0; i < 2; i++)
      await engine.create({ specification: await specify({}), warm: false }, soon());
    const createAndStart = ['POST /containers/create', `POST /containers/${ref}/start`];
    expect(callNames()).toEqual(['GET /networks', ...createAndStart, ...createAndStart]);
  });

  test('makes the network once, however many need it at once, and although one of them goes away', async () => {
    docker.answers
      .set('GET /networks', json(200, [{ Name: 'docker-spawner-faults-2', Labels: {} }]))
      .set('POST /networks/create', json(201, { Id: 'n' }));
    const stop = new AbortController();
    const gone = engine.create({ specification: await specify({}), warm: false }, stop.signal);
    const others = Array.from({ length: 5 }, async () =>
      engine.create({ specification: await specify({}), warm: false }, soon()),
    );
    stop.abort();
    await expect(gone).rejects.toMatchObject({ kind: 'aborted' });
    await Promise.all(others);
    const made = docker.calls.filter(({ call }) => call === 'POST /networks/create');
    expect(made.map(({ body }) => body)).toEqual([
      {
        Name: 'docker-spawner-faults',
        Driver: 'bridge',
        CheckDuplicate: true,
        Options: { 'com.docker.network.bridge.enable_icc': 'false' },
        Labels: { 'docker-spawner.instance': 'faults', 'docker-spawner.ledger': 'ledger-1' },
      },
    ]);
  });

  test('takes the network that a second service made first', async () => {
    docker.answers
      .set(
        'GET /networks',
        inTurn(json(200, []), json(200, [{ Name: 'docker-spawner-faults', Labels: networkLabels }])),
      )
      .set('POST /networks/create', json(409, { message: 'network already exists' }));
    expect(await engine.create({ specification: await specify({}), warm: false }, soon())).toMatchObject({
      ref,
    });
  });

  test('refuses a foreign network of that name, and tries again the next time', async () => {
    const foreign = json(200, [{ Name: 'docker-spawner-faults', Labels: null }]);
    const ours = json(200, [{ Name: 'docker-spawner-faults', Labels: networkLabels }]);
    docker.answers.set('GET /networks', inTurn(foreign, ours));
    await expect(engine.create({ specification: await specify({}), warm: false }, soon())).rejects.toThrow(
      'There is a network docker-spawner-faults that this service has not made',
    );
    await engine.create({ specification: await specify({}), warm: false }, soon());
  });

  test('makes the network again when it was removed by hand', async () => {
    const missing = json(404, { message: 'network docker-spawner-faults not found' });
    docker.answers.set(`POST /containers/${ref}/start`, inTurn(missing, noContent));
    await engine.create({ specification: await specify({}), warm: false }, soon());
    expect(callNames().filter((call) => /networks|DELETE/.test(call))).toEqual([
      'GET /networks',
      `DELETE /containers/${ref}`,
      `DELETE /containers/${ref}`,
      'GET /networks',
    ]);
  });

  test('pulls a missing image, tells the progress, and goes on', async () => {
    const layer = { id: 'l', status: 'Downloading', progressDetail: { current: 1, total: 2 } };
    docker.answers
      .set('POST /containers/create', inTurn(noImage, json(201, { Id: ref })))
      .set('POST /images/create', (response) => response.end(`${JSON.stringify(layer)}\r\n`));
    const steps: CreateProgress[] = [];
    const specification = await specify({ image: 'web' });
    await engine.create({ specification, warm: false, onProgress: (step) => steps.push(step) }, soon());
    expect(steps).toEqual([
      { step: 'creating' },
      { step: 'pulling', currentBytes: 0, totalBytes: 0 },
      { step: 'pulling', currentBytes: 1, totalBytes: 2 },
      { step: 'creating' },
      { step: 'starting' },
    ]);
    const pulled = docker.calls.find(({ call }) => call === 'POST /images/create')!;
    expect(Object.fromEntries(pulled.query)).toEqual({ fromImage: 'web', tag: 'latest' });
  });

  test('asks for its turn before each attempt, and again after a pull', async () => {
    docker.answers
      .set('POST /containers/create', inTurn(noImage, json(201, { Id: ref })))
      .set('POST /images/create', json(200, { status: 'done' }));
    const before: string[][] = [];
    const beforeCreate = async () => void before.push(callNames());
    await engine.create({ specification: await specify({}), warm: false, beforeCreate }, soon());
    const first = ['GET /networks', 'POST /containers/create', 'POST /images/create'];
    expect(before).toEqual([[], first]);
  });

  test('pulls before it asks for its turn where the policy is always', async () => {
    docker.answers.set('POST /images/create', json(200, { status: 'Image is up to date' }));
    const before: string[][] = [];
    const beforeCreate = async () => void before.push(callNames());
    const specification = await specify({ pullPolicy: 'always' });
    await engine.create({ specification, warm: false, beforeCreate }, soon());
    expect(before).toEqual([['POST /images/create']]);
  });

  test('that waits for its turn ends when its signal fires, or with the reason why there is none', async () => {
    const stop = new AbortController();
    const specification = await specify({});
    const never = () => new Promise<void>(() => {});
    const waiting = engine.create({ specification, warm: false, beforeCreate: never }, stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ kind: 'aborted' });
    const beforeCreate = () => Promise.reject(new Error('no turn today'));
    const refused = engine.create({ specification, warm: false, beforeCreate }, soon());
    await expect(refused).rejects.toThrow('no turn today');
    expect(docker.calls).toEqual([]);
  });

  test('a warm container has a name of its own', async () => {
    const specification = await specify({});
    await engine.create({ specification, warm: true }, soon());
    const created = docker.calls.find(({ call }) => call === 'POST /containers/create')!;
    expect(created.query.get('name')).toBe(`spawned__warm-${specification.id}`);
  });

  test.each([
    ['as a status', json(404, { message: 'pull access denied' })],
    ['in the stream', json(200, { error: 'pull access denied' })],
  ])('a pull that fails %s is image_missing', async (_how, answer) => {
    docker.answers.set('POST /containers/create', noImage).set('POST /images/create', answer);
    await expect(
      engine.create({ specification: await specify({}), warm: false }, soon()),
    ).rejects.toMatchObject({
      kind: 'image_missing',
      message: expect.stringContaining('pull access denied'),
    });
  });

  test('pulls first where the policy is always, and never where it is never', async () => {
    docker.answers.set('POST /images/create', json(200, { status: 'Image is up to date' }));
    await engine.create({ specification: await specify({ pullPolicy: 'always' }), warm: false }, soon());
    expect(callNames()[0]).toBe('POST /images/create');
    docker.answers.set('POST /containers/create', noImage);
    const never = engine.create(
      { specification: await specify({ pullPolicy: 'never' }), warm: false },
      soon(),
    );
    await expect(never).rejects.toMatchObject({ kind: 'image_missing' });
    expect(callNames().filter((call) => call === 'POST /images/create')).toHaveLength(1);
  });

  test('removes the container when it cannot start, and names no value of its environment', async () => {
    const message = 'OCI runtime create failed: bad TOKEN=hunter22 in process';
    docker.answers.set(`POST /containers/${ref}/start`, json(500, { message }));
    const specification = await specify({ environment: { TOKEN: 'hunter22' } });
    await expect(engine.create({ specification, warm: false }, soon())).rejects.toMatchObject({
      kind: 'failed',
      message: 'Docker could not start a container: OCI runtime create failed: bad TOKEN=*** in process',
    });
    expect(callNames().at(-1)).toBe(`DELETE /containers/${ref}`);
  });

  test('fails with the first reason where the removal fails too', async () => {
    docker.answers
      .set(`POST /containers/${ref}/start`, json(500, { message: 'the first reason' }))
      .set(`DELETE /containers/${ref}`, json(500, { message: 'device or resource busy' }));
    await expect(engine.create({ specification: await specify({}), warm: false }, soon())).rejects.toThrow(
      'the first reason',
    );
  });
});

describe('list', () => {
  const labelled = async () => {
    const specification = await specify({});
    return { labels: encodeLabels(owner, specification), port: specification.ports[0]!.hostPort };
  };

  test('asks for the exits of those that ended, and leaves out one that is gone meanwhile', async () => {
    const { labels: Labels, port } = await labelled();
    docker.answers
      .set(
        'GET /containers/json',
        json(200, [
          { Id: 'runs', Names: ['/a'], Image: 'web', Labels, State: 'running' },
          { Id: 'ended', Names: ['/b'], Image: 'sha256:1', Labels, State: 'exited' },
          { Id: 'vanished', Names: ['/c'], Image: 'web', Labels, State: 'exited' },
          { Id: 'dead', Names: null, Image: 'web', Labels: null, State: 'dead' },
        ]),
      )
      .set('GET /containers/ended/json', inspected('ended', '/b', Labels, 'exited', 137, true))
      .set('GET /containers/vanished/json', noContainer)
      .set('GET /containers/dead/json', inspected('dead', '/d', null, 'dead', 1, false));
    expect(await engine.list({}, soon())).toEqual([
      {
        ref: 'runs',
        name: 'a',
        image: 'web',
        labels: Labels,
        state: 'running',
        exit: null,
        upstream: { address: '127.0.0.1', port },
      },
      {
        ref: 'ended',
        name: 'b',
        image: 'sha256:1',
        labels: Labels,
        state: 'exited',
        exit: { code: 137, outOfMemory: true },
        upstream: null,
      },
      {
        ref: 'dead',
        name: 'd',
        image: 'web',
        labels: {},
        state: 'exited',
        exit: { code: 1, outOfMemory: false },
        upstream: null,
      },
    ]);
  });

  test('fails as a whole where one inspection fails', async () => {
    docker.answers
      .set('GET /containers/json', json(200, [{ Id: 'x', Names: ['/a'], Labels: {}, State: 'exited' }]))
      .set('GET /containers/x/json', json(500, { message: 'broken' }));
    await expect(engine.list({}, soon())).rejects.toMatchObject({ kind: 'failed' });
  });
});

describe('sleep', () => {
  test('stops with the grace in whole seconds, and without one leaves it to the container', async () => {
    docker.answers.set(`POST /containers/${ref}/stop`, noContent);
    await engine.sleep(ref, { mode: 'stop', graceMs: 1200 }, soon());
    await engine.sleep(ref, { mode: 'stop', graceMs: null }, soon());
    expect(docker.calls.map(({ query }) => query.get('t'))).toEqual(['2', null]);
  });

  test('one that stopped before is no error', async () => {
    docker.answers.set(`POST /containers/${ref}/stop`, (response) => response.writeHead(304).end());
    await engine.sleep(ref, { mode: 'stop', graceMs: 0 }, soon());
  });

  test.each([
    ['stop', 500, 'tried to kill container, but did not receive an exit event'],
    ['pause', 500, 'OCI runtime pause failed: cannot freeze'],
  ] as const)('a %s that fails is an error', async (mode, status, message) => {
    docker.answers.set(`POST /containers/${ref}/${mode}`, json(status, { message }));
    const sleep = engine.sleep(ref, { mode, graceMs: 0 }, soon());
    await expect(sleep).rejects.toMatchObject({ kind: 'failed', message: expect.stringContaining(message) });
  });

  test.each(['Container a is already paused', 'Container a is not running'])(
    'a pause is not needed where the engine says: %s',
    async (message) => {
      docker.answers.set(`POST /containers/${ref}/pause`, json(409, { message }));
      await engine.sleep(ref, { mode: 'pause', graceMs: null }, soon());
    },
  );
});

describe('remove and wake', () => {
  test('remove waits for a removal that somebody else has begun', async () => {
    const message = `removal of container ${ref} is already in progress`;
    const busy = json(409, { message });
    docker.answers.set(`DELETE /containers/${ref}`, inTurn(busy, busy, busy, noContainer));
    await engine.remove(ref, { graceMs: null }, soon());
    expect(docker.calls).toHaveLength(4);
  });

  test('remove takes the anonymous volumes along, and confirms that the container is gone', async () => {
    await engine.remove(ref, { graceMs: null }, soon());
    expect(Object.fromEntries(docker.calls[0]!.query)).toEqual({ force: '1', v: '1' });
    expect(docker.calls).toHaveLength(2);
  });

  test('remove with a grace goes on to force where the stop fails', async () => {
    docker.answers.set(`POST /containers/${ref}/stop`, json(500, { message: 'is paused' }));
    await engine.remove(ref, { graceMs: 1200 }, soon());
    expect(docker.calls[0]!.query.get('t')).toBe('2');
  });

  test('remove fails where the engine cannot', async () => {
    docker.answers.set(`DELETE /containers/${ref}`, json(500, { message: 'device or resource busy' }));
    await expect(engine.remove(ref, { graceMs: null }, soon())).rejects.toThrow('device or resource busy');
  });

  test('wake takes it as done where somebody else was faster', async () => {
    const turns = inTurn(
      inspected(ref, '/a', {}, 'paused', 0, false),
      inspected(ref, '/a', {}, 'running', 0, false),
    );
    docker.answers
      .set(`GET /containers/${ref}/json`, turns)
      .set(`POST /containers/${ref}/unpause`, json(409, { message: 'is not paused' }));
    expect(await engine.wake(ref, soon())).toMatchObject({ ref, state: 'running' });
  });
});

function inspected(
  Id: string,
  Name: string,
  Labels: Record<string, string> | null,
  Status: string,
  ExitCode: number,
  OOMKilled: boolean,
): Answer {
  return json(200, { Id, Name, Config: { Image: 'web', Labels }, State: { Status, ExitCode, OOMKilled } });
}

function engineFor(env: { readonly DOCKER_HOST: string }): Engine {
  const quiet = () => {};
  return createDockerEngine({
    owner: { instance: owner.instance, identity: () => owner.ledger },
    containerPrefix: 'spawned__',
    env,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
}

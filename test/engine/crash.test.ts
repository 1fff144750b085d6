import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openLedger } from '../../src/ledger/sqlite.ts';
import { type EngineRelay, startEngineRelay } from '../support/engine-relay.ts';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { type Answer, docker, type RunningService, startService } from '../support/service.ts';

let images: Record<string, unknown>;
let relay: EngineRelay;

beforeAll(async () => {
  const image = await testImage();
  images = {
    web: { image, environment: { ID: '{id}' } },
    slow: { image, environment: { START_DELAY_MS: 20_000 } },
    idle: { image, environment: { NEVER_LISTEN: 1 } },
  };
  relay = await startEngineRelay();
});

afterAll(() => relay[Symbol.asyncDispose]());

const start = (places: number) =>
  startService({ settings: { max_containers: places, container_images: images }, env: relay.env });

const creation = /^POST \S*\/containers\/create/;
const starting = /^POST \S*\/containers\/\w+\/start/;

describe('kill -9 in the middle of a spawn', () => {
  test.each([
    ['as soon as the request is sent', 'slow', async () => {}],
    ['when its creation is on its way to the engine', 'slow', () => relay.hold(creation).arrived],
    ['when the container is made, and not started', 'slow', () => relay.hold(starting).arrived],
    [
      'while the container starts',
      'slow',
      (service: RunningService) =>
        eventually(async () => expect((await service.containers())[0]?.State).toBe('running')),
    ],
    [
      'while its web server is waited for',
      'idle',
      (service: RunningService) =>
        eventually(async () => {
          const [seen] = await service.containers();
          const logs = await docker.getContainer(seen!.Id).logs({ stdout: true });
          expect(String(logs)).toContain('will never listen');
        }),
    ],
  ] as const)('%s leaks nothing, and the next start spawns at once', async (_when, key, moment) => {
    await using service = await start(3);
    const reached = moment(service);
    const answer = service.spawn(key, 'ada').catch((error: Error) => error);
    await reached;
    await service.end('SIGKILL');
    expect(await answer).toBeInstanceOf(Error);

    await using again = await service.restart();
    expect(await again.containers()).toEqual([]);
    expect((await again.find('ada')).status).toBe(404);
    // Every place and port of the range is free.
    const answers = await Promise.all(['ada', 'bob', 'eve'].map((user) => again.spawn('web', user)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    await Promise.all(answers.map(({ body }) => again.stop(body)));
    expect(await again.containers()).toEqual([]);
    expect(await again.end('SIGTERM')).toBe(0);
    expect(entriesOf(again)).toEqual([]);
  });

  test('whose creation the engine carries out only after the next start removes what it made', async () => {
    await using service = await start(3);
    const held = relay.hold(creation);
    service.spawn('web', 'ada').catch(() => {});
    await held.arrived;
    await service.end('SIGKILL');
    await using again = await service.restart();
    const { body: id } = await again.spawn('web', 'ada');
    held.release();
    await eventually(async () => expect(await again.containers()).toHaveLength(2));
    await eventually(async () => expect(await again.containers()).toHaveLength(1));
    expect((await again.visit(id)).body).toContain(`id=${id}`);
  });

  test('of many, at any moment, keeps all that was acknowledged and nothing else', async () => {
    await using service = await start(8);
    const answers: Answer[] = [];
    const users = Array.from({ length: 8 }, (_, n) => `user-${n}`);
    const calls = users.map((user) =>
      service.spawn('web', user).then(
        (answer) => answers.push(answer),
        () => {},
      ),
    );
    await eventually(() => expect(answers.length).toBeGreaterThanOrEqual(2));
    await service.end('SIGKILL');
    await Promise.all(calls);
    const told = answers.filter(({ status }) => status === 200).map(({ body }) => body);

    await using again = await service.restart();
    for (const id of told) expect((await again.visit(id)).body).toContain(`id=${id}`);
    // An answer may be lost on its way after the acknowledgement was committed: such a container is its user's too.
    const found = await Promise.all(users.map((user) => again.find(user)));
    const owned = found.filter(({ status }) => status === 200).map(({ body }) => body.split(':')[0]);
    expect(owned).toEqual(expect.arrayContaining(told));
    await eventually(async () => {
      const ids = (await again.containers()).map((c) => c.Labels['docker-spawner.id']);
      expect(ids.sort()).toEqual(owned.sort());
    });
    const rest = await Promise.all(users.map((user) => again.spawn('web', user)));
    expect(rest.filter(({ status }) => status === 200)).toHaveLength(8 - owned.length);
    expect(rest.filter(({ status }) => status === 409)).toHaveLength(owned.length);
  });

  test('and of a stop finishes the stop', async () => {
    await using service = await startService({
      settings: { container_images: { web: { ...(images.web as object), stop_grace_period: '30s' } } },
    });
    const { body: id } = await service.spawn('web', 'ada');
    // A process that does not end by itself keeps the stop waiting for its grace.
    await docker.getContainer(`spawned__${id}`).pause();
    service.stop(id).catch(() => {});
    await eventually(async () => expect((await service.visit(id)).status).toBe(404));
    await service.end('SIGKILL');
    await docker
      .getContainer(`spawned__${id}`)
      .unpause()
      .catch(() => {});
    await using again = await service.restart();
    await eventually(async () => expect(await again.containers()).toEqual([]));
    expect((await again.find('ada')).status).toBe(404);
  });
});

/** What the ledger of a service that has ended still holds. */
function entriesOf(service: RunningService) {
  const ledger = openLedger(service.dataDir);
  try {
    return ledger.list();
  } finally {
    ledger.close();
  }
}

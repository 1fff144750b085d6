import { beforeAll, describe, expect, test } from 'vitest';
import { openLedger } from '../../src/ledger/sqlite.ts';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { type Answer, docker, type RunningService, refusedStart, startService } from '../support/service.ts';

let images: Record<string, unknown>;

beforeAll(async () => {
  const image = await testImage();
  images = {
    web: { image, environment: { ID: '{id}' } },
    slow: { image, environment: { START_DELAY_MS: 20_000 } },
    idle: { image, environment: { NEVER_LISTEN: 1 } },
  };
});

const start = () => startService({ settings: { max_containers: 3, container_images: images } });

describe('a restart', () => {
  test('by SIGTERM exits with 0, leaves the containers running, and serves them as before', async () => {
    await using service = await start();
    const { body: id } = await service.spawn('web', 'Ada');
    const before = await inspect(id);
    expect(await service.end('SIGTERM')).toBe(0);
    expect((await inspect(id)).State).toEqual(before.State);

    await using again = await service.restart();
    expect(await again.visit(id)).toMatchObject({ status: 200, body: expect.stringContaining(`id=${id}`) });
    expect((await again.find('Ada')).body).toBe(`${id}:web`);
    expect((await again.spawn('web', 'Ada')).status).toBe(409);
    const after = await inspect(id);
    expect(after.State).toEqual(before.State);
    expect(after.NetworkSettings.Ports).toEqual(before.NetworkSettings.Ports);
    expect(after.Config.Labels).toEqual(before.Config.Labels);
    expect((await again.stop(id)).status).toBe(200);
    expect(await again.containers()).toEqual([]);
  });

  test('keeps the deadline of a container, though docker_timeout has changed', async () => {
    const settings = { docker_timeout: '8s', container_images: images };
    await using service = await startService({ settings });
    const { body: id } = await service.spawn('web', 'ada');
    const expiresMs = Date.parse((await inspect(id)).Config.Labels['docker-spawner.expires']!);
    await using again = await service.restart({ settings: { docker_timeout: '8h' } });
    expect((await again.visit(id)).status).toBe(200);
    await eventually(async () => expect((await again.visit(id)).status).toBe(404));
    expect(Date.now()).toBeGreaterThanOrEqual(expiresMs);
    expect(Date.now()).toBeLessThan(expiresMs + 1000);
  });

  test('ends those whose deadline passed while it was down', async () => {
    await using service = await startService({
      settings: { docker_timeout: '5s', container_images: images },
    });
    const { body: id } = await service.spawn('web', 'ada');
    await service.end('SIGTERM');
    const expiresMs = Date.parse((await inspect(id)).Config.Labels['docker-spawner.expires']!);
    await eventually(() => expect(Date.now()).toBeGreaterThan(expiresMs));
    await using again = await service.restart();
    await eventually(async () => expect(await again.containers()).toEqual([]));
    expect((await again.find('ada')).status).toBe(404);
  });

  test('forgets a container that was removed by hand while it was down', async () => {
    await using service = await start();
    const { body: id } = await service.spawn('web', 'ada');
    await service.end('SIGTERM');
    await docker.getContainer(`spawned__${id}`).remove({ force: true });
    await using again = await service.restart();
    expect((await again.visit(id)).status).toBe(404);
    expect((await again.spawn('web', 'ada')).status).toBe(200);
  });

  test('after kill -9 serves what was acknowledged, and starts again what does not run', async () => {
    await using service = await start();
    const { body: running } = await service.spawn('web', 'ada');
    const { body: stopped } = await service.spawn('web', 'bob');
    await service.end('SIGKILL');
    // As an engine leaves it that was restarted.
    await docker.getContainer(`spawned__${stopped}`).kill();
    await using again = await service.restart();
    expect((await again.visit(running)).body).toContain(`id=${running}`);
    expect((await again.find('ada')).body).toBe(`${running}:web`);
    await eventually(async () => expect((await again.visit(stopped)).body).toContain(`id=${stopped}`));
    expect((await again.find('bob')).body).toBe(`${stopped}:web`);
  });
});

describe('kill -9 in the middle of a spawn', () => {
  test.each([
    ['as soon as the request is sent', 'slow', async () => {}],
    [
      'when the engine has made the container',
      'slow',
      (service: RunningService) => eventually(async () => expect(await service.containers()).toHaveLength(1)),
    ],
    [
      'while the container starts',
      'slow',
      (service: RunningService) =>
        eventually(async () => expect((await service.containers())[0]?.State).toBe('running')),
    ],
    [
      'while the container is looked at',
      'idle',
      (service: RunningService) =>
        eventually(async () => {
          const [seen] = await service.containers();
          const logs = await docker.getContainer(seen!.Id).logs({ stdout: true });
          expect(String(logs)).toContain('will never listen');
        }),
    ],
  ] as const)('%s leaks nothing, and the next start spawns at once', async (_when, key, moment) => {
    await using service = await start();
    const answer = service.spawn(key, 'ada').catch((error: Error) => error);
    await moment(service);
    await service.end('SIGKILL');
    expect(await answer).toBeInstanceOf(Error);

    await using again = await service.restart();
    await eventually(async () => expect(await again.containers()).toEqual([]));
    expect((await again.find('ada')).status).toBe(404);
    // Every place and port of the range is free.
    const answers = await Promise.all(['ada', 'bob', 'eve'].map((user) => again.spawn('web', user)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    await Promise.all(answers.map(({ body }) => again.stop(body)));
    expect(await again.containers()).toEqual([]);
    expect(await again.end('SIGTERM')).toBe(0);
    expect(entriesOf(again)).toEqual([]);
  });

  test('of many, at any moment, keeps all that was acknowledged and nothing else', async () => {
    await using service = await startService({
      settings: { max_containers: 8, container_images: images },
    });
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

describe('a second copy', () => {
  test('with the same instance and another data_dir refuses to start, says how to go on, and touches nothing', async () => {
    await using service = await start();
    const { body: id } = await service.spawn('web', 'ada');
    const before = await inspect(id);
    const { code, stderr, stdout } = await refusedStart({
      instance: service.instance,
      container_images: images,
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/another ledger.*--adopt.*Nothing was touched/s);
    expect(await inspect(id)).toEqual(before);
    expect((await service.visit(id)).status).toBe(200);
    expect((await service.spawn('web', 'bob')).status).toBe(200);
  });

  test('takes the containers over with --adopt, with their users, ports and deadlines, and keeps them', async () => {
    await using lost = await start();
    const { body: id } = await lost.spawn('web', 'Ada');
    const before = await inspect(id);
    await lost.end('SIGKILL');
    await using heir = await startService({
      settings: { instance: lost.instance, container_images: images },
      args: ['--adopt'],
    });
    expect((await heir.visit(id)).body).toContain(`id=${id}`);
    expect((await heir.find('Ada')).body).toBe(`${id}:web`);
    expect((await heir.spawn('web', 'Ada')).status).toBe(409);
    expect((await heir.spawn('web', 'bob')).status).toBe(200);
    expect(await inspect(id)).toEqual(before);
    await using again = await heir.restart({ args: [] });
    expect((await again.visit(id)).body).toContain(`id=${id}`);
    expect((await again.stop(id)).status).toBe(200);
  });

  test('on the same data_dir refuses to start', async () => {
    await using service = await start();
    const { code, stderr } = await refusedStart({
      ...{ instance: service.instance, data_dir: service.dataDir },
      container_images: images,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/ledger\.sqlite: another process uses this ledger/);
    expect((await service.spawn('web', 'ada')).status).toBe(200);
  });

  test('with another instance leaves the first one alone, on the same engine', async () => {
    await using one = await start();
    await using two = await start();
    const [a, b] = [await one.spawn('web', 'ada'), await two.spawn('web', 'ada')];
    expect([a.status, b.status]).toEqual([200, 200]);
    expect((await one.stop(b.body)).status).toBe(400);
    expect((await two.visit(a.body)).status).toBe(404);
    expect((await two.stop(b.body)).status).toBe(200);
    expect((await one.visit(a.body)).status).toBe(200);
  });
});

function inspect(id: string) {
  return docker.getContainer(`spawned__${id}`).inspect();
}

/** What the ledger of a service that has ended still holds. */
function entriesOf(service: RunningService) {
  const ledger = openLedger(service.dataDir);
  try {
    return ledger.list();
  } finally {
    ledger.close();
  }
}

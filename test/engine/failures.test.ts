import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EngineRelay, startEngineRelay } from '../support/engine-relay.ts';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { docker, type RunningService, refusedStart, startService } from '../support/service.ts';

let image: string;

beforeAll(async () => {
  image = await testImage();
});

describe('a spawn that fails', () => {
  let service: RunningService;

  beforeAll(async () => {
    const ready = { timeout: '2s' };
    service = await startService({
      settings: {
        max_containers: 2,
        container_images: {
          web: image,
          'never-pulled': { image: 'docker-spawner-test-no-such-image:1', pull_policy: 'never' },
          // Nothing listens on port 1, so there is no such registry.
          unpullable: '127.0.0.1:1/no-such-image:1',
          exits: { image, environment: { EXIT_AFTER_MS: 0, EXIT_CODE: 3 } },
          'no-program': { image, command: ['/no/such/program'] },
          silent: { image, environment: { NEVER_LISTEN: 1 }, ready },
          'other-port': { image, port: 81, ready },
          unhealthy: { image, environment: { STATUS: 503 }, ready: { ...ready, status: '200-399' } },
        },
      },
    });
  });

  afterAll(() => service[Symbol.asyncDispose]());

  test.each([
    ['its image is missing', 'never-pulled', 500, /docker-spawner-test-no-such-image:1/],
    ['its image cannot be pulled', 'unpullable', 500, /127\.0\.0\.1:1\/no-such-image:1/],
    ['its program is missing', 'no-program', 500, /\/no\/such\/program/],
    ['it exits at once', 'exits', 500, /ended with exit code 3.*its last log lines: .*exits with code 3/],
    ['it never listens', 'silent', 504, /did not answer on port 80 within 2 s.*will never listen/],
    ['it listens on another port', 'other-port', 504, /did not answer on port 81 .*listening on port 80/],
    ['it answers with a status that its entry refuses', 'unhealthy', 504, /within 2 s/],
  ] as const)('because %s gets a text that says so, and leaves nothing', async (_why, key, status, text) => {
    const user = `user-of-${key}`;
    const startedMs = performance.now();
    const answer = await service.spawn(key, user);
    expect(answer).toMatchObject({ status, body: expect.stringMatching(text) });
    expect(answer.body).not.toMatch(/[\r\n]/);
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    expect(await service.containers()).toEqual([]);
    expect((await service.find(user)).status).toBe(404);
  });

  test('leaves its place, its port and its user free', async () => {
    const ids = await Promise.all(
      ['user-of-exits', 'user-of-silent'].map((user) => service.spawn('web', user)),
    );
    expect(ids.map((answer) => answer.status)).toEqual([200, 200]);
    await Promise.all(ids.map((answer) => service.stop(answer.body)));
  });
});

describe('behind the back of the service', () => {
  test('a container that is removed by hand frees its place and its user within 2 s', async () => {
    await using service = await startService({
      settings: { max_containers: 1, container_images: { web: image } },
    });
    const id = await service.spawned('web', 'ada');
    await docker.getContainer(`spawned__${id}`).remove({ force: true });
    await eventually(async () => expect((await service.find('ada')).status).toBe(404), 2000);
    expect((await service.visit(id)).status).toBe(404);
    expect((await service.spawn('web', 'ada')).status).toBe(200);
  });

  test('a container whose program ends is cleaned up, and its address forgotten', async () => {
    await using service = await startService({
      settings: { max_containers: 1, container_images: { web: image } },
    });
    const id = await service.spawned('web', 'ada');
    expect((await service.visit(id, '/exit?code=1')).body).toBe('exiting\n');
    await eventually(async () => expect(await service.containers()).toEqual([]), 8000);
    expect((await service.visit(id)).status).toBe(404);
    expect((await service.spawn('web', 'bob')).status).toBe(200);
  });

  test('a foreign container with the same name prefix is untouched by sweeps, stops and a restart', async () => {
    const foreignId = randomBytes(16).toString('hex');
    const foreign = await docker.createContainer({ name: `spawned__${foreignId}`, Image: image });
    try {
      await foreign.start();
      const before = (await foreign.inspect()).State;
      await using service = await startService({
        settings: { cleanup_timeout: 1, container_images: { web: image } },
      });
      const id = await service.spawned('web', 'ada');
      expect((await service.stop(foreignId)).status).toBe(400);
      expect((await service.visit(foreignId)).status).toBe(404);
      await sweep(service);
      expect((await foreign.inspect()).State).toEqual(before);
      await using again = await service.restart();
      await sweep(again);
      expect((await again.find('ada')).body).toBe(`${id}:web`);
      expect((await foreign.inspect()).State).toEqual(before);
    } finally {
      await foreign.remove({ force: true, v: true });
    }
  });

  /** Makes a container that carries the service's labels and is nobody's: the next sweep removes it. */
  async function sweep(service: RunningService): Promise<void> {
    const [model] = await service.containers();
    const id = randomBytes(16).toString('hex');
    const labels = { ...model!.Labels, 'docker-spawner.id': id };
    const stray = await docker.createContainer({ name: `stray-${id}`, Image: image, Labels: labels });
    await eventually(() => expect(stray.inspect()).rejects.toMatchObject({ statusCode: 404 }));
  }
});

describe('without the engine', () => {
  let relay: EngineRelay;
  let service: RunningService;

  beforeAll(async () => {
    relay = await startEngineRelay();
    service = await startService({
      settings: {
        container_images: { web: image, slow: { image, environment: { START_DELAY_MS: 2000 } } },
      },
      env: relay.env,
    });
  });

  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await relay[Symbol.asyncDispose]();
  });

  test.each([
    ['is away', () => relay.cut()],
    ['hangs', () => relay.silence()],
  ] as const)(
    'that %s, calls get 503 within 2 s, containers live on, and its return makes all normal',
    async (how, lose) => {
      const kept = await service.spawned('web', `kept while it ${how}`);
      const stopped = await service.spawned('web', `stopped while it ${how}`);
      await lose();

      for (const ask of [() => service.spawn('web', `new while it ${how}`), () => service.stop(stopped)]) {
        const startedMs = performance.now();
        const answer = await ask();
        expect(answer).toMatchObject({ status: 503, body: expect.stringContaining('does not answer') });
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
        expect(performance.now() - startedMs).toBeLessThan(2000);
      }
      expect((await service.visit(kept)).status).toBe(200);
      expect((await service.find(`kept while it ${how}`)).body).toBe(`${kept}:web`);
      // What was asked to stop is not served, though the engine could not be told yet.
      expect((await service.visit(stopped)).status).toBe(404);

      await relay.restore();
      await eventually(async () => {
        expect((await service.spawn('web', `new while it ${how}`)).status).toBe(200);
      });
      await eventually(async () => {
        const ids = (await service.containers()).map((c) => c.Labels['docker-spawner.id']);
        expect(ids).not.toContain(stopped);
        expect(ids).toContain(kept);
      });
      expect((await service.visit(kept)).status).toBe(200);
      expect((await service.find(`kept while it ${how}`)).body).toBe(`${kept}:web`);
      // Nothing of the attempts that failed is left: what was kept, and what was started after the return.
      const users = (await service.containers()).map((c) => c.Labels['docker-spawner.user']);
      expect(users.filter((user) => user?.endsWith(`while it ${how}`)).sort()).toEqual([
        `kept while it ${how}`,
        `new while it ${how}`,
      ]);
    },
  );

  test('that breaks while a container starts, the spawn is completed or leaves nothing', async () => {
    const spawning = service.spawn('slow', 'unlucky');
    await eventually(async () => {
      const seen = (await service.containers()).find((c) => c.Labels['docker-spawner.user'] === 'unlucky');
      expect(seen?.State).toBe('running');
    });
    await relay.cut();
    await relay.restore();
    const answer = await spawning;
    await eventually(async () => {
      const left = (await service.containers()).filter((c) => c.Labels['docker-spawner.user'] === 'unlucky');
      expect(left.map((c) => c.Labels['docker-spawner.id'])).toEqual(
        answer.status === 200 ? [answer.body] : [],
      );
    });
  });

  test('a start ends with exit code 1 and says where the engine was looked for', async () => {
    const { code, stderr, stdout } = await refusedStart(
      { container_images: { web: image } },
      { env: { DOCKER_HOST: 'unix:///tmp/no-such-engine.sock' } },
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('Docker does not answer at unix:///tmp/no-such-engine.sock');
  });

  test('a start ends with exit code 1 and one sentence where DOCKER_HOST names another machine', async () => {
    const { code, stderr } = await refusedStart(
      { container_images: { web: image } },
      { env: { DOCKER_HOST: 'ssh://elsewhere' } },
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/^DOCKER_HOST is ssh:\/\/elsewhere: .*machine where the engine runs\n$/);
  });
});

import { beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { docker, refusedStart, startService } from '../support/service.ts';

let images: Record<string, unknown>;

beforeAll(async () => {
  const image = await testImage();
  images = { web: { image, environment: { ID: '{id}' } } };
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

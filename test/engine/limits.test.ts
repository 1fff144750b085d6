import { once } from 'node:events';
import { createServer } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { freePortRange } from '../support/core-harness.ts';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { type Answer, docker, type RunningService, startService } from '../support/service.ts';

let image: string;

beforeAll(async () => {
  image = await testImage();
});

describe('limits', () => {
  test('100 spawns at once for one user make one container, and 99 are refused with 409', async () => {
    await using service = await startService({
      settings: { max_containers: 6, container_images: { web: image } },
    });
    const answers = await Promise.all(times(100, () => service.spawn('web', 'ada')));
    expect(counts(answers)).toEqual({ 200: 1, 409: 99 });
    expect(await service.containers()).toHaveLength(1);
    const winner = answers.find((answer) => answer.status === 200)!;
    expect((await service.visit(winner.body)).status).toBe(200);
  });

  test('20 spawns at once beyond max_containers fill every place once, on different ports of the range', async () => {
    await using service = await startService({
      settings: { max_containers: 6, container_images: { web: image } },
    });
    const answers = await Promise.all(times(26, (n) => service.spawn('web', `user-${n}`)));
    expect(counts(answers)).toEqual({ 200: 6, 409: 20 });
    expect(answers.find((answer) => answer.status === 409)!.body).toContain('all 6 places are taken');
    const ports = await hostPorts(service);
    expect(ports).toEqual(times(6, (n) => service.portStart + n));

    const ids = answers.filter((answer) => answer.status === 200).map((answer) => answer.body);
    expect((await service.stop(ids[0]!)).status).toBe(200);
    const again = await Promise.all(times(3, (n) => service.spawn('web', `late-${n}`)));
    expect(counts(again)).toEqual({ 200: 1, 409: 2 });
  });

  test('a user may have as many as user_limit, and is found by the newest', async () => {
    await using service = await startService({
      settings: { max_containers: 4, user_limit: 2, container_images: { web: image, other: image } },
    });
    const one = await service.spawn('web', 'ada');
    const two = await service.spawn('other', 'ada');
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(await service.spawn('web', 'ada')).toMatchObject({
      status: 409,
      body: expect.stringContaining('2 containers'),
    });
    expect((await service.find('ada')).body).toBe(`${two.body}:other`);
    expect((await service.stop(two.body)).status).toBe(200);
    expect((await service.find('ada')).body).toBe(`${one.body}:web`);
  });

  test('with on_user_limit: reuse, all spawns of a user get one container, and another entry 409', async () => {
    await using service = await startService({
      settings: {
        ...{ max_containers: 4, on_user_limit: 'reuse' },
        container_images: { web: image, other: image },
      },
    });
    const answers = await Promise.all(times(5, () => service.spawn('web', 'ada')));
    expect(counts(answers)).toEqual({ 200: 5 });
    expect(new Set(answers.map((answer) => answer.body)).size).toBe(1);
    expect(await service.containers()).toHaveLength(1);
    expect((await service.spawn('web', 'ada')).body).toBe(answers[0]!.body);
    expect((await service.spawn('other', 'ada')).status).toBe(409);
  });

  test('with on_user_limit: replace, the newest spawn of a user is what remains', async () => {
    await using service = await startService({
      settings: { max_containers: 4, on_user_limit: 'replace', container_images: { web: image } },
    });
    const first = await service.spawn('web', 'ada');
    const answers = await Promise.all(times(3, () => service.spawn('web', 'ada')));
    expect(counts(answers)).toEqual({ 200: 3 });
    const found = (await service.find('ada')).body;
    expect(answers.map((answer) => `${answer.body}:web`)).toContain(found);
    expect((await service.containers()).map((c) => c.Labels['docker-spawner.id'])).toEqual([
      found.slice(0, -':web'.length),
    ]);
    expect((await service.visit(first.body)).status).toBe(404);
  });
});

test('a container lives until its deadline, and no second longer', async () => {
  await using service = await startService({
    // The sweep has no part in it.
    settings: { cleanup_timeout: 600, container_images: { short: { image, docker_timeout: '6s' } } },
  });
  const { body: id, status } = await service.spawn('short', 'ada');
  expect(status).toBe(200);
  const { Id: ref, Config } = await docker.getContainer(`spawned__${id}`).inspect();
  const createdMs = Date.parse(Config.Labels['docker-spawner.created']!);
  const expiresMs = Date.parse(Config.Labels['docker-spawner.expires']!);
  expect(expiresMs - createdMs).toBe(6000);

  let servedMs = 0;
  await eventually(async () => {
    const { status } = await service.visit(id);
    if (status === 200) servedMs = Date.now();
    expect(status).toBe(404);
  });
  const unroutedMs = Date.now();
  expect(servedMs).toBeGreaterThan(expiresMs - 500);
  expect(unroutedMs).toBeGreaterThanOrEqual(expiresMs);
  expect(unroutedMs).toBeLessThan(expiresMs + 1000);
  await eventually(async () => expect(await service.containers()).toEqual([]));
  const diedMs = await timeOfDeath(ref, createdMs);
  expect(diedMs).toBeGreaterThanOrEqual(expiresMs);
  expect(diedMs).toBeLessThan(expiresMs + 1000);
  expect((await service.find('ada')).status).toBe(404);
});

test('ports of the range that others hold are skipped, and used once they are free', async () => {
  const portStart = await freePortRange(3);
  const stranger = createServer().listen(portStart, '127.0.0.1');
  await once(stranger, 'listening');
  const neighbour = await docker.createContainer({
    Image: image,
    HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: String(portStart + 1) }] } },
  });
  try {
    await neighbour.start();
    await using service = await startService({
      settings: { port_start: portStart, max_containers: 3, container_images: { web: image } },
    });
    const { body: id } = await service.spawn('web', 'ada');
    expect(await hostPorts(service)).toEqual([portStart + 2]);
    expect((await service.visit(id)).body).toContain('test image');
    expect(await service.spawn('web', 'bob')).toMatchObject({
      status: 409,
      body: expect.stringContaining('held by another program'),
    });
    expect(await service.containers()).toHaveLength(1);

    stranger.close();
    await once(stranger, 'close');
    expect((await service.spawn('web', 'bob')).status).toBe(200);
    expect(await hostPorts(service)).toEqual([portStart, portStart + 2]);
  } finally {
    stranger.close();
    await neighbour.remove({ force: true, v: true });
  }
});

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

function counts(answers: readonly Answer[]): Record<number, number> {
  const sums: Record<number, number> = {};
  for (const { status } of answers) sums[status] = (sums[status] ?? 0) + 1;
  return sums;
}

/** The host ports of all containers of the service, as the engine has published them. */
async function hostPorts(service: RunningService): Promise<number[]> {
  const containers = await service.containers();
  return containers.flatMap((c) => c.Ports.map((port) => port.PublicPort)).sort((a, b) => a - b);
}

/** When the container's process ended, by the engine's own record of events. */
async function timeOfDeath(ref: string, sinceMs: number): Promise<number> {
  const stream = await docker.getEvents({
    since: Math.floor(sinceMs / 1000),
    until: Math.ceil(Date.now() / 1000) + 1,
    filters: JSON.stringify({ container: [ref], event: ['die'] }),
  });
  const [line] = await once(stream, 'data');
  return JSON.parse(String(line)).timeNano / 1e6;
}

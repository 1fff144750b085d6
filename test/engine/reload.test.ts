import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { testImage } from '../support/images.ts';
import { startService } from '../support/service.ts';

test('SIGHUP takes new entries and limits over, leaves containers alone, and an invalid file changes nothing', async () => {
  const image = await testImage();
  await using service = await startService({ settings: { container_images: { web: image } } });
  const { body: id } = await service.spawn('web', 'alice');
  expect((await service.spawn('other', 'bob')).status).toBe(400);

  const file = join(service.dataDir, '..', 'docker-spawner.yaml');
  const settings = JSON.parse(readFileSync(file, 'utf8'));
  const write = (changes: object) => writeFileSync(file, JSON.stringify({ ...settings, ...changes }));
  write({ container_images: { other: image }, user_limit: 2, hex_size: 20 });
  process.kill(service.pid, 'SIGHUP');
  await eventually(() => expect(service.log()).toMatch(/"afterRestart":\["hex_size"\].*was reloaded/));
  expect((await service.spawn('web', 'alice')).status).toBe(400);
  expect((await service.spawn('other', 'alice')).status).toBe(200);
  expect((await service.spawn('other', 'alice')).status).toBe(409);
  expect((await service.visit(id)).status).toBe(200);

  write({ container_images: { web: { image, mem_limit: 'lots' } } });
  process.kill(service.pid, 'SIGHUP');
  await eventually(() => expect(service.log()).toMatch(/mem_limit.*was not reloaded; nothing has changed/));
  expect((await service.spawn('other', 'bob')).status).toBe(200);
});

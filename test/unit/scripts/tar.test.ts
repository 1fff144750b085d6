import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tar } from '../../../scripts/tar.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'docker-spawner-tar-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function archive(entries: Parameters<typeof tar>[0]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of tar(entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('the system’s tar unpacks what was packed, with contents and modes', async () => {
  const source = path.join(folder, 'source.bin');
  writeFileSync(source, Buffer.alloc(100_001, 'x'));
  const deep = `${'d'.repeat(60)}/${'e'.repeat(60)}/file.txt`;
  const packed = await archive([
    { path: 'empty', directory: true, mode: 0o755 },
    { path: 'a/block', content: Buffer.alloc(512, 'b') },
    { path: 'nothing', content: '' },
    { path: deep, content: 'deep\n' },
    { path: '/bin/program', source, mode: 0o755 },
  ]);
  writeFileSync(path.join(folder, 'out.tar'), packed);
  execFileSync('tar', ['-xf', 'out.tar'], { cwd: folder });

  expect(statSync(path.join(folder, 'empty')).isDirectory()).toBe(true);
  expect(readFileSync(path.join(folder, 'a/block'), 'utf8')).toBe('b'.repeat(512));
  expect(readFileSync(path.join(folder, 'nothing'), 'utf8')).toBe('');
  expect(readFileSync(path.join(folder, deep), 'utf8')).toBe('deep\n');
  expect(readFileSync(path.join(folder, 'bin/program'))).toEqual(readFileSync(source));
  expect(statSync(path.join(folder, 'bin/program')).mode & 0o777).toBe(0o755);
});

test('equal entries give equal archives, of whole blocks', async () => {
  const entries = [{ path: 'a', content: 'one' }];
  const first = await archive(entries);
  expect(await archive(entries)).toEqual(first);
  expect(first.length % 512).toBe(0);
});

test('a path that the format cannot hold is refused rather than cut', async () => {
  await expect(archive([{ path: 'x'.repeat(101), content: '' }])).rejects.toThrow('too long');
});

import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Which parts of src a part may import, besides itself. */
const allowed: Record<string, readonly string[]> = {
  core: [],
  config: ['core'],
  engine: ['core'],
  ledger: ['core'],
  proxy: ['core'],
  reach: ['core'],
  fronts: ['core'],
  metrics: ['core'],
  webhooks: ['core'],
  api: ['core'],
  client: ['api'],
};

const root = join(import.meta.dirname, '../..');
const files = globSync('src/**/*.ts', { cwd: root });

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const relative = [...text.matchAll(/\bfrom '(\.[^']+)'|\bimport\('(\.[^']+)'\)/g)].map(
    (m) => m[1] ?? m[2]!,
  );
  return relative.map((path) => normalize(join(dirname(file), path)));
}

const partOf = (file: string) => file.split('/')[1]!;

describe('the direction of imports', () => {
  test('is looked at in every file', () => {
    expect(files.length).toBeGreaterThan(20);
    expect(importsOf('src/core/core.ts')).toContain('src/core/registry.ts');
  });

  test.each(Object.keys(allowed))('%s imports itself and what it may, nothing else', (part) => {
    const wrong = files
      .filter((file) => file.startsWith(`src/${part}/`))
      .flatMap((file) => importsOf(file).map((target) => ({ file, target })))
      .filter(({ target }) => partOf(target) !== part && !allowed[part]!.includes(partOf(target)));
    expect(wrong).toEqual([]);
  });

  test('only the composition root and the command line import the configuration', () => {
    const importers = files.filter((file) => importsOf(file).some((target) => partOf(target) === 'config'));
    expect(importers.filter((file) => partOf(file) !== 'config' && !/^src\/(main|cli\/)/.test(file))).toEqual(
      [],
    );
  });

  test('the proxy takes only types from the core', () => {
    const values = files
      .filter((file) => file.startsWith('src/proxy/'))
      .filter((file) =>
        /^import (?!type\b)[^;]*from '\.\.\/core\//m.test(readFileSync(join(root, file), 'utf8')),
      );
    expect(values).toEqual([]);
  });
});

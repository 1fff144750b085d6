import { expect, test } from 'vitest';
import { packagesAreCurrent } from '../../../scripts/packages.mjs';

const lock = {
  packages: {
    '': { version: '0.1.0' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/b-darwin': { version: '1.0.0', integrity: 'sha512-b', optional: true },
  },
};

test('packages are current when all that the lock file asks for is there, whatever is optional', () => {
  const a = lock.packages['node_modules/a'];
  expect(packagesAreCurrent(lock, { packages: { 'node_modules/a': a } })).toBe(true);
});

test('packages are not current when one is missing, of another version, or of other content', () => {
  expect(packagesAreCurrent(lock, null)).toBe(false);
  expect(packagesAreCurrent(lock, { packages: {} })).toBe(false);
  for (const found of [
    { version: '1.0.1', integrity: 'sha512-a' },
    { version: '1.0.0', integrity: 'sha512-other' },
  ]) {
    expect(packagesAreCurrent(lock, { packages: { 'node_modules/a': found } })).toBe(false);
  }
});

import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Two projects: `unit` needs nothing but Node; `engine` needs a real Docker Engine (npm test sees to it). */
export default defineConfig({
  test: {
    // Most tests wait for containers; on two processors Vitest would run one file after the other.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 } },
      {
        test: {
          name: 'engine',
          include: ['test/engine/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

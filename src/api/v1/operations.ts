import { containerOperations } from './containers.ts';
import type { Operation } from './operation.ts';
import { outputOperations } from './output.ts';
import { overviewOperations } from './overview.ts';
import { serviceOperations } from './service.ts';
import { tokenOperations } from './tokens.ts';

/** All that the API does beside the calls of the original. */
export const operations: readonly Operation[] = [
  ...containerOperations,
  ...outputOperations,
  ...overviewOperations,
  ...tokenOperations,
  ...serviceOperations,
];

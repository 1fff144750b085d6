import type { Container } from './container.ts';

/** All that lives at this moment, for figures: unlike commands, it tells of warm containers too. */
export interface Overview {
  all(): Iterable<Container>;
  get(id: string): Container | undefined;
  /** Starts that wait for the engine, those that nobody waits for left out. */
  readonly waiting: number;
  /** Starts that have the engine's attention. */
  readonly starting: number;
  readonly maxContainers: number;
}

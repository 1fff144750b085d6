import { expect } from 'vitest';
import type { Engine, EngineContainer } from '../../src/core/engine.ts';
import type { ContainerSpec } from '../../src/core/image-entry.ts';
import { eventually } from './eventually.ts';

/** What the suite needs of an engine under test. */
export interface EngineHarness {
  engine(owner: { readonly instance: string; readonly ledger: string }): Engine;
  /** What to run for a container that serves; one that writes `line 1` to `line 5`, then exits with 3. */
  readonly web: Partial<ContainerSpec>;
  readonly exits: Partial<ContainerSpec>;
  /** What to run in `web` for a command that writes what it reads, then `end`, and exits with 7. */
  readonly copy: readonly string[];
  pause(ref: string): Promise<void>;
  /** Ends everything that instances whose name begins with `prefix` have left. */
  cleanUp(prefix: string): Promise<void>;
}

/** Waits until its server answers. */
export async function serves(container: EngineContainer): Promise<void> {
  const { address, port } = container.upstream!;
  await eventually(async () => {
    const response = await fetch(`http://${address}:${port}/`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    expect(response.status).toBe(200);
  });
}

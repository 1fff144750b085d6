import type { ImageEntry } from '../../src/core/image-entry.ts';
import { entry } from '../support/core-harness.ts';

export const imageKeys = ['plain', 'stops', 'pauses', 'idles', 'warm', 'told'] as const;
export type ImageKey = (typeof imageKeys)[number];

/** How long a container of each entry lives, unless it is extended. */
export const lifetimeMs = 60_000;
export const idleMs = 8000;

/** One entry for each way of life. `generation` is the state of the configuration: a new one recycles what is warm. */
export function modelEntries(warmCount: number, generation: number): Map<string, ImageEntry> {
  const configHash = String(generation).padStart(64, '0');
  const lifecycle = { warnBeforeMs: 10_000, maxLifetimeMs: 2 * lifetimeMs };
  const ready = { timeoutMs: 5000 };
  const common = { configHash, lifetimeMs, ready };
  const idle = (onIdle: 'remove' | 'stop' | 'pause') => ({ ...lifecycle, idleMs, onIdle });
  const warm = { count: warmCount, maxAgeMs: 40_000 };
  const onClaim = { command: ['/claim'], values: { user: '{user_id}' }, timeoutMs: 3000 };
  const list: ImageEntry[] = [
    entry('plain', { ...common, lifecycle }),
    entry('stops', { ...common, lifecycle: idle('stop') }),
    entry('pauses', { ...common, lifecycle: idle('pause') }),
    entry('idles', { ...common, lifecycle: idle('remove'), max: 3 }),
    entry('warm', { ...common, lifecycle, max: 4, warm }),
    entry('told', { ...common, lifecycle: idle('stop'), warm: { ...warm, onClaim } }),
  ];
  return new Map(list.map((one) => [one.key, one]));
}

import { randomBytes } from 'node:crypto';
import type { Container, Specification } from './container.ts';
import type { ImageEntry } from './image-entry.ts';
import type { Parts } from './parts.ts';
import { fill, placeholderValues } from './placeholders.ts';
import type { Wishes } from './wishes.ts';

/**
 * Decides all that is fixed at a container's birth, and reserves its ports: call it only where as many are free,
 * and with no await before the container is in the registry (rule 1).
 */
export function specify(
  parts: Parts,
  entry: ImageEntry,
  user: string | null,
  hexSize: number,
  wishes: Wishes = {},
): Specification {
  const id = randomBytes(Math.ceil(hexSize / 2))
    .toString('hex')
    .slice(0, hexSize);
  const createdAtMs = Math.floor(parts.clock.wallMs());
  const lifetimeMs = wishes.lifetimeMs ?? entry.lifetimeMs;
  const facts = { id, imageKey: entry.key, user, createdAtMs, expiresAtMs: createdAtMs + lifetimeMs };
  const where = { domain: parts.domain, url: parts.urlOf(id) };
  // Filled first: it may throw, and a reserved port would be lost.
  const spec = fill(entry.spec, placeholderValues(facts, where));
  const { warnBeforeMs } = entry.lifecycle;
  return {
    ...facts,
    // Added when the rest is filled: what callers send is data, braces included.
    spec: { ...spec, environment: { ...spec.environment, ...wishes.environment } },
    configHash: entry.configHash,
    ready: entry.ready,
    // A warning at birth would tell nobody anything.
    lifecycle: {
      ...entry.lifecycle,
      warnBeforeMs: warnBeforeMs < lifetimeMs ? warnBeforeMs : Math.floor(lifetimeMs / 2),
    },
    labels: wishes.labels ?? {},
    ports: entry.ports.map((port) => ({ ...port, hostPort: parts.ports.reserve()! })),
  };
}

/** A container as it enters the registry, at the beginning of its start. */
export function queued(
  specification: Specification,
  state: { readonly acknowledged: boolean; readonly warm: boolean; readonly expiresAtMonoMs: number },
): Container {
  return {
    ...specification,
    ...state,
    phase: 'queued',
    reason: null,
    ref: null,
    changedMonoMs: 0,
    upstream: null,
    readyAtMs: null,
    usedSinceMonoMs: 0,
    stopsUntilMonoMs: Number.NEGATIVE_INFINITY,
    moving: null,
  };
}

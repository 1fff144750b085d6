import type { Container } from './container.ts';
import { createDeadlines } from './deadlines.ts';
import { ledgerFailed, SpawnerError } from './errors.ts';
import type { Parts } from './parts.ts';
import type { Remover } from './remover.ts';
import type { Waker } from './waker.ts';
import type { WarmPool } from './warm-pool.ts';

/** Ends containers, or puts them to sleep, when their time has come. */
export interface Lifetimes {
  /** Looks at the idle time again: something was noted of the container's use. */
  used(id: string): void;
  /** When the container counts as idle, on the monotonic clock; null: not as it is used now. */
  idleAtMonoMs(container: Container): number | null;
  /**
   * Moves the deadline to `expiresAtMs` (wall clock), committed when it returns. Throws SpawnerError
   * `not_extendable` where it would come earlier than it is, or later than the entry's `max_lifetime` allows.
   */
  extend(id: string, expiresAtMs: number): Container;
  close(): void;
}

export function createLifetimes(parts: Parts, remover: Remover, waker: Waker, pool: WarmPool): Lifetimes {
  const { registry, ledger, traffic, activity, images, clock, log } = parts;
  const due: Record<string, (container: Container) => void> = {
    end: ({ id }) => void remover.remove(id, 'expired').catch(() => {}),
    warn,
    idle: onIdle,
    age: ({ id }) => pool.recycle(id),
  };
  const deadlines = createDeadlines(clock, (name) => {
    const [kind, id] = name.split(':') as [string, string];
    const container = registry.get(id);
    if (container) due[kind]!(container);
  });

  // The deadline a container was warned of: one warning for each.
  const warnings = new Map<string, number>();
  const warned = ({ id, expiresAtMs }: Container) => warnings.get(id) === expiresAtMs;
  registry.subscribe(({ before, after }) => {
    const foundAtStart = before === null && after.phase !== 'queued';
    const isPast = after.expiresAtMonoMs - after.lifecycle.warnBeforeMs <= clock.monoMs();
    // Before the restart it was warned already.
    if (foundAtStart && isPast) warnings.set(after.id, after.expiresAtMs);
    if (after.phase === 'gone') warnings.delete(after.id);
  });

  registry.subscribe(({ after }) => {
    const at = plannedFor(after);
    for (const kind of Object.keys(due)) {
      const when = at[kind] ?? null;
      if (when === null || when === Number.POSITIVE_INFINITY) deadlines.delete(`${kind}:${after.id}`);
      else deadlines.set(`${kind}:${after.id}`, when);
    }
  });

  /** When what is due for a container, on the monotonic clock. */
  function plannedFor(container: Container): Record<string, number | null> {
    const { phase, warm, lifecycle, expiresAtMonoMs } = container;
    if (phase === 'stopping' || phase === 'gone') return {};
    const maxAgeMs = images.get(container.imageKey)?.warm.maxAgeMs ?? null;
    if (warm)
      return { age: phase === 'ready' && maxAgeMs !== null ? container.usedSinceMonoMs + maxAgeMs : null };
    return {
      end: expiresAtMonoMs,
      warn:
        lifecycle.warnBeforeMs > 0 && !warned(container) ? expiresAtMonoMs - lifecycle.warnBeforeMs : null,
      idle: idleAtMonoMs(container),
    };
  }

  function warn(container: Container): void {
    warnings.set(container.id, container.expiresAtMs);
    try {
      ledger.note(container.id, 'expiring', { expires_at_ms: container.expiresAtMs });
    } catch (error) {
      log.error({ id: container.id, err: error }, 'the ledger cannot be written; a warning is lost');
    }
  }

  function idleAtMonoMs(container: Container): number | null {
    const { idleMs, idleIgnoresTunnels } = container.lifecycle;
    if (idleMs === null || container.phase !== 'ready' || !container.acknowledged) return null;
    const { openRequests, openTunnels, lastByteMonoMs } = activity.get(container.id);
    if (openRequests > 0 || (openTunnels > 0 && !idleIgnoresTunnels)) return null;
    return Math.max(lastByteMonoMs ?? 0, container.usedSinceMonoMs) + idleMs;
  }

  function onIdle({ id }: Container): void {
    // What passed in the last second may not have been noted yet.
    traffic.noteNow(id);
    const container = registry.get(id);
    const at = container && idleAtMonoMs(container);
    if (!container || at === null || at === undefined) return;
    if (at > clock.monoMs()) {
      deadlines.set(`idle:${id}`, at);
      return;
    }
    const { onIdle: then } = container.lifecycle;
    if (then === 'remove') remover.remove(id, 'idle').catch(() => {});
    else {
      waker
        .sleep(id, then)
        .catch((error) => log.warn({ id, err: error }, 'could not put the container to sleep'));
    }
  }

  function extend(id: string, expiresAtMs: number): Container {
    const container = registry.get(id);
    if (!container || container.phase === 'stopping' || container.warm) {
      throw new SpawnerError('unknown_container', 'there is no container with this id');
    }
    const latestMs = container.createdAtMs + container.lifecycle.maxLifetimeMs;
    if (expiresAtMs > latestMs) {
      const latest = new Date(latestMs).toISOString();
      throw new SpawnerError(
        'not_extendable',
        `the latest deadline is ${latest}; raise max_lifetime to allow more`,
      );
    }
    if (expiresAtMs < container.expiresAtMs) {
      throw new SpawnerError(
        'not_extendable',
        'a deadline can only be moved to later; stop the container instead',
      );
    }
    const byMs = expiresAtMs - container.expiresAtMs;
    try {
      ledger.extend(id, expiresAtMs);
    } catch (error) {
      throw ledgerFailed(error);
    }
    return registry.amend(id, { expiresAtMs, expiresAtMonoMs: container.expiresAtMonoMs + byMs });
  }

  return {
    used(id) {
      const container = registry.get(id);
      if (!container) return;
      const at = idleAtMonoMs(container);
      if (at === null) deadlines.delete(`idle:${id}`);
      else deadlines.set(`idle:${id}`, at);
    },
    idleAtMonoMs,
    extend,
    close: () => deadlines.close(),
  };
}

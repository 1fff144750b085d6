import type { Clock } from '../core/clock.ts';
import type { SpawnerEvent } from '../core/events.ts';
import type { Overview } from '../core/overview.ts';
import type { Instruments } from './registry.ts';

/** A start that has not ended. */
interface Start {
  readonly beganMs: number;
  readonly phase: 'queued' | 'creating' | 'starting';
  readonly phaseBeganMs: number;
}

/** A phase of a start that ends with this event. */
const nextPhase = { creating: 'queued', starting: 'creating', ready: 'starting' } as const;

/**
 * Turns events into counts and durations. Only what happens while the process lives is measured: a start that
 * an earlier process began has no known beginning.
 */
export function countSpawns(
  instruments: Instruments,
  using: {
    readonly clock: Pick<Clock, 'monoMs'>;
    readonly overview: Pick<Overview, 'get'>;
    /** The label for an image key: itself where the configuration has it. */
    readonly labelOf: (imageKey: string) => string;
    readonly keepsWarm: (imageKey: string) => boolean;
  },
): (event: SpawnerEvent) => void {
  const { clock, overview, labelOf, keepsWarm } = using;
  const starts = new Map<string, Start>();
  const wakings = new Map<string, number>();

  function endPhase(id: string, kind: keyof typeof nextPhase, nowMs: number): Start | null {
    const start = starts.get(id);
    if (start?.phase !== nextPhase[kind]) return null;
    // Nobody waits for a warm one, and it waits behind everybody.
    if (!isWarm(id)) {
      instruments.spawnPhaseDuration.observe({ phase: start.phase }, (nowMs - start.phaseBeganMs) / 1000);
    }
    return start;
  }

  function ended(event: SpawnerEvent, result: 'ready' | 'failed' | 'stopped'): void {
    const image = labelOf(event.imageKey);
    if (isWarm(event.containerId)) {
      instruments.warmStarts.inc({ image, result });
      return;
    }
    instruments.spawns.inc({ image, result });
    if (keepsWarm(event.imageKey)) instruments.warmLookups.inc({ image, result: 'miss' });
  }

  const isWarm = (id: string) => overview.get(id)?.warm ?? false;

  return (event) => {
    const { containerId: id, kind } = event;
    const image = labelOf(event.imageKey);
    const nowMs = clock.monoMs();
    switch (kind) {
      case 'queued':
        starts.set(id, { beganMs: nowMs, phase: 'queued', phaseBeganMs: nowMs });
        break;
      case 'creating':
      case 'starting': {
        const start = endPhase(id, kind, nowMs);
        if (start) starts.set(id, { ...start, phase: kind, phaseBeganMs: nowMs });
        break;
      }
      case 'ready': {
        const start = endPhase(id, kind, nowMs);
        if (!start) break;
        starts.delete(id);
        ended(event, 'ready');
        if (!isWarm(id)) instruments.spawnDuration.observe({ image }, (nowMs - start.beganMs) / 1000);
        break;
      }
      case 'claimed':
        instruments.spawns.inc({ image, result: 'claimed' });
        instruments.warmLookups.inc({ image, result: 'hit' });
        break;
      case 'waking':
        wakings.set(id, nowMs);
        break;
      case 'awake': {
        const sinceMs = wakings.get(id);
        if (sinceMs !== undefined) instruments.wakeDuration.observe({ image }, (nowMs - sinceMs) / 1000);
        wakings.delete(id);
        break;
      }
      case 'gone': {
        const reason = String(event.data.reason);
        instruments.ended.inc({ image, reason });
        if (starts.delete(id)) ended(event, failures.has(reason) ? 'failed' : 'stopped');
        wakings.delete(id);
        break;
      }
    }
  };
}

/** Reasons for an end before it was ready that are nobody's wish. */
const failures: ReadonlySet<string> = new Set(['failed', 'exited', 'lost']);

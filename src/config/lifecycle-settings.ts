import { availableParallelism } from 'node:os';
import { setting } from './setting.ts';
import { boolean, choice, duration, integer } from './types.ts';

/** What is done with a container that nobody uses. */
export const onIdle = choice('remove', 'stop', 'pause');

/** `idle_timeout`; 0 is read as 0. */
export const idleTimeout = duration(1000, { zero: 'no limit' });

/** `warn_before`; 0 is read as 0. */
export const warnBefore = duration(1000, { zero: 'no warning' });

/** The settings of how containers start, and of how long they live. Part of settings.ts. */
export const lifecycleSettings = {
  docker_timeout: setting(duration(1000), '3600', 3_600_000, 'longest life of a container'),
  max_lifetime: setting<number | null>(
    duration(1000),
    null,
    null,
    'longest life with all extensions, at least `docker_timeout`; not set: lives are not extended',
  ),
  warn_before: setting(
    warnBefore,
    '5m',
    300_000,
    'how long before the end of a life the event `expiring` warns of it; half the life, where that is not longer',
  ),
  idle_timeout: setting(idleTimeout, '0', 0, 'how long without activity until `on_idle`'),
  on_idle: setting<'remove' | 'stop' | 'pause'>(
    onIdle,
    'remove',
    'remove',
    'what becomes of an idle container: it is removed, or sleeps (stopped, or paused) until the next request',
  ),
  idle_ignores_websockets: setting(
    boolean,
    'false',
    false,
    'whether an open WebSocket does not count as activity; what is sent through it always does',
  ),
  warm_max_age: setting(
    duration(1000),
    '24h',
    86_400_000,
    'how old a warm container may become before it is replaced',
  ),
  max_parallel_starts: setting(
    integer(1, 1000),
    null,
    Math.max(4, 2 * availableParallelism()),
    'starts at once, the others wait in a queue; not set: two for each processor, at least 4',
  ),
  queue_length: setting(
    integer(1, 65_535),
    '100',
    100,
    'starts that may wait; one more is answered with 429',
  ),
  cleanup_timeout: setting(
    duration(1000),
    '60',
    60_000,
    'time between two full sweeps; deadlines do not wait for them',
  ),
  history_days: setting(integer(1, 36_500), '30', 30, 'days for which it is known who had which container'),
} as const;

import type { Clock } from './clock.ts';
import { EngineError } from './engine.ts';
import { ledgerFailed, SpawnerError } from './errors.ts';
import type { Parts } from './parts.ts';

/** Deadlines of the calls to the engine (rule 7), in milliseconds. Removals and stops add their grace. */
export const engineDeadlinesMs = {
  /** A caller is told within two seconds that the engine is away. */
  check: 1500,
  list: 30_000,
  /** An image of many gigabytes over a slow line. */
  create: 30 * 60_000,
  remove: 30_000,
  wake: 60_000,
  logs: 3000,
  /** All that a caller asks for, as slow as that one reads. */
  allLogs: 5 * 60_000,
  stats: 10_000,
} as const;

/** A signal that fires after `limitMs`, or with any of the others. */
export function deadline(clock: Clock, limitMs: number, ...others: AbortSignal[]): AbortSignal {
  return AbortSignal.any([clock.timeout(limitMs), ...others]);
}

/**
 * Waits for `work`, but no longer than the engine answers: a hanging engine is asked beside it whether it is
 * there, which costs nothing when it is. Rejects with `engine_unavailable`; `work` goes on.
 */
export async function whileEngineAnswers<T>(
  { engine, clock, closing }: Pick<Parts, 'engine' | 'clock' | 'closing'>,
  work: Promise<T>,
): Promise<T> {
  // Whoever loses the race must not become an unhandled rejection.
  work.catch(() => {});
  const watchdog = engine.check(deadline(clock, engineDeadlinesMs.check, closing)).then(
    () => work,
    () => {
      throw engineUnavailable();
    },
  );
  return Promise.race([work, watchdog]);
}

/** The last lines that a container wrote; '' where the engine does not tell them in time. */
export async function lastLines(
  { engine, clock, closing }: Pick<Parts, 'engine' | 'clock' | 'closing'>,
  ref: string,
  lines: number,
): Promise<string> {
  let text = '';
  const onText = (piece: string) => {
    text = (text + piece).slice(-lastLinesLength);
  };
  const limit = deadline(clock, engineDeadlinesMs.logs, closing);
  await engine.logs(ref, { tailLines: lines, sinceMs: null, follow: false }, onText, limit).catch(() => {});
  return text;
}

const lastLinesLength = 4096;

export function engineUnavailable(cause?: unknown): SpawnerError {
  return new SpawnerError(
    'engine_unavailable',
    'the container engine does not answer; try again in a moment',
    {
      retryAfterS: 5,
      cause,
    },
  );
}

/** Puts the failure of the engine, or of the ledger beside it, into the words of the error table. */
export function fromEngineError(error: unknown): SpawnerError {
  if (error instanceof SpawnerError) return error;
  if (error instanceof Error && error.name === 'LedgerError') return ledgerFailed(error);
  if (!(error instanceof EngineError)) {
    return new SpawnerError('internal', 'something went wrong in the service; its log says what', {
      cause: error,
    });
  }
  switch (error.kind) {
    case 'unreachable':
    case 'aborted':
      return engineUnavailable(error);
    case 'image_missing':
      return new SpawnerError('image_missing', error.message, { cause: error });
    case 'port_taken':
      return new SpawnerError('no_place', 'every free port of the range is held by another program', {
        retryAfterS: 30,
        cause: error,
      });
    case 'not_found':
    case 'failed':
      return new SpawnerError('engine_failed', error.message, { cause: error });
  }
}

import type { Clock } from '../core/clock.ts';
import { type Engine, EngineError } from '../core/engine.ts';
import type { Log } from '../core/log.ts';
import { tracedLog } from '../core/trace.ts';
import type { Instruments } from './registry.ts';

/** Calls that last as long as somebody listens, or reads: their duration says nothing of the engine. */
const streams: readonly string[] = ['watch', 'logs'];

/**
 * The same engine, whose calls are counted and timed, and told to the log at `debug` with the request that they
 * belong to. It knows no verb by name, so that none is forgotten.
 */
export function measured(
  engine: Engine,
  instruments: Pick<Instruments, 'engineCalls' | 'engineErrors' | 'engineCallDuration'>,
  using: { readonly clock: Pick<Clock, 'monoMs'>; readonly log: Log },
): Engine {
  const { engineCalls, engineErrors, engineCallDuration } = instruments;
  const log = tracedLog(using.log);

  async function measure(verb: string, call: () => unknown): Promise<unknown> {
    engineCalls.inc({ verb });
    const sinceMs = using.clock.monoMs();
    let failure: string | null = null;
    try {
      return await call();
    } catch (error) {
      failure = error instanceof EngineError ? error.kind : 'other';
      engineErrors.inc({ verb, kind: failure });
      throw error;
    } finally {
      const ms = using.clock.monoMs() - sinceMs;
      if (!streams.includes(verb)) engineCallDuration.observe({ verb }, ms / 1000);
      const rounded = Math.round(ms * 10) / 10;
      log.debug(failure === null ? { verb, ms: rounded } : { verb, ms: rounded, failure }, 'engine call');
    }
  }

  const verbs = Object.entries(engine).map(([verb, call]) => {
    engineCalls.inc({ verb }, 0);
    return [verb, (...args: unknown[]) => measure(verb, () => Reflect.apply(call, engine, args))];
  });
  return Object.fromEntries(verbs);
}

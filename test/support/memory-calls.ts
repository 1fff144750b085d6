import { setTimeout as delay } from 'node:timers/promises';
import { EngineError } from '../../src/core/engine.ts';
import { untilAborted } from '../../src/engine/abort.ts';

/** What can be asked of the memory engine; `pull` is a part of `create` that has knobs of its own. */
export type Verb =
  | 'check'
  | 'list'
  | 'watch'
  | 'create'
  | 'pull'
  | 'remove'
  | 'sleep'
  | 'wake'
  | 'exec'
  | 'rename'
  | 'logs'
  | 'stats';

/** How the memory engine takes calls: it counts them, and fails, hangs and is late as tests tell it. */
export class MemoryCalls {
  /** How often each verb was called, failed calls included. */
  readonly calls: Record<Verb, number> = {
    check: 0,
    list: 0,
    watch: 0,
    create: 0,
    pull: 0,
    remove: 0,
    sleep: 0,
    wake: 0,
    exec: 0,
    rename: 0,
    logs: 0,
    stats: 0,
  };
  #hooks = new Set<Hook>();
  #isAway = false;

  /** The next call of the verb fails: `before` it has any effect, or `after` (as when the answer is lost). */
  failNext(verb: Verb, error: EngineError, when: 'before' | 'after' = 'before'): void {
    const hook: Hook = {
      verb,
      when,
      run: async () => {
        this.#hooks.delete(hook);
        throw error;
      },
    };
    this.#hooks.add(hook);
  }

  /**
   * Every call of the verb waits until `release` (or its own signal), `before` it has any effect or `after`.
   * `waiting()` tells how many do. A call whose signal fired while it waited `before` has no effect.
   */
  hold(verb: Verb, when: 'before' | 'after' = 'before'): { release(): void; waiting(): number } {
    const { promise: released, resolve } = Promise.withResolvers<void>();
    let waiting = 0;
    const hook: Hook = {
      verb,
      when,
      run: async (signal) => {
        waiting++;
        await untilAborted(signal, released).finally(() => waiting--);
      },
    };
    this.#hooks.add(hook);
    const release = () => {
      this.#hooks.delete(hook);
      resolve();
    };
    return { release, waiting: () => waiting };
  }

  /** Every call of the verb takes this much longer. */
  slow(verb: Verb, byMs: number): void {
    this.#hooks.add({
      verb,
      when: 'before',
      run: (signal) => delay(byMs, undefined, { signal }).catch(() => {}),
    });
  }

  /** The engine stops answering: calls fail as `unreachable` and watches end. Containers live on. */
  away(): void {
    this.#isAway = true;
  }

  back(): void {
    this.#isAway = false;
  }

  /** Carries out a call, for createMemoryEngine. */
  async call<T>(verb: Verb, signal: AbortSignal, effect: () => Promise<T>): Promise<T> {
    this.calls[verb]++;
    const work = async () => {
      await this.#runHooks(verb, 'before', signal);
      if (this.#isAway) throw new EngineError('unreachable', 'The memory engine is away');
      const result = await effect();
      await this.#runHooks(verb, 'after', signal);
      return result;
    };
    return untilAborted(signal, signal.aborted ? new Promise<T>(() => {}) : work());
  }

  async #runHooks(verb: Verb, when: Hook['when'], signal: AbortSignal): Promise<void> {
    for (const hook of [...this.#hooks]) {
      if (hook.verb !== verb || hook.when !== when || !this.#hooks.has(hook)) continue;
      await hook.run(signal);
      if (signal.aborted) await new Promise<never>(() => {});
    }
  }
}

interface Hook {
  readonly verb: Verb;
  readonly when: 'before' | 'after';
  readonly run: (signal: AbortSignal) => Promise<void>;
}

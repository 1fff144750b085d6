import { delay } from './clock.ts';
import type { EngineEvent } from './engine.ts';
import { deadline, engineDeadlinesMs } from './engine-calls.ts';
import { fullList } from './full-list.ts';
import type { Parts } from './parts.ts';
import { type Action, type Observation, plan } from './plan.ts';
import type { Remover } from './remover.ts';
import { StartEnded } from './starter.ts';
import type { Waker } from './waker.ts';

/** Makes registry, ledger and engine agree, from the engine's lists; its events only say when to look. */
export interface Reconciler {
  /** Begins to watch and to sweep. */
  start(): void;
  /** Compares one container with the engine's view of it, soon. */
  look(id: string): void;
  /** Looks at this container again after a while: what its last call to the engine did is not known. */
  lookLater(id: string): void;
  /** Carries out what an observation calls for. */
  act(observation: Observation): Promise<void>;
  close(): void;
}

export function createReconciler(
  parts: Parts,
  remover: Remover,
  waker: Waker,
  recycle: (id: string) => void,
  options: { readonly sweepEveryMs: number; readonly afterSweep: () => void },
): Reconciler {
  const { registry, ledger, engine, starts, clock, log, closing } = parts;
  const timers = new Set<() => void>();
  const looking = new Map<string, { again: boolean }>();
  const left = new Set<string>();
  /** Whether the event stream stands: while it does not, exits may be the engine's own doing. */
  let watching = false;

  async function watchForever(): Promise<void> {
    let failures = 0;
    while (!closing.aborted) {
      const stream = new AbortController();
      const onEvent = (event: EngineEvent) => {
        if (event.kind === 'container') return onChange(event);
        failures = 0;
        log.info({}, 'watching the engine');
        void catchUp(stream.signal);
      };
      try {
        await engine.watch(onEvent, closing);
      } catch (error) {
        if (failures === 0) log.warn({ err: error }, 'lost sight of the engine; trying again');
      }
      stream.abort();
      watching = false;
      await delay(clock, Math.min(100 * 2 ** failures++, 1000), closing);
    }
  }

  /** Until a list is complete, what happened out of sight is not known, and exits are nobody's fault. */
  async function catchUp(streamEnd: AbortSignal): Promise<void> {
    for (let pauseMs = 100; !streamEnd.aborted; pauseMs = Math.min(pauseMs * 2, 5000)) {
      if (!(await survey(true))) {
        await delay(clock, pauseMs, streamEnd);
      } else if (!streamEnd.aborted) {
        watching = true;
        remover.retryNow();
        return;
      }
    }
  }

  function onChange(event: Extract<EngineEvent, { kind: 'container' }>): void {
    const container = registry.get(event.id);
    if (!container || (container.ref !== null && container.ref !== event.ref)) return;
    // What a spawn or a removal under way causes itself is no news.
    if (container.phase === 'creating' || container.phase === 'stopping') return;
    if (event.change === 'exited' && container.phase === 'ready') {
      // An engine that shuts down stops its containers first: wait and see whether it goes away.
      after(exitGraceMs, () => watching && look(event.id));
    } else if (container.moving === null && (event.change !== 'started' || container.phase === 'asleep')) {
      look(event.id);
    }
  }

  /** Resolves with whether the list was complete: an unknown state must not be taken for none (rule 3). */
  async function survey(unwatched: boolean): Promise<boolean> {
    try {
      await act({ ...(await fullList(parts, thoseInTheEngine())), scope: null, unwatched });
      return true;
    } catch (error) {
      if (!closing.aborted)
        log.warn({ err: error }, 'could not list the containers; nothing is concluded from it');
      return false;
    }
  }

  function thoseInTheEngine(): Set<string> {
    const ids = new Set<string>();
    for (const { id, phase } of registry.all()) if (phase === 'ready' || phase === 'asleep') ids.add(id);
    return ids;
  }

  function look(id: string): void {
    const running = looking.get(id);
    if (running) {
      running.again = true;
      return;
    }
    const state = { again: false };
    looking.set(id, state);
    void (async () => {
      do {
        state.again = false;
        const askedAtMonoMs = clock.monoMs();
        const unwatched = !watching;
        try {
          const containers = await engine.list({ id }, deadline(clock, engineDeadlinesMs.list, closing));
          await act({ containers, scope: id, askedAtMonoMs, unwatched });
        } catch (error) {
          if (!closing.aborted) log.debug({ id, err: error }, 'could not look at the container');
        }
      } while (state.again && !closing.aborted);
      looking.delete(id);
    })();
  }

  async function act(observation: Observation): Promise<void> {
    const actions = plan(registry, observation, ledger.identities());
    await inParallel(actions, 4, (action) =>
      carryOut(action).catch((error) => {
        if (!closing.aborted)
          log.warn({ action, err: error }, 'could not carry out an action; the sweep will');
      }),
    );
  }

  async function carryOut(action: Action): Promise<void> {
    switch (action.do) {
      case 'discard':
        log.warn({ id: action.id, ref: action.ref }, 'removing a container of ours that nobody was told of');
        return engine.remove(
          action.ref,
          { graceMs: null },
          deadline(clock, engineDeadlinesMs.remove, closing),
        );
      case 'end':
        return remover.remove(action.id, action.reason);
      case 'recycle':
        return recycle(action.id);
      case 'revive':
        return waker.revive(action.id);
      case 'fail-start':
        return starts.get(action.id)?.abort(await startEnded(action.id, action.reason));
      case 'leave':
        if (left.has(action.ref)) return;
        left.add(action.ref);
        log.warn(
          { name: action.name, ref: action.ref },
          'a container of this instance has a stranger ledger; leaving it',
        );
    }
  }

  async function startEnded(id: string, reason: string): Promise<StartEnded> {
    if (reason === 'lost')
      return new StartEnded('the container was removed by somebody else before it was ready');
    const [seen] = await engine.list({ id }, deadline(clock, engineDeadlinesMs.list, closing));
    const how = seen?.exit?.outOfMemory
      ? 'was out of memory'
      : `ended with exit code ${seen?.exit?.code ?? '?'}`;
    return new StartEnded(`the container ${how} before it was ready`);
  }

  function after(delayMs: number, then: () => void): void {
    const cancel = clock.after(delayMs, () => {
      timers.delete(cancel);
      then();
    });
    timers.add(cancel);
  }

  async function sweepForever(): Promise<void> {
    while (!closing.aborted) {
      await delay(clock, options.sweepEveryMs, closing);
      if (closing.aborted) return;
      if (watching) await survey(false);
      options.afterSweep();
    }
  }

  return {
    start() {
      void watchForever();
      void sweepForever();
    },
    look,
    lookLater(id) {
      for (const delayMs of [1000, 10_000]) after(delayMs, () => look(id));
    },
    act,
    close() {
      for (const cancel of timers) cancel();
    },
  };
}

/** How long after the exit of a container that was in use its cause is waited for. */
const exitGraceMs = 1500;

async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}

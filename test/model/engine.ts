import { type Engine, EngineError, type EngineEvent } from '../../src/core/engine.ts';
import { encodeLabels, labels, type Owner } from '../../src/core/labels.ts';
import { containerName, warmContainerName } from '../../src/core/names.ts';
import { abortError, untilAborted } from '../../src/engine/abort.ts';
import type { Faults, Verb } from './faults.ts';
import { type Exec, type Machine, snapshot } from './machine.ts';
import type { Random } from './random.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** The engine as all lives of the service meet it. */
export interface EngineWorld {
  readonly clock: VirtualClock;
  readonly machine: Machine;
  readonly faults: Faults;
  readonly random: Random;
  /** While true nothing is answered and nothing is done. */
  away: boolean;
  /** What becomes of the next events. */
  events: 'told' | 'lost' | 'doubled' | 'late';
  readonly exec: Exec;
  /** Called when a container has come into being through a call. */
  readonly onCreated: (ref: string) => void;
  /** Called with the id that a call was about when something went wrong with it; `*`: it was about all. */
  readonly onFault: (id: string) => void;
  /** Connections, to be broken when the engine goes away. */
  readonly connections: Set<() => void>;
}

/** `before` a call is made; when it is `sent`, and on its way; `after` it has had its effect, and not its answer. */
export type Moment = 'before' | 'sent' | 'after';

/** One life of the service, as far as the engine sees it: once it has ended, no answer reaches it. */
export interface Caller {
  readonly dead: boolean;
  /** Called at each moment of each call; may end the life. */
  readonly step: (what: string, when: Moment) => void;
}

/** The engine for one life of the service. */
export function createModelEngine(world: EngineWorld, caller: Caller, owner: () => Owner): Engine {
  const { clock, machine, faults } = world;

  /** `about`: the id of the container, for the records. `effect` learns whether the caller has given up. */
  function call<T>(verb: Verb, about: string, signal: AbortSignal, effect: (late: boolean) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (caller.dead) return;
      caller.step(verb, 'before');
      if (caller.dead) return;
      if (signal.aborted) return reject(abortError(signal));
      const fate = faults.next(verb);
      if (fate.isFault) world.onFault(about);
      let over = false;
      const end = (settle: () => void) => {
        if (over) return;
        over = true;
        world.connections.delete(breakOff);
        signal.removeEventListener('abort', abort);
        if (!caller.dead) settle();
      };
      const abort = () => end(() => reject(abortError(signal)));
      const breakOff = () => {
        world.onFault(about);
        end(() => reject(new EngineError('unreachable', 'the connection to the engine broke')));
      };
      world.connections.add(breakOff);
      signal.addEventListener('abort', abort);

      const answer = (settle: () => void) => {
        if (fate.answerMs !== null) clock.after(fate.answerMs, () => end(settle));
      };
      clock.after(fate.effectMs, () => {
        if (world.away) return breakOff();
        const late = over || caller.dead;
        if (late && !fate.carriesOn) return;
        if (!fate.hasEffect) return answer(() => reject(refusal(fate.answer)));
        try {
          const result = effect(late);
          caller.step(verb, 'after');
          answer(() => (fate.answer === 'result' ? resolve(result) : reject(refusal(fate.answer))));
        } catch (error) {
          answer(() => reject(error));
        }
      });
      caller.step(verb, 'sent');
    });
  }

  const idOf = (ref: string) => machine.get(ref)?.id ?? '';

  return {
    check: (signal) => call('check', '*', signal, () => ({ name: 'model', version: '1' })),

    list: (filter, signal) =>
      call('list', filter.id ?? '', signal, () =>
        machine.containers
          .filter((c) => c.labels[labels.instance.name] === owner().instance)
          .filter((c) => filter.id === undefined || c.labels[labels.id.name] === filter.id)
          .map(snapshot),
      ),

    watch: (onEvent, signal) => watch(world, caller, owner().instance, onEvent, signal),

    async create({ specification, warm, beforeCreate }, signal) {
      if (beforeCreate) await untilAborted(signal, beforeCreate());
      const { id } = specification;
      const name = (warm ? warmContainerName : containerName)('spawned__', id);
      const all = encodeLabels(owner(), specification);
      const ref = await call('create', id, signal, (late) => {
        const created = machine.create(name, all, specification, late);
        if (!late) world.onCreated(created);
        return created;
      });
      try {
        await call('start', id, signal, () => machine.start(ref));
      } catch (error) {
        // As the Docker engine does: what did not start is taken away before the failure is told.
        await call('remove', id, AbortSignal.any([]), () => machine.remove(ref)).catch(() => {});
        throw error;
      }
      const upstream = { address: '127.0.0.1', port: specification.ports[0]!.hostPort };
      const { image } = specification.spec;
      return { ref, name, image, labels: all, state: 'running', exit: null, upstream };
    },

    remove: (ref, _options, signal) => call('remove', idOf(ref), signal, () => machine.remove(ref)),

    sleep: (ref, { mode }, signal) =>
      call('sleep', idOf(ref), signal, () => {
        if (mode === 'pause') machine.pause(ref);
        else machine.exit(ref, 0);
      }),

    wake: (ref, signal) =>
      call('wake', idOf(ref), signal, () => {
        const container = machine.get(ref) ?? gone(ref);
        if (container.state === 'paused') machine.unpause(ref);
        else machine.start(ref);
        return snapshot(container);
      }),

    exec: (ref, { input }, signal) =>
      call('exec', idOf(ref), signal, () => {
        const container = machine.get(ref) ?? gone(ref);
        if (container.state !== 'running') throw new EngineError('failed', 'the container does not run');
        return world.exec(container, input);
      }),

    rename: (ref, id, signal) =>
      call('rename', id, signal, () => machine.rename(ref, containerName('spawned__', id))),

    stats: (ref, signal) =>
      call('logs', idOf(ref), signal, () => {
        throw new EngineError('failed', 'nobody measures here');
      }),

    logs: (ref, _query, _onText, signal) => call('logs', idOf(ref), signal, () => {}),
  };
}

/** Resolves when the signal fires, rejects when the connection breaks; never for a caller that has ended. */
function watch(
  world: EngineWorld,
  caller: Caller,
  instance: string,
  onEvent: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock, machine, random, connections } = world;
  return new Promise<void>((resolve, reject) => {
    caller.step('watch', 'before');
    let open = !caller.dead;
    const tell = (event: EngineEvent) => {
      if (open && !caller.dead && !signal.aborted) onEvent(event);
    };
    const unsubscribe = machine.onEvent((of, event) => {
      if (of !== instance || world.events === 'lost') return;
      const usualMs = random.below(5);
      clock.after(world.events === 'late' ? usualMs + random.below(4000) : usualMs, () => tell(event));
      if (world.events === 'doubled') clock.after(random.below(500), () => tell(event));
    });
    const end = (settle: () => void) => {
      open = false;
      unsubscribe();
      connections.delete(breakOff);
      if (!caller.dead) settle();
    };
    const breakOff = () => end(() => reject(new EngineError('unreachable', 'the stream of events ended')));
    connections.add(breakOff);
    signal.addEventListener('abort', () => end(resolve));
    clock.after(random.below(3), () => (world.away ? breakOff() : tell({ kind: 'open' })));
  });
}

function refusal(answer: 'result' | 'failed' | 'unreachable'): EngineError {
  return answer === 'unreachable'
    ? new EngineError('unreachable', 'the connection to the engine broke')
    : new EngineError('failed', 'the engine says no');
}

function gone(ref: string): never {
  throw new EngineError('not_found', `there is no container ${ref}`);
}

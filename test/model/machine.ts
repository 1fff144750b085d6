import type { Specification } from '../../src/core/container.ts';
import {
  type EngineContainer,
  EngineError,
  type EngineEvent,
  type EngineState,
  type ExecResult,
} from '../../src/core/engine.ts';
import { decodeLabels, labels } from '../../src/core/labels.ts';

/** A container on the machine under the model. Only the machine writes to it. */
export interface MachineContainer {
  readonly ref: string;
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** From the labels; '' for a stranger's. */
  readonly id: string;
  readonly hostPort: number | null;
  readonly state: EngineState;
  readonly exit: EngineContainer['exit'];
  /** Since when its process runs; its web server answers a while after. */
  readonly startedMs: number;
  /** Made by a call that its caller had given up: nothing counts it, but it must not stay. */
  readonly late: boolean;
  /** Somebody has stopped, removed, paused or restarted it behind the service's back. */
  readonly touched: boolean;
}

/** What runs commands inside containers is asked here what comes of it. */
export type Exec = (container: MachineContainer, input: string) => ExecResult;

/**
 * A machine without sockets and without time of its own: what an engine does to containers, at once. Errors are
 * EngineErrors, as the Docker engine's are.
 */
export function createMachine(nowMs: () => number) {
  const containers = new Map<string, Held>();
  const listeners = new Set<(instance: string, event: EngineEvent) => void>();
  /** Ports of the range that other programs hold. */
  const strangers = new Set<number>();
  let lastRef = 0;

  function held(ref: string): Held {
    const container = containers.get(ref);
    if (!container) throw new EngineError('not_found', `there is no container ${ref}`);
    return container;
  }

  function tell(container: Held, change: 'started' | 'exited' | 'removed' | 'paused' | 'unpaused'): void {
    const instance = container.labels[labels.instance.name];
    if (instance === undefined) return;
    for (const listener of listeners) {
      listener(instance, { kind: 'container', ref: container.ref, id: container.id, change });
    }
  }

  /** A process holds its port as long as it lives, paused or not. */
  function portIsFree(port: number): boolean {
    return !strangers.has(port) && ![...containers.values()].some((c) => c.hostPort === port && lives(c));
  }

  const machine = {
    strangers,
    portIsFree,
    get containers(): readonly MachineContainer[] {
      return [...containers.values()];
    },
    get: (ref: string): MachineContainer | undefined => containers.get(ref),
    ofId: (id: string): readonly MachineContainer[] => [...containers.values()].filter((c) => c.id === id),
    /** The living container that answers at this port. */
    atPort: (port: number): MachineContainer | undefined =>
      [...containers.values()].find((c) => c.hostPort === port && lives(c)),
    /** Returns what ends it. */
    onEvent(listener: (instance: string, event: EngineEvent) => void): () => void {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    create(name: string, all: Record<string, string>, spec: Specification | null, late: boolean): string {
      if ([...containers.values()].some((c) => c.name === name)) {
        throw new EngineError('failed', `the container name ${name} is already in use`);
      }
      const ref = `ref-${++lastRef}`;
      containers.set(ref, {
        ...{ ref, name, late, labels: all, exit: null, startedMs: 0, touched: false, state: 'created' },
        image: spec?.spec.image ?? 'foreign',
        id: decodeLabels(all)?.birth.id ?? '',
        hostPort: spec?.ports[0]?.hostPort ?? null,
      });
      return ref;
    },
    start(ref: string): void {
      const container = held(ref);
      if (lives(container)) return;
      const { hostPort } = container;
      if (hostPort !== null && !portIsFree(hostPort)) {
        throw new EngineError('port_taken', `port ${hostPort} is taken`, { hostPort });
      }
      Object.assign(container, { state: 'running', exit: null, startedMs: nowMs() });
      tell(container, 'started');
    },
    /** Its process ends, or is ended. */
    exit(ref: string, code: number): void {
      const container = held(ref);
      if (!lives(container)) return;
      Object.assign(container, { state: 'exited', exit: { code, outOfMemory: code === 137 } });
      tell(container, 'exited');
    },
    pause(ref: string): void {
      const container = held(ref);
      if (container.state !== 'running') return;
      container.state = 'paused';
      tell(container, 'paused');
    },
    unpause(ref: string): void {
      const container = held(ref);
      if (container.state !== 'paused') return;
      container.state = 'running';
      tell(container, 'unpaused');
    },
    remove(ref: string): void {
      const container = containers.get(ref);
      if (!container) return;
      machine.exit(ref, 137);
      containers.delete(ref);
      tell(container, 'removed');
    },
    rename(ref: string, name: string): void {
      const container = held(ref);
      if ([...containers.values()].some((c) => c !== container && c.name === name)) {
        throw new EngineError('failed', `the container name ${name} is already in use`);
      }
      container.name = name;
    },
    touch(ref: string): void {
      held(ref).touched = true;
    },
  };
  return machine;
}

export type Machine = ReturnType<typeof createMachine>;

export function lives({ state }: Pick<MachineContainer, 'state'>): boolean {
  return state === 'running' || state === 'paused';
}

export function snapshot(container: MachineContainer): EngineContainer {
  const { ref, name, image, labels: all, state, exit, hostPort } = container;
  const upstream = state === 'running' && hostPort !== null ? { address: '127.0.0.1', port: hostPort } : null;
  return { ref, name, image, labels: { ...all }, state, exit, upstream };
}

interface Held extends MachineContainer {
  name: string;
  state: EngineState;
  exit: EngineContainer['exit'];
  startedMs: number;
  touched: boolean;
}

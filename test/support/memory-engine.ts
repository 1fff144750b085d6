import type { Engine, EngineContainer } from '../../src/core/engine.ts';
import { encodeLabels, labels } from '../../src/core/labels.ts';
import { containerName, warmContainerName } from '../../src/core/names.ts';
import type { MemoryContainer } from './memory-container.ts';
import type { MemoryMachine } from './memory-machine.ts';

/**
 * An engine without Docker, for fast tests of what is built on engines. Its containers are real HTTP servers on
 * 127.0.0.1, on the host port they were given. It passes the same behaviour suite as the Docker engine.
 *
 * Several engines can share one machine, as several services share one Docker Engine: so a restart of the
 * service, a second copy or another instance is a second `createMemoryEngine` with the same `machine`. The
 * machine has the knobs: make it fail, hang or go away, and do to containers what happens to them by hand.
 */
export function createMemoryEngine(options: {
  readonly machine: MemoryMachine;
  readonly owner: { readonly instance: string; identity(): string };
  readonly containerPrefix?: string;
}): Engine {
  const { machine, owner, containerPrefix = 'spawned__' } = options;
  return {
    check: (signal) => machine.call('check', signal, async () => ({ name: 'memory', version: '1.0' })),

    list: (filter, signal) =>
      machine.call('list', signal, async () =>
        machine.containers
          .filter((c) => c.labels[labels.instance.name] === owner.instance)
          .filter((c) => filter.id === undefined || c.labels[labels.id.name] === filter.id)
          .map(snapshot),
      ),

    watch: (onEvent, signal) => machine.watch(owner.instance, onEvent, signal),

    create: (request, signal) =>
      machine.call('create', signal, async () => {
        const { specification, warm } = request;
        const all = {
          ...specification.spec.labels,
          ...encodeLabels({ instance: owner.instance, ledger: owner.identity() }, specification),
        };
        const nameOf = warm ? warmContainerName : containerName;
        return snapshot(
          await machine.create(nameOf(containerPrefix, specification.id), all, request, signal),
        );
      }),

    remove: (ref, _options, signal) => machine.call('remove', signal, () => machine.removeByHand(ref)),

    sleep: (ref, { mode }, signal) =>
      machine.call('sleep', signal, async () => {
        if (mode === 'pause') machine.pause(ref);
        else await machine.exit(ref);
      }),

    wake: (ref, signal) =>
      machine.call('wake', signal, async () => {
        const container = machine.find(ref);
        if (container.state === 'paused') machine.unpause(ref);
        else if (container.state !== 'running') await machine.start(ref);
        return snapshot(container);
      }),

    exec: (ref, { command, input }, signal) =>
      machine.call('exec', signal, () => machine.exec(ref, command, input)),

    rename: (ref, id, signal) =>
      machine.call('rename', signal, async () => machine.rename(ref, containerName(containerPrefix, id))),

    logs: (ref, query, onText, signal) =>
      machine.call('logs', signal, () => machine.logs(ref, query, onText, signal)),

    stats: (ref, signal) => machine.call('stats', signal, async () => ({ ...machine.find(ref).stats })),
  };
}

function snapshot(container: MemoryContainer): EngineContainer {
  const { ref, name, image, state, exit, specification } = container;
  const port = specification.ports[0]!.hostPort;
  const upstream = state === 'running' ? { address: '127.0.0.1', port } : null;
  return { ref, name, image, labels: { ...container.labels }, state, exit, upstream };
}

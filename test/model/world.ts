import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Reach } from '../../src/core/reach.ts';
import type { Traffic } from '../../src/core/route.ts';
import type { EngineWorld, Moment } from './engine.ts';
import { createFaults } from './faults.ts';
import { beginLife, type Life, type Settings } from './life.ts';
import { createMachine, type MachineContainer } from './machine.ts';
import { createRandom } from './random.ts';
import { createRecords, type Records } from './records.ts';
import { checkCreated, checkEvent, checkMoment, type RulesView } from './rules.ts';
import { createVirtualClock, type VirtualClock } from './virtual-clock.ts';

/** The service, its engine and its users, in virtual time; the rules are checked at every moment. */
export interface World {
  readonly clock: VirtualClock;
  readonly engine: EngineWorld;
  readonly records: Records;
  readonly settings: Settings;
  /** The present life of the service; null before the first. */
  readonly life: Life | null;
  /** Whether the interfaces are open. */
  readonly isOpen: boolean;
  /** What broke a rule, in order. */
  readonly problems: string[];
  /** What happened, in order, for whoever wants to know why. */
  readonly trace: string[];
  /** Users who wait for a spawn. */
  readonly waiting: Map<object, string | null>;
  /** What was run inside containers: for each ref the inputs. */
  readonly told: ReadonlyMap<string, readonly string[]>;
  /** Called at every step of the service, for those who want to end it there. */
  onStep: (what: string, when: Moment, life: Life) => void;
  /** Starts the service; tries again, as a supervisor does, where it ends because the engine is away. */
  boot(options?: { readonly reconfigured: boolean }): void;
  /** Breaks all connections to the engine, as its restart does. */
  breakConnections(): void;
  problem(text: string): void;
  /** Ends everything, and takes the ledger away. */
  close(): void;
}

export function createWorld(settings: Settings, seed: number): World {
  const dataDir = mkdtempSync(join(memoryOrDisk(), 'docker-spawner-model-'));
  const problems: string[] = [];
  const trace: string[] = [];
  const note = (text: string) => void trace.push(`${clock.nowMs} ${text}`);
  const told = new Map<string, string[]>();
  const waiting = new Map<object, string | null>();
  const random = createRandom(seed);
  const clock = createVirtualClock(() => checkMoment(view));
  const machine = createMachine(() => clock.nowMs);
  const records = createRecords(() => clock.nowMs);
  const lives: Life[] = [];
  let life: Life | null = null;
  let generation = 0;

  const problem = (text: string) => {
    if (problems.length < 20) problems.push(`at ${Math.round(clock.nowMs)} ms: ${text}`);
  };
  const view: RulesView = {
    ...{ settings, machine, records, onProblem: problem },
    nowMs: () => clock.nowMs,
    life: () => life,
    waitingUsers: () => new Set(waiting.values()),
  };
  const engine: EngineWorld = {
    ...{ clock, machine, random, faults: createFaults(random), away: false, events: 'told' },
    exec(container, input) {
      told.set(container.ref, [...(told.get(container.ref) ?? []), input]);
      const exitCode = random.below(8) === 0 ? 1 : 0;
      if (exitCode !== 0) engine.onFault(container.id);
      return { exitCode, output: '' };
    },
    onCreated: (ref) => checkCreated(view, ref),
    onFault(id) {
      for (const record of records.living()) if (id === '*' || id === record.id) record.faulted = true;
    },
    connections: new Set(),
  };
  const traffic: Traffic = {
    release: () => new Promise((resolve) => clock.after(random.below(30), resolve)),
    quiesce: () => new Promise((resolve) => clock.after(random.below(10), resolve)),
    noteNow() {},
  };

  /** A container answers a while after it was started, and never to a request for another one. */
  function reach(caller: { readonly dead: boolean }): Reach {
    const answering = (port: number) => {
      const container = machine.atPort(port);
      return container?.state === 'running' && clock.nowMs >= container.startedMs + warmUpMs(container);
    };
    return {
      portIsFree: async (port) => machine.portIsFree(port),
      httpStatus: (upstream, host, _path, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => resolve(null), { once: true });
          clock.after(1 + random.below(3), () => {
            if (caller.dead || signal.aborted) return;
            if (machine.atPort(upstream.port)?.state === 'paused') return;
            const reached = machine.atPort(upstream.port);
            if (reached && !host.startsWith(reached.id))
              problem(`rule 5: ${host} was asked for at ${reached.id}`);
            resolve(answering(upstream.port) ? 200 : null);
          });
        }),
    };
  }

  function boot({ reconfigured } = { reconfigured: false }): void {
    if (reconfigured) generation++;
    const begun = beginLife({
      ...{ dataDir, world: engine, settings, generation, traffic, reach },
      onStep(what, when, stepping) {
        note(`${what} ${when}`);
        world.onStep(what, when, stepping);
      },
      onProblem: problem,
      onBirth(born) {
        life = born;
        lives.push(born);
        recalculate('earliestMs');
        for (const record of records.living()) {
          Object.assign(record, { openRequests: 0, openTunnels: 0, lastUseMs: clock.nowMs });
        }
        note('the service starts');
        born.core.events.subscribe((event) => {
          note(`${event.containerId.slice(0, 4)} ${event.kind} ${JSON.stringify(event.data)}`);
          checkEvent(view, event);
        });
      },
    });
    begun.opened.then(
      () => {
        if (begun.life.dead) return;
        recalculate('latestMs');
      },
      (error) => {
        if (begun.life.dead) return;
        if (error?.name !== 'EngineError') problem(`the service does not start: ${error}`);
        begun.life.close();
        clock.after(500, () => life === begun.life && boot());
      },
    );
  }

  /** The wall clock says how much is left when the service starts; while it is down it may have jumped. */
  function recalculate(which: 'earliestMs' | 'latestMs'): void {
    for (const record of records.served()) {
      const wholeMs = record.told!.expiresAtMs - record.createdAtMs;
      const leftMs = Math.min(Math.max(record.told!.expiresAtMs - clock.wallMs, 0), wholeMs);
      record.deadline[which] = clock.nowMs + leftMs;
      if (which === 'earliestMs') record.deadline.latestMs = Number.POSITIVE_INFINITY;
    }
  }

  const world: World = {
    ...{ clock, engine, records, settings, problems, trace, waiting, told, boot, problem },
    get life() {
      return life;
    },
    get isOpen() {
      return life !== null && !life.dead && life.openMs !== null;
    },
    onStep: () => {},
    breakConnections() {
      for (const breakOff of [...engine.connections]) breakOff();
    },
    close() {
      for (const one of lives) one.bury();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return world;
}

/** Some web servers take their time; which ones is the same in every run. */
function warmUpMs({ ref }: MachineContainer): number {
  return (Number(ref.slice(4)) % 4) * 60;
}

/** Ten thousand ledgers are made in a night: where memory can be had as a folder, the disk is spared. */
function memoryOrDisk(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

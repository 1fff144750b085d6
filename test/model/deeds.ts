import type { Container } from '../../src/core/container.ts';
import { SpawnerError } from '../../src/core/errors.ts';
import { encodeLabels } from '../../src/core/labels.ts';
import type { Moment } from './engine.ts';
import { portStart } from './life.ts';
import { lives, type MachineContainer } from './machine.ts';
import type { ContainerRecord } from './records.ts';
import type { Step } from './steps.ts';
import type { World } from './world.ts';

/** What a run has to remember between its steps. */
export interface Deeds {
  /** Does what the step says, and does not wait for what comes of it. */
  carryOut(step: Step): Promise<void>;
  /** How many calls of users have no answer yet. */
  readonly open: number;
  readonly foreign: readonly MachineContainer[];
}

export function createDeeds(world: World): Deeds {
  const { clock, engine, records, waiting, settings } = world;
  const { machine } = engine;
  const foreign: MachineContainer[] = [];
  const givenFor = new Map<string, string>();
  let open = 0;

  /** Counts the call until its answer; answers of a life that has ended reach nobody. */
  function calling<T>(work: Promise<T>, then: (result: T) => void = () => {}): void {
    const { life } = world;
    open++;
    const over = new Promise<void>((resolve) => {
      work.then(
        (result) => {
          if (!life!.dead) then(result);
          resolve();
        },
        (error) => {
          if (!life!.dead) expectRefusal(error);
          resolve();
        },
      );
      untilDead.set(resolve, life!);
    });
    void over.then(() => open--);
  }
  const untilDead = new Map<() => void, unknown>();
  const forgetDead = () => {
    for (const [resolve, life] of untilDead) {
      if (life !== world.life || world.life?.dead) {
        resolve();
        untilDead.delete(resolve);
      }
    }
  };

  function expectRefusal(error: unknown): void {
    if (error instanceof SpawnerError && error.code !== 'internal') return;
    const cause = error instanceof SpawnerError ? error.cause : error;
    world.problem(`a defect reached a caller: ${cause instanceof Error ? cause.stack : String(cause)}`);
  }

  function spawn(step: Extract<Step, { do: 'spawn' }>): void {
    const user = settings.withUsers ? step.user : null;
    const { key } = step;
    const call = {};
    waiting.set(call, user);
    const request = { imageKey: step.image, user, early: step.early };
    const { commands } = world.life!.core;
    const done = commands.request({ ...request, ...(key === null ? {} : { idempotencyKey: key }) });
    done.finally(() => waiting.delete(call)).catch(() => {});
    calling(done, ({ container }) => acknowledge(container, user, key));
  }

  /** A caller is told of the container: from now on it is theirs. */
  function acknowledge(container: Container, user: string | null, key: string | null): void {
    const { id, imageKey, expiresAtMs, createdAtMs } = container;
    const record = records.of({ containerId: id, imageKey, atMs: createdAtMs });
    const before = key === null ? undefined : givenFor.get(key);
    if (before !== undefined && before !== id && records.get(before)!.wasReady) {
      world.problem(`the key ${key} gave ${before}, and now ${id}`);
    }
    if (record.told) {
      const isSame = record.told.user === user && (before === id || settings.onUserLimit === 'reuse');
      if (!isSame) world.problem(`rule 6: ${id} was given to ${record.told.user}, and now to ${user}`);
    } else {
      record.told = { user, expiresAtMs };
    }
    if (key !== null) givenFor.set(key, id);
    if (record.wasReady && !record.touched && imageKey === 'told') {
      const inputs = machine.ofId(id).flatMap(({ ref }) => world.told.get(ref) ?? []);
      const wanted = `${JSON.stringify({ user: user ?? '' })}\n`;
      if (inputs.length !== 1 || inputs[0] !== wanted) {
        world.problem(`rule 6: ${id} was told ${JSON.stringify(inputs)} for ${user}`);
      }
    }
  }

  /** One of those that live; acknowledged ones and others. */
  function picked(pick: number): ContainerRecord | undefined {
    const living = records.living();
    return living[pick % living.length];
  }

  function onMachine(pick: number): MachineContainer | undefined {
    // One that came late is in nobody's hands: it is not there for longer than the service needs to see it.
    const ours = machine.containers.filter((c) => records.get(c.id) && !c.late);
    return ours[pick % ours.length];
  }

  function use({ pick, what }: Extract<Step, { do: 'use' }>): void {
    const record = picked(pick);
    if (!record?.told || record.ended) return;
    const closesRequest = what === 'end' && record.openRequests > 0;
    const closesTunnel = what === 'end' && !closesRequest && record.openTunnels > 0;
    record.openRequests += Number(what === 'request') - Number(closesRequest);
    record.openTunnels += Number(what === 'tunnel') - Number(closesTunnel);
    record.lastUseMs = clock.nowMs;
    world.life!.core.noteActivity(record.id, {
      requestsOpened: Number(what === 'request'),
      requestsClosed: Number(closesRequest),
      tunnelsOpened: Number(what === 'tunnel'),
      tunnelsClosed: Number(closesTunnel),
      bytesFromClient: 1,
      bytesFromContainer: 1,
      lastByteMonoMs: clock.nowMs - world.life!.bornMs,
    });
  }

  function byHand({ pick, what }: Extract<Step, { do: 'hand' }>): void {
    const container = onMachine(pick);
    if (!container) return;
    const { ref } = container;
    machine.touch(ref);
    records.get(container.id)!.touched = true;
    try {
      if (what === 'remove') machine.remove(ref);
      if (what === 'stop' || what === 'restart') machine.exit(ref, 0);
      if (what === 'pause') machine.pause(ref);
      if (what === 'start' || what === 'restart') machine.start(ref);
    } catch {
      // Its port is taken: by hand nothing more can be done either.
    }
  }

  function toEngine(what: Extract<Step, { do: 'engine' }>['what']): void {
    if (what === 'back') engine.away = false;
    if (what === 'away') engine.away = true;
    if (what === 'away' || what === 'break' || what === 'restart') world.breakConnections();
    if (what !== 'restart') return;
    engine.away = true;
    for (const record of records.living()) record.faulted = true;
    const ours = machine.containers.filter((c) => lives(c) && !foreign.includes(c));
    for (const { ref } of ours) machine.exit(ref, 137);
    clock.after(1000, () => {
      engine.away = false;
    });
  }

  function addForeign(what: 'unlabelled' | 'neighbour'): void {
    const id = foreign.length.toString(16).padStart(32, 'f');
    const birth = { id, imageKey: 'plain', user: 'ann', createdAtMs: 0, expiresAtMs: 1, configHash: 'x' };
    const ports = [{ name: 'web', port: 80, protocol: 'http' as const, hostPort: portStart }];
    const theirs = encodeLabels({ instance: 'another', ledger: 'another' }, { ...birth, ports });
    const ref = machine.create(`spawned__${id}`, what === 'neighbour' ? theirs : {}, null, false);
    machine.start(ref);
    foreign.push(machine.get(ref)!);
  }

  function command(step: Extract<Step, { do: 'stop' | 'sleep' | 'wake' | 'extend' }>): void {
    const record = picked(step.pick);
    if (!record) return;
    const { commands } = world.life!.core;
    switch (step.do) {
      case 'stop':
        // Before the call: it may be carried out before it returns.
        record.stopAsked = commands.get(record.id) !== undefined;
        calling(commands.stop(record.id));
        break;
      case 'sleep':
        record.sleepAsked = commands.get(record.id)?.phase === 'ready';
        calling(commands.sleep(record.id));
        break;
      case 'wake':
        calling(commands.wake(record.id));
        break;
      case 'extend':
        try {
          commands.extend(record.id, (record.told?.expiresAtMs ?? 0) + step.byMs);
        } catch (error) {
          if (!world.life!.dead) expectRefusal(error);
        }
    }
  }

  async function carryOut(step: Step): Promise<void> {
    forgetDead();
    switch (step.do) {
      case 'wait':
        return clock.advance(step.ms);
      case 'kill':
      case 'close':
        if (world.life === null || world.life.dead) return;
        world.life[step.do]();
        waiting.clear();
        await clock.advance(step.downMs);
        return world.boot(step);
      case 'kill-at':
        return killAt(step.calls, step.when);
      case 'fault':
        return engine.faults.arm(step.fault);
      case 'engine':
        return toEngine(step.what);
      case 'events':
        engine.events = step.what;
        return;
      case 'jump':
        // Between its birth and its opening the service reads the wall clock at a moment that nobody knows.
        if (world.isOpen || world.life?.dead) clock.jumpWall(step.byMs);
        return;
      case 'hand':
        return byHand(step);
      case 'stranger': {
        const port = portStart + step.port;
        if (step.comes && machine.portIsFree(port)) machine.strangers.add(port);
        if (!step.comes) machine.strangers.delete(port);
        return;
      }
      case 'foreign':
        return addForeign(step.what);
    }
    if (!world.isOpen) return;
    if (step.do === 'spawn') spawn(step);
    else if (step.do === 'use') use(step);
    else command(step);
  }

  /** The service ends at the `calls`-th step from now, and is started again a second later. */
  function killAt(calls: number, when: Moment): void {
    let left = calls;
    world.onStep = (_what, at, life) => {
      if (at !== when || left-- > 0) return;
      world.onStep = () => {};
      life.kill();
      waiting.clear();
      clock.after(1000, () => world.life === life && world.boot());
    };
  }

  return {
    carryOut,
    foreign,
    get open() {
      forgetDead();
      return open;
    },
  };
}

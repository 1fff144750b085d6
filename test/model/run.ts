import { createDeeds, type Deeds } from './deeds.ts';
import type { Scenario } from './steps.ts';
import { createWorld, type World } from './world.ts';

/** Runs a scenario to its quiet end; resolves with what broke a rule, in order: nothing, as it should be. */
export async function runScenario(
  scenario: Scenario,
  onTrace: (trace: readonly string[]) => void = () => {},
): Promise<readonly string[]> {
  const world = createWorld(scenario.settings, scenario.seed);
  const onRejection = (error: unknown) => {
    if (!(error instanceof Error && error.constructor.name === 'Killed'))
      world.problem(`nobody caught ${error}`);
  };
  process.on('unhandledRejection', onRejection);
  try {
    world.boot();
    await world.clock.advance(100);
    const deeds = createDeeds(world);
    for (const step of scenario.steps) {
      world.trace.push(`${world.clock.nowMs} ${JSON.stringify(step)}`);
      await deeds.carryOut(step);
      // What has been asked for begins before the next thing happens.
      await world.clock.advance(0);
      if (world.problems.length > 0) return world.problems;
    }
    await conclude(world, deeds);
    return world.problems;
  } finally {
    onTrace(world.trace);
    world.close();
    process.off('unhandledRejection', onRejection);
  }
}

/** Lets the world come to rest, then ends everything; whatever is left over by then is a problem. */
export async function conclude(world: World, deeds: Deeds): Promise<void> {
  await comeToRest(world, deeds);
  if (world.problems.length === 0) await endAll(world, deeds);
}

/** All that was wrong is put right; then, soon, everything is as the ledger and the callers say. */
async function comeToRest(world: World, deeds: Deeds): Promise<void> {
  const { clock, engine, records } = world;
  world.onStep = () => {};
  engine.faults.clear();
  engine.away = false;
  engine.events = 'told';
  engine.machine.strangers.clear();
  world.breakConnections();
  if (world.life === null || world.life.dead) world.boot();
  let unrest: string[] = [];
  for (let seconds = 0; seconds < 75; seconds++) {
    await clock.advance(1000);
    unrest = unsettled(world, deeds);
    if (unrest.length === 0 && seconds >= 12) break;
  }
  for (const text of unrest) world.problem(`at rest: ${text}`);
  if (world.problems.length > 0) return;

  for (const record of records.served()) {
    const waking = world.life!.core.commands.wake(record.id);
    waking.catch((error) => record.ended === null && world.problem(`${record.id} does not wake: ${error}`));
  }
  await clock.advance(2000);
  for (const { id } of records.served()) {
    const route = world.life!.core.routes.get(`${id}.example.test`);
    const reached = route?.upstream ? engine.machine.atPort(route.upstream.port) : undefined;
    if (route?.state !== 'ready' || reached?.id !== id || reached.state !== 'running') {
      world.problem(`${id} is not served: ${route?.phase}, ${reached?.id} ${reached?.state}`);
    }
  }
}

/** What is not yet as it should be. */
function unsettled(world: World, deeds: Deeds): string[] {
  const { engine, records, life } = world;
  if (!world.isOpen) return ['the service does not run'];
  const wrong: string[] = [];
  if (deeds.open > 0) wrong.push(`${deeds.open} calls have no answer`);
  const entries = new Map(life!.ledger.list().map((entry) => [entry.id, entry]));
  const ours = engine.machine.containers.filter((c) => !deeds.foreign.includes(c));
  for (const container of ours) {
    if (!entries.has(container.id)) wrong.push(`${container.name} is left over (${container.state})`);
    if (container.late) wrong.push(`${container.name} came late, and stays`);
  }
  for (const entry of entries.values()) {
    const record = records.get(entry.id);
    const count = ours.filter((c) => c.id === entry.id).length;
    if (count !== 1) wrong.push(`${entry.id} is there ${count} times`);
    if (entry.condemned !== null) wrong.push(`${entry.id} is still stopping`);
    if (!entry.warm && !entry.acknowledged) wrong.push(`${entry.id} is nobody's`);
    if (!entry.warm && !record?.told && !wasEndedEarly(world, entry.id))
      wrong.push(`${entry.id} was told to nobody`);
    if (entry.warm && record?.told) wrong.push(`${entry.id} is somebody's, and counts as warm`);
  }
  for (const record of records.served()) {
    if (!entries.has(record.id)) wrong.push(`${record.id}, which somebody has, is not in the ledger`);
  }
  for (const { ref, name } of deeds.foreign) {
    if (engine.machine.get(ref)?.state !== 'running') wrong.push(`the foreign container ${name} was touched`);
  }
  return wrong;
}

/** Committed as acknowledged, and then the service died before the caller heard of it: it may stay. */
function wasEndedEarly({ records }: World, id: string): boolean {
  return records.get(id)?.wasReady ?? false;
}

/** Everything is stopped: only what is kept warm remains, and that in full. */
async function endAll(world: World, deeds: Deeds): Promise<void> {
  const { clock, engine, settings } = world;
  const { commands } = world.life!.core;
  for (const { id } of [...commands.all()]) {
    const record = world.records.get(id);
    if (record) record.stopAsked = true;
    commands.stop(id).catch((error) => world.problem(`${id} could not be stopped: ${error}`));
  }
  await clock.advance(68_000);
  const wanted = Math.min(2 * settings.warmCount, settings.maxContainers);
  const onMachine = () => engine.machine.containers.filter((c) => !deeds.foreign.includes(c)).length;
  const inLedger = () => world.life!.ledger.list().length;
  const isAsWanted = () => onMachine() === wanted && inLedger() === wanted;
  // One that is too old may just be on its way out, and the next one on its way in.
  for (let tries = 0; tries < 20 && !isAsWanted(); tries++) await clock.advance(200);
  if (!isAsWanted()) {
    world.problem(
      `in the end ${onMachine()} containers are there and ${inLedger()} are known; ${wanted} are to be kept warm`,
    );
  }
  if ([...commands.all()].length > 0) world.problem('in the end containers are known that nobody has');
}

import type { OnUserLimit } from '../../src/core/admission.ts';
import { type Core, createCore } from '../../src/core/core.ts';
import { SpawnerError } from '../../src/core/errors.ts';
import type { Ledger } from '../../src/core/ledger.ts';
import type { Log } from '../../src/core/log.ts';
import type { Reach } from '../../src/core/reach.ts';
import type { Traffic } from '../../src/core/route.ts';
import { openLedger } from '../../src/ledger/sqlite.ts';
import { createModelEngine, type EngineWorld, type Moment } from './engine.ts';
import { modelEntries } from './entries.ts';

/** The settings of the service in one run of the model. */
export interface Settings {
  readonly withUsers: boolean;
  readonly userLimit: number;
  readonly onUserLimit: OnUserLimit;
  readonly maxContainers: number;
  readonly maxParallelStarts: number;
  readonly queueLength: number;
  readonly warmCount: number;
}

export const instance = 'model';
export const portStart = 9000;

/** One life of the service's process, from its start to its end. */
export interface Life {
  readonly core: Core;
  readonly ledger: Ledger;
  /** When it began. */
  readonly bornMs: number;
  /** When the interfaces opened; null: not yet. */
  readonly openMs: number | null;
  readonly dead: boolean;
  /** As `kill -9`: nothing of it goes on, but for what the engine was asked for already. */
  kill(): void;
  /** As SIGTERM. */
  close(): void;
  /** Lets go of what a killed life still waits for: signals that never fire are never collected. */
  bury(): void;
}

export interface LifeOptions {
  readonly dataDir: string;
  readonly world: EngineWorld;
  readonly settings: Settings;
  readonly generation: number;
  readonly traffic: Traffic;
  readonly reach: (life: { readonly dead: boolean }) => Reach;
  /** Called before and after each call to the engine and to the ledger; may kill the life. */
  readonly onStep: (what: string, when: Moment, life: Life) => void;
  readonly onProblem: (text: string) => void;
  /** Called with the core before it starts. */
  readonly onBirth: (life: Life) => void;
}

/** Begins a life; `opened` rejects where the service would end with an error. */
export function beginLife(options: LifeOptions): { readonly life: Life; readonly opened: Promise<void> } {
  const { world, settings } = options;
  const clock = world.clock.ofProcess();
  const opened = openLedger(options.dataDir, clock.wallMs);
  const state = { dead: false, openMs: null as number | null };
  const step = (what: string, when: Moment) => {
    if (!state.dead) options.onStep(what, when, life);
  };
  const caller = {
    step,
    get dead() {
      return state.dead;
    },
  };
  const ledger = stepwise(opened, caller);
  const core = createCore({
    ...settings,
    instance,
    portStart,
    images: modelEntries(settings.warmCount, options.generation),
    domain: 'example.test',
    urlOf: (id) => `http://${id}.example.test`,
    hexSize: 32,
    adopt: false,
    sweepEveryMs: 10_000,
    historyMs: 24 * 3_600_000,
    engine: createModelEngine(world, caller, () => ({ instance, ledger: ledger.identity })),
    ledger,
    traffic: options.traffic,
    reach: options.reach(state),
    clock,
    log: watchful(options.onProblem, state),
  });
  const end = () => {
    state.dead = true;
    clock.stop();
    opened.close();
  };
  const life: Life = {
    core,
    ledger,
    bornMs: world.clock.nowMs,
    get openMs() {
      return state.openMs;
    },
    get dead() {
      return state.dead;
    },
    kill() {
      if (!state.dead) end();
    },
    close() {
      if (state.dead) return;
      core.close();
      end();
    },
    bury() {
      if (!state.dead) end();
      core.close();
    },
  };
  options.onBirth(life);
  const whenOpen = core.start().then(() => {
    if (!state.dead) state.openMs = world.clock.nowMs;
  });
  return { life, opened: whenOpen };
}

/** The ledger with a step before and after each call that writes. */
function stepwise(
  ledger: Ledger,
  caller: { readonly dead: boolean; step(what: string, when: Moment): void },
): Ledger {
  const writes = new Set<string | symbol>([
    ...['add', 'rebind', 'becomeReady', 'claim', 'acknowledge', 'fallAsleep', 'awake', 'extend'],
    ...['condemn', 'forget', 'note', 'remember', 'adopt', 'prune'],
  ]);
  return new Proxy(ledger, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function' || !writes.has(name)) return value;
      return (...args: unknown[]) => {
        caller.step(`ledger.${String(name)}`, 'before');
        if (caller.dead) throw new Killed();
        const result: unknown = value.apply(target, args);
        caller.step(`ledger.${String(name)}`, 'after');
        if (caller.dead) throw new Killed();
        return result;
      };
    },
  });
}

/** Ends what a killed process was just doing. */
class Killed extends Error {}

/** Defects are caught and logged by the core, so that they end nothing; here they are found. */
function watchful(onProblem: (text: string) => void, state: { readonly dead: boolean }): Log {
  const look = (fields: object, message: string) => {
    const { err } = fields as { err?: unknown };
    const isDefect = err instanceof SpawnerError && err.code === 'internal';
    const isExpected =
      err === undefined || (err instanceof Error && /^(Spawner|Engine|Start|Ledger|OnClaim)/.test(err.name));
    if (!state.dead && (isDefect || !isExpected))
      onProblem(`${message}: ${String(isDefect ? err.cause : err)}`);
  };
  return { debug() {}, info() {}, warn: look, error: look };
}

import { delay } from './clock.ts';
import type { Container } from './container.ts';
import { type EngineContainer, EngineError } from './engine.ts';
import {
  deadline,
  engineDeadlinesMs,
  engineUnavailable,
  fromEngineError,
  lastLines,
} from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import { removeLeftovers } from './leftovers.ts';
import { OnClaimFailed, runOnClaim } from './on-claim.ts';
import type { Parts } from './parts.ts';
import { quote } from './quote.ts';
import { untilReady } from './readiness.ts';
import type { Remover } from './remover.ts';
import type { Slot } from './start-queue.ts';
import { type Start, untilAbort } from './starts.ts';

/** Why a start ended without a container, as the reconciler saw it. */
export class StartEnded extends Error {
  override readonly name = 'StartEnded';
}

/** Brings containers that are in the registry and in the ledger from `queued` to `ready`. */
export interface Starter {
  /** Where it fails, the container is removed; the start's waiters get a SpawnerError. */
  start(id: string): Start;
}

/** `look` asks the reconciler to compare this container with the engine's view of it now. */
export function createStarter(parts: Parts, remover: Remover, look: (id: string) => void): Starter {
  const { registry, ledger, engine, reach, ports, queue, events, starts, images, clock, log, closing } =
    parts;

  async function run(id: string, signal: AbortSignal, markCreated: () => void): Promise<Container> {
    try {
      const created = await create(id, signal).finally(markCreated);
      signal.throwIfAborted();
      const changedMonoMs = clock.monoMs();
      registry.move(id, 'starting', { ref: created.ref, changedMonoMs, upstream: created.upstream });
      ledger.note(id, 'starting');
      await awaitReady(id, signal);
      await untilAbort(setUp(id), signal);
      signal.throwIfAborted();
      const readyAtMs = Math.floor(clock.wallMs());
      ledger.becomeReady(id, readyAtMs);
      const { warm, imageKey } = registry.get(id)!;
      log.info({ id, image: imageKey, warm }, 'ready');
      const usedSinceMonoMs = clock.monoMs();
      return registry.move(id, 'ready', { acknowledged: !warm, readyAtMs, usedSinceMonoMs });
    } catch (error) {
      markCreated();
      // Not rolled back: the next start of the service removes it, or for those who were told of it begins anew (rule 2).
      if (closing.aborted) throw closing.reason;
      const failure = await explain(id, signal.aborted ? signal.reason : error);
      await rollBack(id, failure);
      throw failure;
    }
  }

  /** Waits for a turn before the engine, and creates the container; another port is taken as often as need be. */
  async function create(id: string, signal: AbortSignal): Promise<EngineContainer> {
    const turns = takeTurns(id);
    const strangers: number[] = [];
    try {
      await turns.take(false, signal);
      await avoidStrangersPorts(id, strangers);
      signal.throwIfAborted();
      registry.move(id, 'creating');
      ledger.note(id, 'creating');
      for (let tries = 1; ; tries++) {
        try {
          return await ask(id, signal, turns);
        } catch (error) {
          if (!(error instanceof EngineError) || tries > maxTries || signal.aborted) throw error;
          if (error.kind === 'port_taken') {
            rebind(id, error.hostPort ?? registry.get(id)!.ports[0]!.hostPort, strangers);
          } else if (error.kind !== 'failed' || !(await removeLeftovers(parts, id))) {
            // Else an attempt of before a crash was carried out late, and has the container's name.
            throw error;
          }
        }
      }
    } finally {
      turns.release();
      // Not before: two of them would be given out in turns for ever.
      for (const port of strangers) ports.setAside(port);
    }
  }

  async function ask(id: string, signal: AbortSignal, turns: Turns): Promise<EngineContainer> {
    const away = new AbortController();
    engine
      .check(deadline(clock, engineDeadlinesMs.check, closing))
      .catch((error) => away.abort(engineUnavailable(error)));
    const container = registry.get(id)!;
    const limit = deadline(clock, engineDeadlinesMs.create, signal, away.signal, closing);
    try {
      return await engine.create(
        {
          specification: container,
          warm: container.warm,
          // A pull may take minutes, in which the engine can serve others.
          beforeCreate: () => turns.take(true, limit),
          onProgress(progress) {
            if (progress.step !== 'pulling') return;
            turns.release();
            tellPull(container, progress.currentBytes, progress.totalBytes);
          },
        },
        limit,
      );
    } catch (error) {
      throw away.signal.aborted ? away.signal.reason : error;
    }
  }

  /** Told, but not kept: nobody needs to know tomorrow how many bytes had come. */
  function tellPull({ id, imageKey, user }: Container, currentBytes: number, totalBytes: number): void {
    events.publish({
      id: null,
      atMs: Math.floor(clock.wallMs()),
      containerId: id,
      imageKey,
      user,
      kind: 'pulling',
      data: { current_bytes: currentBytes, total_bytes: totalBytes },
    });
  }

  function takeTurns(id: string): Turns {
    let slot: Slot | null = null;
    return {
      async take(first, signal) {
        if (slot) return;
        const { user, warm } = registry.get(id)!;
        // Where users are off, every start is a user of its own.
        const ticket = queue.join(id, warm ? null : (user ?? id), { first });
        slot = await untilAbort(ticket.turn, signal).catch((error) => {
          ticket.leave();
          // Its turn may have come in the same moment.
          void ticket.turn.then((late) => late.release());
          throw error;
        });
      },
      release() {
        slot?.release();
        slot = null;
      },
    };
  }

  /** Before the engine is asked: its own refusal comes late, and only after it has created the container. */
  async function avoidStrangersPorts(id: string, strangers: number[]): Promise<void> {
    for (const { hostPort } of registry.get(id)!.ports) {
      for (let port = hostPort; !(await reach.portIsFree(port)); ) port = rebind(id, port, strangers);
    }
  }

  /** Gives the container another port in the place of one that a stranger holds, and adds that to `strangers`. */
  function rebind(id: string, taken: number, strangers: number[]): number {
    const next = ports.reserve();
    if (next === null) throw new EngineError('port_taken', 'no port of the range is free');
    log.warn({ id, port: taken, next }, 'a port of the range is held by another program; skipping it');
    strangers.push(taken);
    const bindings = registry
      .get(id)!
      .ports.map((p) => (p.hostPort === taken ? { ...p, hostPort: next } : p));
    registry.amend(id, { ports: bindings });
    ledger.rebind(id, bindings);
    return next;
  }

  async function awaitReady(id: string, signal: AbortSignal): Promise<void> {
    const container = registry.get(id)!;
    const over = new AbortController();
    keepLooking(id, over.signal);
    try {
      const target = { upstream: container.upstream!, host: parts.hostOf(id), ready: container.ready };
      if (await untilReady(target, { clock, reach }, signal)) return;
    } finally {
      over.abort();
    }
    const seconds = Math.round(container.ready.timeoutMs / 1000);
    throw new SpawnerError(
      'not_ready',
      `the container's web server did not answer on port ${container.ports[0]!.port} within ${seconds} s`,
    );
  }

  /** A warm one is nobody's yet: it is set up when it is claimed. */
  async function setUp(id: string): Promise<void> {
    const container = registry.get(id)!;
    const entry = images.get(container.imageKey);
    if (entry && !container.warm) await runOnClaim(parts, container, entry);
  }

  /** Events are hints, and may be lost: an exit is looked for as well. */
  async function keepLooking(id: string, over: AbortSignal): Promise<void> {
    for (;;) {
      await delay(clock, 1000, over);
      if (over.aborted) return;
      look(id);
    }
  }

  /** What the caller is told; for a container that failed, with its last words, fetched before it goes. */
  async function explain(id: string, error: unknown): Promise<SpawnerError> {
    if (error instanceof StartEnded) {
      return new SpawnerError('exited_early', error.message + (await lastWords(id)));
    }
    if (error instanceof SpawnerError && error.code === 'not_ready') {
      return new SpawnerError('not_ready', error.message + (await lastWords(id)));
    }
    if (error instanceof OnClaimFailed) return new SpawnerError('on_claim_failed', error.message);
    return fromEngineError(error);
  }

  async function lastWords(id: string): Promise<string> {
    const container = registry.get(id);
    if (!container?.ref) return '';
    const lines = await lastLines(parts, container.ref, 5);
    const text = quote(lines, Object.values(container.spec.environment), 500);
    return text === '' ? '; it wrote no log' : `; its last log lines: ${text}`;
  }

  /** Nothing is left when the caller hears of the failure, unless the engine is what failed. */
  async function rollBack(id: string, failure: SpawnerError): Promise<void> {
    log.warn({ id, code: failure.code, err: failure }, 'the spawn failed');
    const removal = remover.remove(id, 'failed').catch(() => {});
    if (failure.code === 'engine_unavailable') return;
    const over = new AbortController();
    await Promise.race([removal, delay(clock, rollBackWaitMs, over.signal)]);
    over.abort();
  }

  return {
    // With `closing`, or a container that never gets ready would keep an ended service alive until its deadline.
    start: (id) =>
      starts.begin(id, (signal, markCreated) => run(id, AbortSignal.any([signal, closing]), markCreated)),
  };
}

interface Turns {
  /**
   * Waits for a slot, unless one is held, until the signal fires; `first`: before the same user's other starts.
   */
  take(first: boolean, signal: AbortSignal): Promise<void>;
  release(): void;
}

/** How often one spawn steps over ports held by strangers that only the engine notices, and over leftovers. */
const maxTries = 20;

/** How long a failed spawn waits for its removal before it answers; the removal goes on. */
const rollBackWaitMs = 5000;

import { randomBytes } from 'node:crypto';
import { type AdmissionDecision, decideAdmission, type OnUserLimit } from './admission.ts';
import { delay } from './clock.ts';
import type { Container } from './container.ts';
import { type EngineContainer, EngineError } from './engine.ts';
import { deadline, engineDeadlinesMs, engineUnavailable, fromEngineError } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';
import type { Parts } from './parts.ts';
import { fill, placeholderValues } from './placeholders.ts';
import { untilReady } from './readiness.ts';
import type { Remover } from './remover.ts';

/** What a spawn is decided by; from the configuration. */
export interface SpawnOptions {
  readonly images: ReadonlyMap<string, ImageEntry>;
  readonly domain: string;
  readonly urlOf: (id: string) => string;
  readonly withUsers: boolean;
  readonly userLimit: number;
  readonly onUserLimit: OnUserLimit;
  readonly maxContainers: number;
  readonly hexSize: number;
}

/** Why a start ended without a container, as the reconciler saw it. */
export class StartEnded extends Error {
  override readonly name = 'StartEnded';
}

export interface Spawner {
  spawn(request: { readonly imageKey: string; readonly user: string | null }): Promise<Container>;
}

/**
 * `look` asks the reconciler to compare this container with the engine's view of it now; `awaken` continues one
 * that is asleep.
 */
export function createSpawner(
  parts: Parts,
  options: SpawnOptions,
  remover: Remover,
  look: (id: string) => void,
  awaken: (id: string) => Promise<Container>,
): Spawner {
  const { registry, ledger, engine, reach, ports, starts, clock, log, closing } = parts;
  const replacing = new Map<string, Promise<unknown>>();

  async function spawn(request: { imageKey: string; user: string | null }): Promise<Container> {
    const entry = options.images.get(request.imageKey);
    if (!entry) {
      throw new SpawnerError(
        'unknown_image',
        'there is no image entry with this key; container_images has the keys',
      );
    }
    const user = options.withUsers ? request.user : null;
    if (user === null || options.onUserLimit !== 'replace') return admit(entry, user);
    // One after the other: two that replace at once would each take away what the other one starts.
    const turn = (replacing.get(user) ?? Promise.resolve()).then(
      () => admit(entry, user),
      () => admit(entry, user),
    );
    replacing.set(user, turn);
    return turn.finally(() => {
      if (replacing.get(user) === turn) replacing.delete(user);
    });
  }

  async function admit(entry: ImageEntry, user: string | null): Promise<Container> {
    for (;;) {
      if (closing.aborted)
        throw new SpawnerError('shutting_down', 'the service is about to stop', { retryAfterS: 5 });
      const decision = decide(entry, user);
      switch (decision.kind) {
        case 'admit':
          // No await between the decision and the reservation (rule 1).
          return begin(entry, user).done;
        case 'refuse':
          throw decision.error;
        case 'reuse': {
          const start = starts.get(decision.container.id);
          if (start) return start.done;
          return decision.container.phase === 'asleep' ? awaken(decision.container.id) : decision.container;
        }
        case 'replace':
          await remover.remove(decision.container.id, 'asked').catch((error) => {
            throw fromEngineError(error);
          });
      }
    }
  }

  function decide(entry: ImageEntry, user: string | null): AdmissionDecision {
    return decideAdmission(entry, {
      ofUser: user === null ? [] : registry.ofUser(user),
      placesTaken: registry.size,
      maxContainers: options.maxContainers,
      freePorts: ports.free,
      portsNeeded: entry.ports.length,
      userLimit: options.userLimit,
      onUserLimit: options.onUserLimit,
    });
  }

  function begin(entry: ImageEntry, user: string | null) {
    const id = randomBytes(Math.ceil(options.hexSize / 2))
      .toString('hex')
      .slice(0, options.hexSize);
    const createdAtMs = Math.floor(clock.wallMs());
    const facts = { id, imageKey: entry.key, user, createdAtMs, expiresAtMs: createdAtMs + entry.lifetimeMs };
    const where = { domain: options.domain, url: options.urlOf(id) };
    const spec = fill(entry.spec, placeholderValues(facts, where));
    registry.add({
      ...facts,
      configHash: entry.configHash,
      spec,
      ready: entry.ready,
      ports: entry.ports.map((port) => ({ ...port, hostPort: ports.reserve()! })),
      phase: 'queued',
      reason: null,
      ref: null,
      refSinceMonoMs: 0,
      upstream: null,
      acknowledged: false,
      readyAtMs: null,
      expiresAtMonoMs: clock.monoMs() + entry.lifetimeMs,
      waking: false,
    });
    return starts.begin(id, (signal, markCreated) => run(id, signal, markCreated));
  }

  async function run(id: string, signal: AbortSignal, markCreated: () => void): Promise<Container> {
    try {
      await avoidStrangersPorts(id);
      signal.throwIfAborted();
      ledger.add(registry.get(id)!, false);
      registry.move(id, 'creating');
      const created = await create(id, signal).finally(markCreated);
      signal.throwIfAborted();
      const refSinceMonoMs = clock.monoMs();
      registry.move(id, 'starting', { ref: created.ref, refSinceMonoMs, upstream: created.upstream });
      await awaitReady(id, signal);
      ledger.acknowledge(id);
      log.info({ id, image: registry.get(id)!.imageKey }, 'ready');
      return registry.move(id, 'ready', { acknowledged: true, readyAtMs: Math.floor(clock.wallMs()) });
    } catch (error) {
      markCreated();
      const failure = await explain(id, signal.aborted ? signal.reason : error);
      await rollBack(id, failure);
      throw failure;
    }
  }

  /** Before the engine is asked: its own refusal comes late, and only after it has created the container. */
  async function avoidStrangersPorts(id: string): Promise<void> {
    const strangers: number[] = [];
    try {
      for (const { hostPort } of registry.get(id)!.ports) {
        for (let port = hostPort; !(await reach.portIsFree(port)); ) port = rebind(id, port, strangers);
      }
    } finally {
      for (const port of strangers) ports.setAside(port);
    }
  }

  /**
   * Gives the container another port in the place of one that a stranger holds, and adds that one to `strangers`.
   * Whoever called sets them aside at the end, not before: two of them would be given out in turns for ever.
   */
  function rebind(id: string, taken: number, strangers: number[]): number {
    const next = ports.reserve();
    if (next === null) throw new EngineError('port_taken', 'no port of the range is free');
    log.warn({ id, port: taken, next }, 'a port of the range is held by another program; skipping it');
    strangers.push(taken);
    const bindings = registry
      .get(id)!
      .ports.map((p) => (p.hostPort === taken ? { ...p, hostPort: next } : p));
    registry.amend(id, { ports: bindings });
    return next;
  }

  async function create(id: string, signal: AbortSignal): Promise<EngineContainer> {
    const strangers: number[] = [];
    try {
      return await createOnFreePort(id, signal, strangers);
    } finally {
      for (const port of strangers) ports.setAside(port);
    }
  }

  async function createOnFreePort(
    id: string,
    signal: AbortSignal,
    strangers: number[],
  ): Promise<EngineContainer> {
    for (let tries = 1; ; tries++) {
      const watched = new AbortController();
      engine
        .check(deadline(engineDeadlinesMs.check, closing))
        .catch((error) => watched.abort(engineUnavailable(error)));
      try {
        const specification = registry.get(id)!;
        const limit = deadline(engineDeadlinesMs.create, signal, watched.signal, closing);
        return await engine.create({ specification }, limit);
      } catch (error) {
        if (watched.signal.aborted) throw watched.signal.reason;
        const taken = error instanceof EngineError && error.kind === 'port_taken';
        if (!taken || tries > maxPortTries || signal.aborted) throw error;
        rebind(id, error.hostPort ?? registry.get(id)!.ports[0]!.hostPort, strangers);
        ledger.rebind(id, registry.get(id)!.ports);
      }
    }
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
    const container = registry.get(id);
    const lastWords = async () => {
      if (!container?.ref) return '';
      const lines = await engine
        .logs(container.ref, { tailLines: 5 }, deadline(engineDeadlinesMs.logs, closing))
        .catch(() => '');
      const text = lines
        .trim()
        .split(/\s*\n\s*/)
        .join(' | ')
        .slice(-500);
      return text === '' ? '; it wrote no log' : `; its last log lines: ${text}`;
    };
    if (error instanceof StartEnded) {
      return new SpawnerError('exited_early', error.message + (await lastWords()));
    }
    if (error instanceof SpawnerError && error.code === 'not_ready') {
      return new SpawnerError('not_ready', error.message + (await lastWords()));
    }
    return fromEngineError(error);
  }

  /** Nothing is left when the caller hears of the failure, unless the engine is what failed. */
  async function rollBack(id: string, failure: SpawnerError): Promise<void> {
    log.warn({ id, code: failure.code, err: failure }, 'the spawn failed');
    const removal = remover.remove(id, 'failed').catch(() => {});
    if (failure.code === 'engine_unavailable') return;
    const limit = new AbortController();
    const cancel = clock.after(rollBackWaitMs, () => limit.abort());
    await Promise.race([removal, new Promise((resolve) => limit.signal.addEventListener('abort', resolve))]);
    cancel();
  }

  return { spawn };
}

/** How many ports held by strangers one spawn steps over, when only the engine notices them. */
const maxPortTries = 20;

/** How long a failed spawn waits for its removal before it answers; the removal goes on. */
const rollBackWaitMs = 5000;

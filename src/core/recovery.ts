import type { Clock } from './clock.ts';
import type { Container } from './container.ts';
import type { EngineContainer } from './engine.ts';
import { deadline, engineDeadlinesMs } from './engine-calls.ts';
import { fullList } from './full-list.ts';
import type { ImageEntry } from './image-entry.ts';
import { decodeLabels } from './labels.ts';
import type { LedgerEntry } from './ledger.ts';
import { isWarmName } from './names.ts';
import type { Parts } from './parts.ts';
import { fill, placeholderValues } from './placeholders.ts';
import type { Reconciler } from './reconciler.ts';
import type { Remover } from './remover.ts';
import type { Starter } from './starter.ts';
import { unheardStopMs } from './waker.ts';

/** A start that must not go on; the message tells the operator what to do. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError';
}

export interface RecoveryOptions {
  readonly adopt: boolean;
  readonly instance: string;
  readonly images: ReadonlyMap<string, ImageEntry>;
  readonly domain: string;
  readonly urlOf: (id: string) => string;
}

/**
 * Rebuilds what is in memory from the engine's list and the ledger, before any interface opens: acknowledged
 * containers are served again under their ids until their deadlines, what nobody was told of is removed.
 * Rejects with RecoveryError, having touched nothing, where containers of this instance have another ledger.
 */
export async function recover(
  parts: Parts,
  remover: Remover,
  reconciler: Reconciler,
  starter: Starter,
  options: RecoveryOptions,
): Promise<void> {
  const { registry, ledger, ports, clock, log, closing } = parts;
  const served = ledger.list().filter((e) => e.acknowledged && e.readyAtMs !== null && e.condemned === null);
  const { containers, askedAtMonoMs } = await fullList(parts, new Set(served.map((e) => e.id)));
  settleOwnership(parts, containers, options);

  // By the name too: an image that was committed from one of ours carries our labels into what others run from it.
  const byId = new Map<string, EngineContainer>();
  for (const container of containers) {
    const id = decodeLabels(container.labels)?.birth.id;
    if (id !== undefined && (container.name.endsWith(id) || !byId.has(id))) byId.set(id, container);
  }
  const unfinished: Promise<unknown>[] = [];
  for (const entry of ledger.list()) {
    for (const port of entry.ports) ports.reserveExactly(port.hostPort);
    const seen = byId.get(entry.id) ?? null;
    const fate = fateOf(entry, seen, options.images);
    registry.add(restored(entry, seen, fate, clock));
    if (fate === 'remove') {
      unfinished.push(remover.remove(entry.id, entry.condemned ?? 'failed').catch(() => {}));
    } else if (fate === 'start-over') {
      unfinished.push(startOver(parts, seen, entry.id, starter));
    }
  }
  // Before the API opens, so that nobody meets a place that only a dead attempt still holds; but not for ever.
  const limit = deadline(clock, unfinishedWaitMs, closing);
  const act = reconciler.act({ containers, scope: null, askedAtMonoMs, unwatched: true });
  const over = new Promise((resolve) => limit.addEventListener('abort', resolve, { once: true }));
  await Promise.race([Promise.all([act, ...unfinished]), over]);
  log.info({ containers: registry.size, unfinished: unfinished.length }, 'recovered');
}

/** How long unfinished removals may hold up a start; they go on afterwards. */
const unfinishedWaitMs = 15_000;

/** Rule 4: another ledger's containers stop the start, or with `--adopt` become ours. */
function settleOwnership(
  parts: Parts,
  containers: readonly EngineContainer[],
  options: RecoveryOptions,
): void {
  const { ledger, log } = parts;
  const foreign = new Map<string, EngineContainer[]>();
  for (const container of containers) {
    const facts = decodeLabels(container.labels);
    if (!facts || ledger.identities().has(facts.owner.ledger)) continue;
    // As above: what others run from an image with our labels is neither in the way nor to be taken over.
    if (!container.name.endsWith(facts.birth.id)) continue;
    foreign.set(facts.owner.ledger, [...(foreign.get(facts.owner.ledger) ?? []), container]);
  }
  if (foreign.size === 0) return;
  const count = [...foreign.values()].reduce((sum, list) => sum + list.length, 0);
  if (!options.adopt) {
    throw new RecoveryError(
      `the engine has ${count} container${count === 1 ? '' : 's'} of the instance "${options.instance}" that ` +
        'another ledger knows: either a second copy of the service runs with this instance name (give this one ' +
        'another `instance`, or the right `data_dir`), or its ledger was lost (start once with --adopt to take ' +
        'them over). Nothing was touched.',
    );
  }
  // Of an earlier try that was ended half way.
  const adopted = new Set(ledger.list().map((entry) => entry.id));
  for (const [identity, list] of foreign) {
    for (const container of list) adoptOne(parts, container, adopted, options);
    ledger.adopt(identity);
  }
  log.warn({ containers: count, ledgers: foreign.size }, 'adopted the containers of another ledger');
}

function adoptOne(
  parts: Parts,
  container: EngineContainer,
  adopted: ReadonlySet<string>,
  options: RecoveryOptions,
): void {
  const { birth } = decodeLabels(container.labels)!;
  // Nobody's, as far as can be known: once the identity is ours, it is removed as such (rules 4 and 6).
  if (birth.user === null && isWarmName(container.name, birth.id)) return;
  const entry = options.images.get(birth.imageKey) ?? options.images.values().next().value!;
  const where = { domain: options.domain, url: options.urlOf(birth.id) };
  const values = { ...placeholderValues(birth, where), user_id: birth.user ?? '' };
  const specification = {
    ...birth,
    spec: fill(entry.spec, values),
    ready: entry.ready,
    lifecycle: entry.lifecycle,
    labels: {},
  };
  if (!adopted.has(birth.id)) {
    parts.ledger.add(specification, { acknowledged: true, warm: false, idempotency: null });
  }
  parts.ledger.becomeReady(birth.id, birth.createdAtMs);
}

/**
 * What becomes of a container of the ledger. `serve`: somebody was told of it, and it was ready once. `start-over`:
 * somebody was told that it will be. `keep-warm`: nobody's, and still of use. `remove`: everything else.
 */
type Fate = 'serve' | 'start-over' | 'keep-warm' | 'remove';

function fateOf(
  entry: LedgerEntry,
  seen: EngineContainer | null,
  images: ReadonlyMap<string, ImageEntry>,
): Fate {
  if (entry.condemned !== null) return 'remove';
  if (entry.warm) {
    const current = images.get(entry.imageKey)?.configHash === entry.configHash;
    return current && entry.readyAtMs !== null && seen?.state === 'running' ? 'keep-warm' : 'remove';
  }
  if (!entry.acknowledged) return 'remove';
  return entry.readyAtMs === null ? 'start-over' : 'serve';
}

/** Removes what an unfinished start has left, then starts it again under the same id. */
async function startOver(
  parts: Parts,
  seen: EngineContainer | null,
  id: string,
  starter: Starter,
): Promise<void> {
  const { registry, engine, clock, log, closing } = parts;
  try {
    if (seen)
      await engine.remove(seen.ref, { graceMs: null }, deadline(clock, engineDeadlinesMs.remove, closing));
  } catch (error) {
    log.warn({ id, err: error }, 'could not remove what an unfinished start has left');
  }
  // Meanwhile its deadline may have come.
  if (registry.get(id)?.phase === 'queued') starter.start(id);
}

/** The container as it was, from the ledger and from what the engine says of it. */
function restored(entry: LedgerEntry, seen: EngineContainer | null, fate: Fate, clock: Clock): Container {
  const { condemned, asleep, ...specification } = entry;
  const lifetimeMs = entry.expiresAtMs - entry.createdAtMs;
  // A wall clock that was set back while the service was down must not lengthen the life beyond its whole.
  const leftMs = Math.min(Math.max(entry.expiresAtMs - clock.wallMs(), 0), lifetimeMs);
  const lives = fate === 'serve' || fate === 'keep-warm';
  // `ready` or, where it does not run, what the plan makes of it: it compares with the list right after this.
  const livingPhase = asleep === null ? 'ready' : 'asleep';
  return {
    ...specification,
    phase: lives ? livingPhase : fate === 'start-over' ? 'queued' : 'creating',
    reason: null,
    // A ref that no container has makes the plan see an acknowledged container that is missing as lost.
    ref: fate === 'start-over' ? null : (seen?.ref ?? (lives ? 'missing' : null)),
    changedMonoMs: Number.NEGATIVE_INFINITY,
    upstream: seen?.upstream ?? null,
    expiresAtMonoMs: fate === 'keep-warm' ? Number.POSITIVE_INFINITY : clock.monoMs() + leftMs,
    usedSinceMonoMs: clock.monoMs(),
    // The service may have ended while it waited for the stop.
    stopsUntilMonoMs:
      asleep === 'stop' && seen?.state === 'running'
        ? clock.monoMs() + unheardStopMs(entry)
        : Number.NEGATIVE_INFINITY,
    moving: null,
  };
}

import { queued, specify } from './birth.ts';
import type { Container } from './container.ts';
import { deadline, engineDeadlinesMs, fromEngineError } from './engine-calls.ts';
import { SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';
import type { IdempotencyKey } from './ledger.ts';
import { OnClaimFailed, runOnClaim } from './on-claim.ts';
import type { Parts } from './parts.ts';
import type { Remover } from './remover.ts';
import type { Starter } from './starter.ts';
import type { Wishes } from './wishes.ts';

/** Containers that are started and ready before anybody asks for them. */
export interface WarmPool {
  /** The one of this entry that is given away next. */
  ready(imageKey: string): Container | undefined;
  /** One that can be removed to make room for a container of this entry. */
  spare(entry: ImageEntry): Container | undefined;
  /**
   * Gives the container to the user: exactly one user ever gets it, over crashes too. Resolves with null where
   * its `on_claim` failed; it is removed then, and that is confirmed. Rejects with SpawnerError where it was
   * stopped meanwhile.
   */
  claim(
    container: Container,
    user: string | null,
    wishes: Pick<Wishes, 'lifetimeMs' | 'labels'>,
    idempotency: IdempotencyKey | null,
  ): Promise<Container | null>;
  /** Starts what is missing and removes what is too much, soon. */
  fill(): void;
  /** Replaces this one. */
  recycle(id: string): void;
  close(): void;
}

export function createWarmPool(
  parts: Parts,
  options: { readonly hexSize: number; readonly maxContainers: number },
  remover: Remover,
  starter: Starter,
): WarmPool {
  const { registry, ledger, engine, queue, starts, ports, images, clock, log, closing } = parts;
  const failures = new Map<string, { count: number; untilMonoMs: number }>();
  let cancelFill: (() => void) | null = null;

  const warmOf = (imageKey: string) => registry.warmOf(imageKey).filter((c) => c.phase !== 'stopping');
  const isCurrent = (container: Container) =>
    images.get(container.imageKey)?.configHash === container.configHash;

  function ready(imageKey: string): Container | undefined {
    return warmOf(imageKey).find((c) => c.phase === 'ready' && isCurrent(c));
  }

  function spare(entry: ImageEntry): Container | undefined {
    // Of another entry first: this one's may be what the next caller asks for.
    const others = [...images.keys()].filter((key) => key !== entry.key).flatMap(warmOf);
    const isFull = entry.max !== null && registry.countOfImage(entry.key) >= entry.max;
    return (isFull ? [] : others)[0] ?? warmOf(entry.key)[0];
  }

  async function claim(
    container: Container,
    user: string | null,
    wishes: Pick<Wishes, 'lifetimeMs' | 'labels'>,
    idempotency: IdempotencyKey | null,
  ): Promise<Container | null> {
    const entry = images.get(container.imageKey)!;
    const { id } = container;
    const createdAtMs = Math.floor(clock.wallMs());
    const { lifetimeMs = entry.lifetimeMs, labels = {} } = wishes;
    const expiresAtMs = createdAtMs + lifetimeMs;
    // In memory first, with no await since the decision: nobody else can be given it (rule 6).
    registry.amend(id, {
      warm: false,
      user,
      createdAtMs,
      expiresAtMs,
      expiresAtMonoMs: clock.monoMs() + lifetimeMs,
      labels,
      usedSinceMonoMs: clock.monoMs(),
    });
    fill();
    // As a start, so that whoever is given this container meanwhile waits for it, and a stop calls it off.
    const start = starts.begin(id, async (signal, markCreated) => {
      markCreated();
      try {
        ledger.claim(id, { user, createdAtMs, expiresAtMs, labels, idempotency });
        await runOnClaim(parts, registry.get(id)!, entry);
        signal.throwIfAborted();
        ledger.acknowledge(id);
        return registry.amend(id, { acknowledged: true });
      } catch (error) {
        throw signal.aborted ? signal.reason : asClaimFailure(error);
      }
    });
    try {
      const claimed = await start.done;
      void rename(id);
      log.info({ id, image: entry.key }, 'claimed');
      return claimed;
    } catch (error) {
      if (start.signal.aborted) throw start.signal.reason;
      log.warn({ id, image: entry.key, err: error }, 'a warm container could not be claimed; removing it');
      await remover.remove(id, 'failed').catch(() => {});
      if (error instanceof SpawnerError && error.code === 'ledger_failed') throw error;
      return null;
    }
  }

  /** For people who look at the engine; nothing of ours goes by the name. */
  async function rename(id: string): Promise<void> {
    const ref = registry.get(id)?.ref;
    if (!ref) return;
    await engine.rename(ref, id, deadline(clock, engineDeadlinesMs.remove, closing)).catch((error) => {
      if (registry.get(id)) log.debug({ id, err: error }, 'could not rename the claimed container');
    });
  }

  function fillNow(): void {
    cancelFill = null;
    if (closing.aborted) return;
    for (const entry of images.values()) {
      const present = warmOf(entry.key);
      for (const outdated of present.filter((c) => !isCurrent(c))) recycle(outdated.id);
      const current = present.filter(isCurrent);
      for (const extra of current.slice(entry.warm.count)) remove(extra.id);
      for (let n = current.length; n < entry.warm.count && hasRoom(entry); n++) begin(entry);
    }
  }

  /** After waiting users, and never past the limits. */
  function hasRoom(entry: ImageEntry): boolean {
    const pause = failures.get(entry.key);
    if (pause && pause.untilMonoMs > clock.monoMs()) return false;
    if (queue.waiting > 0 || registry.size >= options.maxContainers || ports.free < entry.ports.length)
      return false;
    return entry.max === null || registry.countOfImage(entry.key) < entry.max;
  }

  function begin(entry: ImageEntry): void {
    const specification = specify(parts, entry, null, options.hexSize);
    try {
      ledger.add(specification, { acknowledged: false, warm: true, idempotency: null });
    } catch (error) {
      for (const { hostPort } of specification.ports) ports.release(hostPort);
      log.error({ err: error }, 'the ledger cannot be written; no warm container is started');
      pauseAfterFailure(entry.key);
      return;
    }
    // Its life begins with the claim; until then its age is what counts.
    registry.add(
      queued(specification, { acknowledged: false, warm: true, expiresAtMonoMs: Number.POSITIVE_INFINITY }),
    );
    starter.start(specification.id).done.then(
      () => {
        failures.delete(entry.key);
      },
      () => pauseAfterFailure(entry.key),
    );
  }

  function pauseAfterFailure(imageKey: string): void {
    const count = (failures.get(imageKey)?.count ?? 0) + 1;
    const pauseMs = Math.min(1000 * 2 ** (count - 1), 60_000);
    failures.set(imageKey, { count, untilMonoMs: clock.monoMs() + pauseMs });
    const cancel = clock.after(pauseMs, () => {
      pauses.delete(cancel);
      fill();
    });
    pauses.add(cancel);
  }
  const pauses = new Set<() => void>();

  function recycle(id: string): void {
    log.info({ id }, 'replacing a warm container');
    remove(id);
  }

  function remove(id: string): void {
    const container = registry.get(id);
    // Between the decision and now somebody may have got it.
    if (container?.warm) remover.remove(id, 'asked').catch(() => {});
  }

  /** A turn later: what is being decided now is decided before a place is taken for nobody. */
  function fill(): void {
    cancelFill ??= clock.after(0, fillNow);
  }

  return {
    ready,
    spare,
    claim,
    fill,
    recycle,
    close() {
      cancelFill?.();
      for (const cancel of pauses) cancel();
    },
  };
}

function asClaimFailure(error: unknown): SpawnerError {
  if (error instanceof OnClaimFailed) return new SpawnerError('on_claim_failed', error.message);
  return fromEngineError(error);
}

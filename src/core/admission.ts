import type { Container, GoneReason } from './container.ts';
import { SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';

export type OnUserLimit = 'reject' | 'reuse' | 'replace';

/** What admission looks at; a picture of one moment. */
export interface AdmissionView {
  /** Everything of this user that has a place, oldest first; empty where users are off. */
  readonly ofUser: readonly Container[];
  /** How many of this entry have a place; looked at where the entry has a `max`. */
  readonly ofEntry: number;
  /** A warm container of this entry that is ready to be given away. */
  readonly warmOfEntry: Container | undefined;
  /** A warm container that can make room for this entry's. */
  readonly spareWarm: Container | undefined;
  readonly placesTaken: number;
  readonly freePorts: number;
  /** How many starts wait for the engine. */
  readonly waiting: number;
  readonly maxContainers: number;
  readonly queueLength: number;
  readonly userLimit: number;
  readonly onUserLimit: OnUserLimit;
}

export type AdmissionDecision =
  | { readonly kind: 'admit' }
  /** Give the caller this one, which is warm. */
  | { readonly kind: 'claim'; readonly container: Container }
  /** Give the caller this one of theirs, once it is ready. */
  | { readonly kind: 'reuse'; readonly container: Container }
  /** Remove this one, then ask again. */
  | { readonly kind: 'make-room'; readonly container: Container; readonly reason: GoneReason }
  | { readonly kind: 'refuse'; readonly error: SpawnerError };

/** Decides about one spawn. Everything that is not gone counts, so that no burst exceeds a limit (rule 1). */
export function decideAdmission(entry: ImageEntry, view: AdmissionView): AdmissionDecision {
  if (view.ofUser.length >= view.userLimit && view.ofUser.length > 0) return atUserLimit(entry, view);
  if (view.warmOfEntry) return { kind: 'claim', container: view.warmOfEntry };
  const entryIsFull = entry.max !== null && view.ofEntry >= entry.max;
  const full = view.placesTaken >= view.maxContainers || view.freePorts < entry.ports.length;
  // Before anything makes room for a start that could then not be queued.
  if (view.waiting >= view.queueLength) {
    return refuse('queue_full', `${view.waiting} starts wait for the engine already; try again later`, 10);
  }
  if ((entryIsFull || full) && view.spareWarm && (!entryIsFull || view.spareWarm.imageKey === entry.key)) {
    return { kind: 'make-room', container: view.spareWarm, reason: 'asked' };
  }
  if (entryIsFull) {
    return refuse(
      'no_place',
      `all ${entry.max} places of this image entry are taken; try again later, or raise max`,
    );
  }
  if (full) {
    return refuse(
      'no_place',
      `all ${view.maxContainers} places are taken; try again when a container has ended, or raise max_containers`,
    );
  }
  return { kind: 'admit' };
}

function atUserLimit(entry: ImageEntry, view: AdmissionView): AdmissionDecision {
  if (view.onUserLimit === 'replace') {
    return { kind: 'make-room', container: view.ofUser[0]!, reason: 'asked' };
  }
  if (view.onUserLimit === 'reuse') {
    const own = view.ofUser.findLast((c) => c.imageKey === entry.key && c.phase !== 'stopping');
    if (own) return { kind: 'reuse', container: own };
  }
  const count = view.userLimit === 1 ? 'a container' : `${view.userLimit} containers`;
  return refuse(
    'user_limit',
    `the user already has ${count}, and that is the limit; stop one first, or raise user_limit`,
    null,
  );
}

function refuse(
  code: 'no_place' | 'queue_full' | 'user_limit',
  message: string,
  retryAfterS: number | null = 30,
): AdmissionDecision {
  return {
    kind: 'refuse',
    error: new SpawnerError(code, message, retryAfterS === null ? {} : { retryAfterS }),
  };
}

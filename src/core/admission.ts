import type { Container } from './container.ts';
import { SpawnerError } from './errors.ts';
import type { ImageEntry } from './image-entry.ts';

export type OnUserLimit = 'reject' | 'reuse' | 'replace';

/** What admission looks at; a picture of one moment. */
export interface AdmissionView {
  /** Everything of this user that has a place, oldest first; empty where users are off. */
  readonly ofUser: readonly Container[];
  readonly placesTaken: number;
  readonly maxContainers: number;
  readonly freePorts: number;
  readonly portsNeeded: number;
  readonly userLimit: number;
  readonly onUserLimit: OnUserLimit;
}

export type AdmissionDecision =
  | { readonly kind: 'admit' }
  /** Give the caller this one, once it is ready. */
  | { readonly kind: 'reuse'; readonly container: Container }
  /** Remove this one, then ask again. */
  | { readonly kind: 'replace'; readonly container: Container }
  | { readonly kind: 'refuse'; readonly error: SpawnerError };

/** Decides about one spawn. Everything that is not gone counts, so that no burst exceeds a limit (rule 1). */
export function decideAdmission(entry: ImageEntry, view: AdmissionView): AdmissionDecision {
  if (view.ofUser.length >= view.userLimit && view.ofUser.length > 0) return atUserLimit(entry, view);
  if (view.placesTaken >= view.maxContainers || view.freePorts < view.portsNeeded) {
    const error = new SpawnerError(
      'no_place',
      `all ${view.maxContainers} places are taken; try again when a container has ended, or raise max_containers`,
      { retryAfterS: 30 },
    );
    return { kind: 'refuse', error };
  }
  return { kind: 'admit' };
}

function atUserLimit(entry: ImageEntry, view: AdmissionView): AdmissionDecision {
  if (view.onUserLimit === 'replace') return { kind: 'replace', container: view.ofUser[0]! };
  if (view.onUserLimit === 'reuse') {
    const own = view.ofUser.findLast((c) => c.imageKey === entry.key && c.phase !== 'stopping');
    if (own) return { kind: 'reuse', container: own };
  }
  const count = view.userLimit === 1 ? 'a container' : `${view.userLimit} containers`;
  const error = new SpawnerError(
    'user_limit',
    `the user already has ${count}, and that is the limit; stop one first, or raise user_limit`,
  );
  return { kind: 'refuse', error };
}

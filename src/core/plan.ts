import type { Container, GoneReason } from './container.ts';
import type { EngineContainer } from './engine.ts';
import { decodeLabels } from './labels.ts';

/** A complete answer of the engine to a question for all our containers, or for one. */
export interface Observation {
  readonly containers: readonly EngineContainer[];
  /** The id that was asked for; null: all. */
  readonly scope: string | null;
  /** When the question was sent: what came into being later is not in the answer. */
  readonly askedAtMonoMs: number;
  /**
   * Whether the engine was out of sight before: exits from that time may be the engine's own doing (its
   * restart stops all containers), so they are started again (rule 11).
   */
  readonly unwatched: boolean;
}

export type Action =
  /** Ours by its labels, and nobody's: remove it. */
  | { readonly do: 'discard'; readonly id: string; readonly ref: string }
  /** Its end was not our doing: clean up after it. */
  | { readonly do: 'end'; readonly id: string; readonly reason: GoneReason }
  /** Kept warm from an image that has another meaning now: make way for a new one. */
  | { readonly do: 'recycle'; readonly id: string }
  /** Stopped without having ended: start it again. */
  | { readonly do: 'revive'; readonly id: string }
  /** It ended before it was ready: tell the spawn that waits for it. */
  | { readonly do: 'fail-start'; readonly id: string; readonly reason: GoneReason }
  /** Another ledger's, or with labels that make no sense: say so, touch nothing (rule 4). */
  | { readonly do: 'leave'; readonly ref: string; readonly name: string };

/** What we hold of a container, as far as the plan looks at it. */
export type Known = Pick<
  Container,
  'id' | 'phase' | 'ref' | 'changedMonoMs' | 'stopsUntilMonoMs' | 'moving' | 'warm' | 'spec'
>;

/** Compares what is with what should be. Pure; an engine that did not answer never gets here (rule 3). */
export function plan(
  known: { get(id: string): Known | undefined; all(): Iterable<Known> },
  seen: Observation,
  identities: ReadonlySet<string>,
): Action[] {
  const actions: Action[] = [];
  const present = new Set<string>();
  for (const container of seen.containers) {
    const facts = decodeLabels(container.labels);
    if (!facts || !identities.has(facts.owner.ledger)) {
      actions.push({ do: 'leave', ref: container.ref, name: container.name });
      continue;
    }
    const own = known.get(facts.birth.id);
    // An image that was committed from one of ours carries our labels into what others run from it.
    if (own?.ref !== container.ref && !container.name.endsWith(facts.birth.id)) {
      actions.push({ do: 'leave', ref: container.ref, name: container.name });
      continue;
    }
    if (!own || (own.ref !== null && own.ref !== container.ref)) {
      actions.push({ do: 'discard', id: facts.birth.id, ref: container.ref });
      continue;
    }
    present.add(own.id);
    if (isNewer(own, seen)) continue;
    const mayGoOn = seen.unwatched || seen.askedAtMonoMs <= own.stopsUntilMonoMs;
    const action = compare(own, container, mayGoOn);
    if (action) actions.push(action);
  }
  for (const own of seen.scope === null ? known.all() : one(known.get(seen.scope))) {
    if (present.has(own.id) || own.ref === null || isNewer(own, seen)) continue;
    if (own.phase === 'starting') actions.push({ do: 'fail-start', id: own.id, reason: 'lost' });
    if (own.phase === 'ready' || own.phase === 'asleep') {
      actions.push({ do: 'end', id: own.id, reason: 'lost' });
    }
  }
  return actions;
}

/** Whether what we hold is of a later time than what was seen. */
function isNewer(own: Known, seen: Observation): boolean {
  return own.changedMonoMs >= seen.askedAtMonoMs;
}

/** `mayGoOn`: an exit may be the engine's doing, or a stop of ours that came late, and is no end. */
function compare(own: Known, container: EngineContainer, mayGoOn: boolean): Action | null {
  const runs = container.state === 'running';
  const ended = container.state === 'exited' || container.state === 'created';
  switch (own.phase) {
    case 'starting':
      return ended ? { do: 'fail-start', id: own.id, reason: 'exited' } : null;
    case 'ready':
      if (own.warm && container.image !== own.spec.image) return { do: 'recycle', id: own.id };
      // What was warm when the engine stopped it is not worth another start.
      if (own.warm && !runs) return { do: 'end', id: own.id, reason: 'exited' };
      if (runs || container.state === 'removing') return null;
      if (ended && !mayGoOn) return { do: 'end', id: own.id, reason: 'exited' };
      return { do: 'revive', id: own.id };
    case 'asleep':
      return runs && own.moving === null ? { do: 'revive', id: own.id } : null;
    case 'queued':
    case 'creating':
    case 'stopping':
    case 'gone':
      return null;
  }
}

function* one<T>(value: T | undefined): Iterable<T> {
  if (value !== undefined) yield value;
}

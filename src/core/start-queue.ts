import type { Clock } from './clock.ts';

/** Who waits for the engine, and who has its attention. */
export interface StartQueue {
  /**
   * Joins the queue. Users are served in turn, so that one who asks for fifty does not delay one who asks for
   * one. `owner`: whose turn it uses; null: nobody waits for it, it comes after everybody who does.
   */
  join(id: string, owner: string | null, options?: { readonly first?: boolean }): Ticket;
  /** Where a waiting start stands; null where it does not wait. */
  place(id: string): QueuePlace | null;
  /** All that wait, in the order of their turns as it is now. */
  order(): Iterable<QueuePlace & { readonly id: string }>;
  /** How many starts wait, those that nobody waits for left out. */
  readonly waiting: number;
  readonly running: number;
}

export interface Ticket {
  /** Resolves with a slot; never where the ticket was given up. */
  readonly turn: Promise<Slot>;
  /** Gives the place in the queue up; does nothing once the turn has come. */
  leave(): void;
}

export interface Slot {
  /** Lets the next one go on. Later calls do nothing. */
  release(): void;
}

export interface QueuePlace {
  /** 1 is next. */
  readonly position: number;
  /** From how long the last ones took; null where none has ended yet. */
  readonly estimatedMs: number | null;
}

interface Waiting {
  readonly id: string;
  readonly owner: string | null;
  readonly grant: (slot: Slot) => void;
}

/** At most `width` starts have a slot at once: the engine gets slower for everybody beyond that. */
export function createStartQueue(clock: Clock, width: number): StartQueue {
  /** Owners in the order of their turns, each with its waiting starts in order. */
  const owners = new Map<string, Waiting[]>();
  const background: Waiting[] = [];
  let running = 0;
  let waiting = 0;
  let usualMs: number | null = null;

  function next(): Waiting | undefined {
    const turn = owners.entries().next();
    if (turn.done) return background.shift();
    const [owner, list] = turn.value;
    const chosen = list.shift()!;
    // To the end of the row, if more of its starts wait.
    owners.delete(owner);
    if (list.length > 0) owners.set(owner, list);
    waiting--;
    return chosen;
  }

  function serve(): void {
    while (running < width) {
      const chosen = next();
      if (!chosen) return;
      running++;
      chosen.grant(slot());
    }
  }

  function slot(): Slot {
    const sinceMs = clock.monoMs();
    let held = true;
    return {
      release() {
        if (!held) return;
        held = false;
        running--;
        const tookMs = clock.monoMs() - sinceMs;
        usualMs = usualMs === null ? tookMs : usualMs + (tookMs - usualMs) / 8;
        serve();
      },
    };
  }

  function remove(entry: Waiting): void {
    const list = entry.owner === null ? background : owners.get(entry.owner);
    const index = list?.indexOf(entry) ?? -1;
    if (!list || index < 0) return;
    list.splice(index, 1);
    if (entry.owner === null) return;
    waiting--;
    if (list.length === 0) owners.delete(entry.owner);
  }

  function position(id: string): number | null {
    let rank = 0;
    let own: { rank: number; index: number; list: Waiting[] } | null = null;
    for (const list of owners.values()) {
      const index = list.findIndex((w) => w.id === id);
      if (index >= 0) own = { rank, index, list };
      rank++;
    }
    if (!own) {
      const index = background.findIndex((w) => w.id === id);
      return index < 0 ? null : waiting + index + 1;
    }
    // Before it come, of every other owner, one start a round: `index` full rounds, and those earlier in this one.
    let before = own.index;
    rank = 0;
    for (const list of owners.values()) {
      if (list !== own.list) before += Math.min(list.length, own.index + (rank < own.rank ? 1 : 0));
      rank++;
    }
    return before + 1;
  }

  /** One start of every owner a round; then those that nobody waits for. */
  function* inOrder(): Iterable<Waiting> {
    const lists = [...owners.values()];
    for (let round = 0; lists.some((list) => round < list.length); round++) {
      for (const list of lists) if (round < list.length) yield list[round]!;
    }
    yield* background;
  }

  const estimateMs = (at: number) => (usualMs === null ? null : Math.round((usualMs * at) / width));

  return {
    join(id, owner, { first = false } = {}) {
      const { promise, resolve } = Promise.withResolvers<Slot>();
      const entry: Waiting = { id, owner, grant: resolve };
      if (owner === null) background.push(entry);
      else {
        const list = owners.get(owner) ?? [];
        if (first) list.unshift(entry);
        else list.push(entry);
        owners.set(owner, list);
        waiting++;
      }
      serve();
      return { turn: promise, leave: () => remove(entry) };
    },
    place(id) {
      const at = position(id);
      if (at === null) return null;
      return { position: at, estimatedMs: estimateMs(at) };
    },
    *order() {
      let at = 0;
      for (const { id } of inOrder()) yield { id, position: ++at, estimatedMs: estimateMs(at) };
    },
    get waiting() {
      return waiting;
    },
    get running() {
      return running;
    },
  };
}

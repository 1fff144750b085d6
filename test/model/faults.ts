import type { Random } from './random.ts';

export type Verb =
  | 'check'
  | 'list'
  | 'create'
  | 'start'
  | 'remove'
  | 'sleep'
  | 'wake'
  | 'exec'
  | 'rename'
  | 'logs';

/**
 * What goes wrong with one call:
 * - `refuse`: the engine says no, having done nothing; `botch`: it does it, then says no
 * - `drop`: the connection breaks before anything is done; `lose`: after it
 * - `hang`: nothing is done and no answer comes; `late`: no answer comes, and it is done `ms` later
 * - `mute`: it is done, and no answer comes
 * - `slow`: it is done `ms` later than usual; `stale`: it is done, and the answer comes `ms` later than usual
 */
export type FaultKind = 'refuse' | 'botch' | 'drop' | 'lose' | 'hang' | 'late' | 'mute' | 'slow' | 'stale';

export interface Fault {
  readonly verb: Verb;
  readonly kind: FaultKind;
  readonly ms: number;
}

/** What becomes of one call. Times in milliseconds. */
export interface Fate {
  /** From the call to its effect. */
  readonly effectMs: number;
  /** From the effect to its answer; null: no answer comes. */
  readonly answerMs: number | null;
  readonly hasEffect: boolean;
  readonly answer: 'result' | 'failed' | 'unreachable';
  /** Whether the effect comes even where the caller has given up before it. */
  readonly carriesOn: boolean;
  readonly isFault: boolean;
}

/** Faults that wait for the next call of their verb, over the usual ups and downs of an engine. */
export function createFaults(random: Random) {
  let armed: Fault[] = [];
  return {
    /** Whether the engine carries out what it was asked for by a caller that has gone. */
    carriesOn: 'by chance' as 'by chance' | 'always' | 'never',
    arm: (fault: Fault) => void armed.push(fault),
    clear() {
      armed = [];
    },
    next(verb: Verb): Fate {
      const [usualMs, spreadMs] = usual[verb];
      const plain: Fate = {
        effectMs: random.below(usualMs + 1),
        answerMs: random.below(spreadMs + 1),
        hasEffect: true,
        answer: 'result',
        carriesOn: this.carriesOn === 'by chance' ? random.below(2) === 0 : this.carriesOn === 'always',
        isFault: false,
      };
      const fault = armed.find((candidate) => candidate.verb === verb);
      if (!fault) return plain;
      armed.splice(armed.indexOf(fault), 1);
      return { ...plain, isFault: true, ...changesOf(fault, plain) };
    },
  };
}

export type Faults = ReturnType<typeof createFaults>;

function changesOf({ kind, ms }: Fault, plain: Fate): Partial<Fate> {
  switch (kind) {
    case 'refuse':
      return { hasEffect: false, answer: 'failed' };
    case 'botch':
      return { answer: 'failed' };
    case 'drop':
      return { hasEffect: false, answer: 'unreachable' };
    case 'lose':
      return { answer: 'unreachable' };
    case 'hang':
      return { hasEffect: false, answerMs: null };
    case 'late':
      return { effectMs: plain.effectMs + ms, answerMs: null, carriesOn: true };
    case 'mute':
      return { answerMs: null };
    case 'slow':
      return { effectMs: plain.effectMs + ms };
    case 'stale':
      return { answerMs: plain.answerMs! + ms };
  }
}

/** The longest usual time to the effect, and from there to the answer. */
const usual: Readonly<Record<Verb, readonly [number, number]>> = {
  check: [1, 1],
  list: [5, 10],
  create: [80, 40],
  start: [120, 40],
  remove: [100, 30],
  sleep: [100, 30],
  wake: [150, 30],
  exec: [50, 10],
  rename: [3, 2],
  logs: [3, 2],
};

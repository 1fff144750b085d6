import type { EngineEvent } from '../core/engine.ts';
import { labels } from '../core/labels.ts';

/**
 * Cuts a stream of bytes into its lines, wherever its chunks end, also in the middle of a character. `push`
 * gives the lines that a chunk completes; `rest` is what came after the last line end. Empty lines are left out.
 */
export function createLineSplitter(): { push(chunk: Buffer): string[]; rest(): string } {
  let pending: Buffer[] = [];
  return {
    push(chunk) {
      const lines: string[] = [];
      let from = 0;
      for (let to = chunk.indexOf(10); to !== -1; to = chunk.indexOf(10, from)) {
        pending.push(chunk.subarray(from, to));
        const line = Buffer.concat(pending).toString().trim();
        pending = [];
        if (line !== '') lines.push(line);
        from = to + 1;
      }
      if (from < chunk.length) pending.push(chunk.subarray(from));
      return lines;
    },
    rest: () => Buffer.concat(pending).toString().trim(),
  };
}

/** What to ask the engine for: the events that mean something to us, of the containers of one instance. */
export function eventFilters(instance: string): string {
  return JSON.stringify({
    type: ['container'],
    event: [...changes.keys()],
    label: [`${labels.instance.name}=${instance}`],
  });
}

/** One line of `GET /events`; null where it is of no interest. Throws SyntaxError where it is no JSON. */
export function readEvent(line: string): EngineEvent | null {
  const event = JSON.parse(line) as DockerEvent | null;
  const ref = event?.Actor?.ID;
  const change = changes.get(event?.Action ?? '');
  if (event?.Type !== 'container' || !ref || !change) return null;
  return { kind: 'container', ref, id: event.Actor?.Attributes?.[labels.id.name] ?? '', change };
}

interface DockerEvent {
  readonly Type?: string;
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
}

type Change = Extract<EngineEvent, { kind: 'container' }>['change'];

/** `restart` is not among them: `die` and `start` come with it. */
const changes: ReadonlyMap<string, Change> = new Map([
  ['start', 'started'],
  ['die', 'exited'],
  ['destroy', 'removed'],
  ['pause', 'paused'],
  ['unpause', 'unpaused'],
]);

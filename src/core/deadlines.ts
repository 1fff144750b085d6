import type { Clock } from './clock.ts';

/** A set of names that fall due, each at its time; one timer, for the earliest. */
export interface Deadlines {
  /** Sets or moves the deadline of `name`, on the monotonic clock. */
  set(name: string, atMonoMs: number): void;
  delete(name: string): void;
  close(): void;
}

/**
 * A binary heap whose outdated entries are dropped when they come up, so that setting a deadline costs the
 * same with ten containers as with ten thousand.
 */
export function createDeadlines(
  clock: Pick<Clock, 'monoMs' | 'after'>,
  onDue: (name: string) => void,
): Deadlines {
  const current = new Map<string, number>();
  const heap: { name: string; at: number }[] = [];
  let armedFor = Number.POSITIVE_INFINITY;
  let cancel = () => {};

  const outdated = (entry: { name: string; at: number }) => current.get(entry.name) !== entry.at;

  function arm(): void {
    while (heap.length > 0 && outdated(heap[0]!)) pop(heap);
    const next = heap[0]?.at ?? Number.POSITIVE_INFINITY;
    if (next === armedFor) return;
    cancel();
    armedFor = next;
    cancel = next === Number.POSITIVE_INFINITY ? () => {} : clock.after(next - clock.monoMs(), fire);
  }

  /** Without this, names that are moved or deleted often would fill the heap with what falls due much later. */
  function compact(): void {
    if (heap.length <= 64 || heap.length <= 2 * current.size) return;
    const live = heap.filter((entry) => !outdated(entry));
    heap.length = 0;
    for (const entry of live) push(heap, entry);
  }

  function fire(): void {
    armedFor = Number.POSITIVE_INFINITY;
    cancel = () => {};
    const now = clock.monoMs();
    while (heap.length > 0 && (heap[0]!.at <= now || outdated(heap[0]!))) {
      const entry = pop(heap);
      if (outdated(entry)) continue;
      current.delete(entry.name);
      onDue(entry.name);
    }
    arm();
  }

  return {
    set(name, atMonoMs) {
      if (current.get(name) === atMonoMs) return;
      current.set(name, atMonoMs);
      push(heap, { name, at: atMonoMs });
      compact();
      arm();
    },
    delete(name) {
      current.delete(name);
      compact();
      arm();
    },
    close() {
      cancel();
      current.clear();
      heap.length = 0;
    },
  };
}

function push<T extends { at: number }>(heap: T[], entry: T): void {
  let index = heap.push(entry) - 1;
  while (index > 0) {
    const parent = (index - 1) >> 1;
    if (heap[parent]!.at <= entry.at) break;
    heap[index] = heap[parent]!;
    index = parent;
  }
  heap[index] = entry;
}

function pop<T extends { at: number }>(heap: T[]): T {
  const top = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return top;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
    if (heap[child]!.at >= last.at) break;
    heap[index] = heap[child]!;
    index = child;
  }
  heap[index] = last;
  return top;
}

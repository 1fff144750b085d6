import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { createStartQueue, type Slot } from '../../../src/core/start-queue.ts';

/** Joins and notes the order in which turns come. */
function observed(width: number) {
  const queue = createStartQueue(systemClock, width);
  const order: string[] = [];
  const slots = new Map<string, Slot>();
  const join = (id: string, owner: string | null, options = {}) => {
    const ticket = queue.join(id, owner, options);
    void ticket.turn.then((slot) => {
      order.push(id);
      slots.set(id, slot);
    });
    return ticket;
  };
  /** Lets whoever has a slot end, one after the other, until nobody waits. */
  const drain = async () => {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const [id, slot] = slots.entries().next().value ?? [];
      if (id === undefined) return order;
      slots.delete(id);
      slot!.release();
    }
  };
  return { queue, order, join, drain };
}

describe('the queue before the engine', () => {
  test('gives at most as many slots at once as it is wide', async () => {
    const { queue, join, drain } = observed(2);
    for (const id of ['a', 'b', 'c', 'd']) join(id, id);
    expect(queue.running).toBe(2);
    expect(queue.waiting).toBe(2);
    expect(await drain()).toEqual(['a', 'b', 'c', 'd']);
    expect(queue.running).toBe(0);
  });

  test('serves users in turn: one who asks for fifty does not delay one who asks for one', async () => {
    const { join, drain } = observed(1);
    for (let i = 0; i < 50; i++) join(`greedy-${i}`, 'greedy');
    join('modest', 'modest');
    const order = await drain();
    expect(order.indexOf('modest')).toBe(2);
  });

  test('knows the position of everybody, in the order in which turns really come', async () => {
    const { queue, join, drain } = observed(1);
    join('running', 'x');
    const ids = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'];
    for (const id of ids) join(id, id[0]!);
    join('nobody', null);
    const positions = new Map([...ids, 'nobody'].map((id) => [id, queue.place(id)!.position]));
    const order = await drain();
    expect(order.slice(1)).toEqual([...positions].sort((a, b) => a[1] - b[1]).map(([id]) => id));
    expect(queue.place('running')).toBeNull();
  });

  test('a place that is given up is nobody’s', async () => {
    const { queue, join, drain } = observed(1);
    join('a', 'a');
    const ticket = join('b', 'b');
    join('c', 'c');
    ticket.leave();
    ticket.leave();
    expect(queue.waiting).toBe(1);
    expect(queue.place('b')).toBeNull();
    expect(await drain()).toEqual(['a', 'c']);
  });

  test('serves what nobody waits for last', async () => {
    const { join, drain } = observed(1);
    join('a', 'a');
    join('warm', null);
    join('b', 'b');
    expect(await drain()).toEqual(['a', 'b', 'warm']);
  });

  test('a start that comes back from a pull goes before the same user’s others', async () => {
    const { join, drain } = observed(1);
    join('a', 'a');
    join('b1', 'b');
    join('b0', 'b', { first: true });
    expect(await drain()).toEqual(['a', 'b0', 'b1']);
  });

  test('a slot that is released twice lets one in', () => {
    const queue = createStartQueue(systemClock, 1);
    const slots: Slot[] = [];
    void queue.join('a', 'a').turn.then((slot) => slots.push(slot));
    queue.join('b', 'b');
    queue.join('c', 'c');
    return Promise.resolve().then(() => {
      slots[0]!.release();
      slots[0]!.release();
      expect(queue.running).toBe(1);
      expect(queue.waiting).toBe(1);
      expect(queue.place('c')!.estimatedMs).toBeGreaterThanOrEqual(0);
    });
  });
});

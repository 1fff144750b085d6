import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SendSlots } from '../../../src/proxy/send-slots.ts';

test('a copy keeps its bytes until the socket has sent them, whatever is written after it', () => {
  const step = fc.oneof(
    fc.record({ write: fc.integer({ min: 30_000, max: 65_536 }) }),
    fc.record({ head: fc.integer({ min: 1, max: 500 }) }),
    fc.record({ send: fc.integer({ min: 1, max: 150_000 }) }),
    fc.record({ release: fc.constant(true) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const slots = new SendSlots();
      const source = Buffer.alloc(65_536);
      /** What the socket has not sent, first in, first out, as a socket counts it: by whole writes. */
      const unsent: { bytes: Buffer; mark: number }[] = [];
      const length = () => unsent.reduce((sum, piece) => sum + piece.bytes.length, 0);
      let mark = 0;
      for (const action of steps) {
        if ('write' in action) {
          mark = (mark + 1) % 256;
          source.fill(mark);
          unsent.push({ bytes: slots.copy(source, 0, action.write, length()), mark });
        } else if ('head' in action) {
          unsent.push({ bytes: Buffer.alloc(action.head, 255), mark: 255 });
        } else if ('send' in action) {
          for (let left = action.send; unsent.length > 0 && unsent[0]!.bytes.length <= left; ) {
            const sent = unsent.shift()!;
            left -= sent.bytes.length;
            expect(sent.bytes.every((byte) => byte === sent.mark)).toBe(true);
          }
        } else {
          slots.release(length());
        }
      }
      for (const piece of unsent) expect(piece.bytes.every((byte) => byte === piece.mark)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('slots that one socket has given up are not taken by two others', () => {
  const first = new SendSlots();
  const source = Buffer.alloc(65_536, 1);
  first.copy(source, 0, 65_536, 0);
  first.release(0);
  const second = new SendSlots();
  const third = new SendSlots();
  const two = second.copy(source.fill(2), 0, 65_536, 0);
  const three = third.copy(source.fill(3), 0, 65_536, 0);
  expect(two[0]).toBe(2);
  expect(three[0]).toBe(3);
});

test('slots of a socket that still sends are not given to others', () => {
  const first = new SendSlots();
  const source = Buffer.alloc(65_536, 1);
  const one = first.copy(source, 0, 65_536, 0);
  first.release(65_536);
  new SendSlots().copy(source.fill(2), 0, 65_536, 0);
  expect(one.every((byte) => byte === 1)).toBe(true);
});

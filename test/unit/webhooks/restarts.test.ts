import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import {
  broken,
  failures,
  hanging,
  nothingWaits,
  ok,
  spawn,
  spawned,
  startReceiver,
  startRig,
  targetOf,
} from './support.ts';

describe('over a restart', () => {
  test('what waited is delivered, in order, with what happened before the restart, and in between', async () => {
    const receiver = await startReceiver();
    await receiver.die();
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    await rig.spawn('b');
    const again = await rig.restart([targetOf(receiver)], async (ledger) => {
      ledger.condemn('a', 'expired');
      await spawn(ledger, 'c');
    });
    await receiver.live();
    again.turn();
    again.clock.advance(1000);
    await nothingWaits(again);
    expect(receiver.told('a')).toEqual([...spawned, 'stopping']);
    expect(receiver.told('b')).toEqual(spawned);
    expect(receiver.told('c')).toEqual(spawned);
  });

  test('a pause goes on, however the wall clock jumped', async () => {
    const receiver = await startReceiver();
    receiver.answer(broken);
    let rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    rig.clock.advance(1000);
    await failures(rig, 2);
    rig = await rig.restart([targetOf(receiver)]);
    rig.clock.advance(1999);
    expect(receiver.received).toHaveLength(2);
    rig.clock.advance(1);
    await failures(rig, 1);

    rig.clock.jump(-365 * 24 * 3_600_000);
    rig = await rig.restart([targetOf(receiver)]);
    receiver.answer(ok);
    rig.clock.advance(15 * 60_000);
    await nothingWaits(rig);
  });

  test('a request that was not answered is sent again', async () => {
    const receiver = await startReceiver();
    receiver.answer(hanging);
    const rig = startRig([targetOf(receiver, { events: ['ready'] })]);
    await rig.spawn('a');
    rig.turn();
    await eventually(() => expect(receiver.received).toHaveLength(1));
    receiver.answer(ok);
    const again = await rig.restart([targetOf(receiver, { events: ['ready'] })]);
    again.turn();
    await nothingWaits(again);
    expect(receiver.told('a')).toEqual(['ready', 'ready']);
    expect(again.webhooks.figures()[0]).toMatchObject({ delivered: 1, failed: 0 });
  });

  test('a long backlog is delivered whole, and before what comes after it', async () => {
    const receiver = await startReceiver();
    await receiver.die();
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    for (let i = 0; i < 600; i++) rig.ledger.note('a', 'extended', { i });
    rig.turn();
    await failures(rig, 1);
    const again = await rig.restart([targetOf(receiver)], async (ledger) => ledger.condemn('a', 'asked'));
    await receiver.live();
    again.turn();
    expect(again.webhooks.figures()[0]!.waiting).toBe(605);
    again.clock.advance(1000);
    await nothingWaits(again);
    const ids = receiver.received.map(({ message }) => message.id);
    expect(ids).toEqual(Array.from({ length: 605 }, (_, i) => i + 1));
  });

  test('a target that is new is told of what happens from now on', async () => {
    const receiver = await startReceiver();
    const rig = startRig([]);
    await rig.spawn('a');
    const again = await rig.restart([targetOf(receiver)]);
    again.turn();
    again.stop('a');
    again.turn();
    await nothingWaits(again);
    expect(receiver.told('a')).toEqual(['stopping', 'gone']);
  });

  test('a target that is not configured any more is forgotten with what waited for it', async () => {
    const receiver = await startReceiver();
    await receiver.die();
    let rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    rig = await rig.restart([]);
    expect(rig.log.join()).toContain('"dropped":4');
    await receiver.live();
    rig = await rig.restart([targetOf(receiver)]);
    rig.clock.advance(3_600_000);
    expect(rig.webhooks.figures()[0]!.waiting).toBe(0);
    expect(receiver.received).toEqual([]);
  });
});

describe('a change of the configuration', () => {
  test('leaves targets alone that stay, signs with a new secret, and forgets those that are gone', async () => {
    const [stays, changes, goes] = [await startReceiver(), await startReceiver(), await startReceiver()];
    for (const receiver of [stays, changes, goes]) receiver.answer(hanging);
    const rig = startRig([stays, changes, goes].map((receiver) => targetOf(receiver, { events: ['ready'] })));
    await rig.spawn('a');
    rig.turn();
    for (const { received } of [stays, changes, goes])
      await eventually(() => expect(received).toHaveLength(1));

    changes.answer(ok);
    await rig.webhooks.setTargets([
      targetOf(stays, { events: ['ready'] }),
      targetOf(changes, { events: ['ready'], secret: 'another secret, as long as it need be' }),
    ]);
    rig.turn();
    await eventually(() => expect(changes.received).toHaveLength(2));
    const { body, headers } = changes.received[1]!;
    const digest = createHmac('sha256', 'another secret, as long as it need be')
      .update(`1893553445.${body}`)
      .digest('hex');
    expect(headers['docker-spawner-signature']).toBe(`t=1893553445,v1=${digest}`);
    expect(stays.received).toHaveLength(1);
    expect(rig.webhooks.figures().map(({ target }) => target)).toEqual(
      [stays, changes].map(({ url }) => new URL(url).origin),
    );
  });
});

import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import {
  broken,
  failures,
  hanging,
  is,
  nothingWaits,
  ok,
  secret,
  spawn,
  spawned,
  startReceiver,
  startRig,
  targetOf,
  whole,
} from './support.ts';

describe('a target', () => {
  test('is told of every event of a container, in order, each as a signed message', async () => {
    const receiver = await startReceiver();
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.stop('a');
    rig.turn();
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(whole);

    const { path, headers, body, message } = receiver.received[3]!;
    expect(message).toEqual({
      id: 4,
      type: 'ready',
      at: '2030-01-02T03:04:05.000Z',
      instance: 'test',
      container: { id: 'a', image: 'test', user: 'Zoë <&> "it\'s me"', url: 'http://a.example.test' },
      data: {},
    });
    const digest = createHmac('sha256', secret).update(`1893553445.${body}`).digest('hex');
    expect(headers).toMatchObject({
      'docker-spawner-signature': `t=1893553445,v1=${digest}`,
      'docker-spawner-event': 'ready',
      'content-type': 'application/json',
    });
    expect(path).toBe('/hooks?token=precious');
    expect(rig.webhooks.figures()).toEqual([
      { target: new URL(receiver.url).origin, waiting: 0, delivered: 6, failed: 0, dead: 0 },
    ]);
  });

  test('is told only of the kinds that it asked for', async () => {
    const receiver = await startReceiver();
    const rig = startRig([targetOf(receiver, { events: ['ready', 'gone'] })]);
    await rig.spawn('a');
    rig.stop('a');
    rig.turn();
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['ready', 'gone']);
  });

  test('is told of a warm container from the moment on in which somebody gets it', async () => {
    const receiver = await startReceiver();
    const rig = startRig([targetOf(receiver)]);
    await spawn(rig.ledger, 'a', { warm: true });
    await spawn(rig.ledger, 'b', { warm: true });
    rig.ledger.claim('a', { user: 'ada', createdAtMs: 1, expiresAtMs: 2, labels: {}, idempotency: null });
    rig.stop('a');
    rig.stop('b');
    rig.turn();
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['claimed', 'stopping', 'gone']);
    expect(receiver.told('b')).toEqual([]);
  });

  test('that answers 500 gets the event again, after pauses that double, and what follows it in order', async () => {
    const receiver = await startReceiver();
    receiver.answer(broken);
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    for (const [failed, pauseMs] of [1000, 2000, 4000].entries()) {
      await failures(rig, failed + 1);
      rig.clock.advance(pauseMs - 1);
      expect(receiver.received).toHaveLength(failed + 1);
      if (failed === 2) receiver.answer(ok);
      rig.clock.advance(1);
    }
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['queued', 'queued', 'queued', ...spawned]);
    const [first, second] = receiver.received.map(({ body, headers }) => ({
      body,
      signature: headers['docker-spawner-signature'],
    }));
    expect(second!.body).toBe(first!.body);
    expect(second!.signature).not.toBe(first!.signature);
    expect(rig.log.filter((line) => line.includes('takes events again'))).toHaveLength(1);
  });

  test('that fails for one container is told of the others', async () => {
    const receiver = await startReceiver();
    receiver.answer((message, response) => (is('a')(message) ? broken : ok)(message, response));
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    await rig.spawn('b');
    rig.turn();
    await eventually(() => expect(receiver.told('b')).toEqual(spawned));
    expect(receiver.told('a')).toEqual(['queued']);
    await eventually(() => expect(rig.webhooks.figures()[0]!.waiting).toBe(4));
  });

  test('that hangs is left after ten seconds, and asked again', async () => {
    const receiver = await startReceiver();
    receiver.answer(hanging);
    const rig = startRig([targetOf(receiver, { events: ['ready'] })]);
    await rig.spawn('a');
    rig.turn();
    await eventually(() => expect(receiver.received).toHaveLength(1));
    rig.clock.advance(9_999);
    expect(rig.webhooks.figures()[0]!.failed).toBe(0);
    rig.clock.advance(1);
    await failures(rig, 1);
    expect(rig.log.join()).toContain('it did not answer in time');
    receiver.answer(ok);
    rig.clock.advance(1000);
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['ready', 'ready']);
  });

  test('that hangs over further attempts leaves room for first ones', async () => {
    const receiver = await startReceiver();
    receiver.answer(broken);
    const rig = startRig([targetOf(receiver, { events: ['ready'] })], { limits: { parallel: 2 } });
    await Promise.all(['a', 'b', 'c'].map(rig.spawn));
    rig.turn();
    await failures(rig, 3);
    receiver.answer((message, response) => (is('d')(message) ? ok : hanging)(message, response));
    rig.clock.advance(1000);
    await eventually(() => expect(receiver.received).toHaveLength(4));
    await rig.spawn('d');
    rig.turn();
    await eventually(() => expect(receiver.told('d')).toEqual(['ready']));
  });

  test('that is dead for a minute gets everything, in order, after it has come back', async () => {
    const receiver = await startReceiver();
    const rig = startRig([targetOf(receiver)]);
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
    await rig.spawn('a');
    rig.turn();
    await nothingWaits(rig);
    await receiver.die();
    await Promise.all(ids.slice(1).map(rig.spawn));
    for (const id of ids) rig.stop(id);
    rig.turn();
    // Each pause ends before the next begins: 1 + 2 + 4 + 8 + 16 + 32 seconds.
    for (let round = 1; round <= 6; round++) {
      await failures(rig, round * ids.length);
      if (round === 6) await receiver.live();
      rig.clock.advance(1000 * 2 ** (round - 1));
    }
    await nothingWaits(rig);
    for (const id of ids) expect(receiver.told(id)).toEqual(whole);
  });

  test('that sends a redirect is not followed', async () => {
    const elsewhere = await startReceiver();
    const receiver = await startReceiver();
    receiver.answer((_, response) => response.writeHead(307, { location: elsewhere.url }).end());
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    expect(elsewhere.received).toEqual([]);
  });

  test('says when it wants to be asked again', async () => {
    const receiver = await startReceiver();
    receiver.answer((_, response) => response.writeHead(429, { 'retry-after': '60' }).end());
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    rig.clock.advance(59_999);
    expect(receiver.received).toHaveLength(1);
    rig.clock.advance(1);
    await failures(rig, 2);
  });

  test('is one of several, and each gets everything whatever becomes of the others', async () => {
    const [good, bad] = [await startReceiver(), await startReceiver()];
    bad.answer(broken);
    const rig = startRig([targetOf(bad), targetOf(good)]);
    await rig.spawn('a');
    rig.turn();
    await eventually(() => expect(good.told('a')).toEqual(spawned));
    expect(bad.told('a')).toEqual(['queued']);
  });
});

describe('an event', () => {
  test('is given up after a day, and shown with the reason; the container’s next one has its turn', async () => {
    const receiver = await startReceiver();
    receiver.answer((message, response) =>
      (message.message.type === 'queued' ? broken : ok)(message, response),
    );
    const rig = startRig([targetOf(receiver)], { limits: { leastAttempts: 2 } });
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    rig.clock.jump(24 * 3_600_000);
    rig.clock.advance(1000);
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['queued', ...spawned]);
    const dead = {
      target: new URL(receiver.url).origin,
      event: expect.objectContaining({ id: 1, kind: 'queued', containerId: 'a' }),
      attempts: 2,
      error: 'it answered 500',
      deadAtMs: rig.clock.wallMs(),
    };
    expect(rig.webhooks.listDead(10)).toEqual([dead]);
    expect(rig.webhooks.figures()[0]).toMatchObject({ delivered: 3, dead: 1 });

    const again = await rig.restart([targetOf(receiver)]);
    again.turn();
    expect(again.webhooks.listDead(10)).toEqual([dead]);
    expect(receiver.received).toHaveLength(5);
  });

  test('finds no room where too many wait, and is shown among those given up', async () => {
    const receiver = await startReceiver();
    receiver.answer(hanging);
    const rig = startRig([targetOf(receiver)], { limits: { waiting: 4 } });
    await rig.spawn('a');
    rig.turn();
    rig.stop('a');
    rig.turn();
    expect(rig.webhooks.figures()[0]).toMatchObject({ waiting: 4, dead: 2 });
    expect(rig.webhooks.listDead(10).map(({ event, error }) => [event.kind, error])).toEqual([
      ['gone', '4 events wait for this target already'],
      ['stopping', '4 events wait for this target already'],
    ]);
  });

  test('that waits is delivered although the ledger has dropped old events', async () => {
    const receiver = await startReceiver();
    await receiver.die();
    const rig = startRig([targetOf(receiver)]);
    await rig.spawn('a');
    rig.turn();
    await failures(rig, 1);
    rig.ledger.prune({ historyMs: 0, events: 0 });
    expect(rig.ledger.events(0, 10)).toEqual([]);
    await receiver.live();
    rig.clock.advance(1000);
    await eventually(() => expect(receiver.told('a')).toEqual(spawned));
  });

  test('is delivered again where the ledger could not note that it was', async () => {
    const receiver = await startReceiver();
    let full = true;
    const rig = startRig([targetOf(receiver, { events: ['ready', 'gone'] })], {
      faulty: (real) => ({
        delivered(key, eventId) {
          if (full) throw new Error('the disk is full');
          real.delivered(key, eventId);
        },
      }),
    });
    await rig.spawn('a');
    rig.stop('a');
    rig.turn();
    await eventually(() => expect(rig.log.join()).toContain('the disk is full'));
    full = false;
    rig.clock.advance(1000);
    await nothingWaits(rig);
    expect(receiver.told('a')).toEqual(['ready', 'ready', 'gone']);
  });
});

test('events that the ledger could not hand over are taken with the next one', async () => {
  const receiver = await startReceiver();
  let full = true;
  const rig = startRig([targetOf(receiver)], {
    faulty: (real) => ({
      take(...args) {
        if (full) throw new Error('the disk is full');
        return real.take(...args);
      },
    }),
  });
  await rig.spawn('a');
  rig.turn();
  expect(rig.log.join()).toContain('webhooks are not told of events for now');
  full = false;
  rig.stop('a');
  rig.turn();
  await nothingWaits(rig);
  expect(receiver.told('a')).toEqual(whole);
});

test('no log line holds a secret, or more of an address than its origin', async () => {
  const receiver = await startReceiver();
  receiver.answer((_, response) => response.writeHead(500).end('precious'));
  const rig = startRig([targetOf(receiver)], { limits: { giveUpAfterMs: 1000, leastAttempts: 1 } });
  await rig.spawn('a');
  rig.turn();
  await failures(rig, 1);
  await receiver.die();
  rig.clock.advance(1000);
  await nothingWaits(rig);
  await rig.webhooks.setTargets([]);
  expect(rig.log.length).toBeGreaterThan(3);
  expect(rig.log.join()).not.toMatch(/precious|hooks\?|a-secret/);
});

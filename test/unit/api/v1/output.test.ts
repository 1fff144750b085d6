import { connect } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { streamEvents } from '../../../../src/api/v1/streams.ts';
import type { SpawnerEvent } from '../../../../src/core/events.ts';
import { eventually } from '../../../support/eventually.ts';
import { openStream, startV1, type V1Rig } from './rig.ts';

const kinds = (events: { kind: string }[]) => events.map((e) => e.kind);

describe('the logs of a container', () => {
  const writing = async (rig: V1Rig) => {
    const id = await rig.spawn();
    rig.machine.write(id, 'one\n', 'zwei ü\n', 'three\n');
    return { id, path: `/v1/containers/${id}/logs` };
  };

  test('are text, all of it or the last lines', async () => {
    const rig = await startV1();
    const { path } = await writing(rig);
    const all = await rig.call('GET', path);
    expect(all.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(all.text).toBe('one\nzwei ü\nthree\n');
    expect((await rig.call('GET', `${path}?tail=2`)).text).toBe('zwei ü\nthree\n');
    expect((await rig.call('GET', `${path}?tail=0`)).text).toBe('');
  });

  test('go on with follow, and end with the container', async () => {
    const rig = await startV1();
    const { id, path } = await writing(rig);
    const stream = await openStream(`${rig.url}${path}?tail=0&follow=true`);
    expect(stream.response.status).toBe(200);
    rig.machine.write(id, 'four\n');
    await eventually(() => expect(stream.text()).toBe('four\n'));
    await rig.call('DELETE', `/v1/containers/${id}`);
    await stream.reading;
    expect(stream.text()).toBe('four\n');
  });

  test('stop being read when the client goes', async () => {
    const rig = await startV1();
    const { id, path } = await writing(rig);
    const stream = await openStream(`${rig.url}${path}?follow=true`);
    await eventually(() => expect(stream.text()).toContain('three'));
    stream.close();
    const held = rig.machine.find(id) as unknown as { readers: Set<unknown> };
    await eventually(() => expect(held.readers.size).toBe(0));
  });

  test('of a container that does not run yet are refused, and so is what is no time', async () => {
    const rig = await startV1();
    const held = rig.machine.hold('create');
    const { json } = await rig.call('POST', '/v1/containers?wait=none', {
      body: { image: 'web', user: 'a' },
    });
    const path = `/v1/containers/${json.id}/logs`;
    expect((await rig.call('GET', path)).json).toMatchObject({ status: 409, code: 'wrong_phase' });
    expect((await rig.call('GET', `${path}?since=yesterday`)).json).toMatchObject({ code: 'field_invalid' });
    expect((await rig.call('GET', `${path}?follow=1`)).json).toMatchObject({ code: 'field_invalid' });
    held.release();
    await eventually(() => expect(rig.core.commands.get(json.id)?.phase).toBe('ready'));
  });

  test('are a clear 503 while the engine is away', async () => {
    const rig = await startV1();
    const { path } = await writing(rig);
    rig.machine.away();
    const answer = await rig.call('GET', path);
    expect(answer.json).toMatchObject({ status: 503, code: 'engine_unavailable', retry_after: 5 });
    expect(answer.headers.get('retry-after')).toBe('5');
    rig.machine.back();
  });
});

describe('what a container uses', () => {
  test('is told once, the use of processors between two looks', async () => {
    const rig = await startV1();
    const id = await rig.spawn();
    rig.machine.use(id, { cpuMs: 1500, memoryBytes: 1000, memoryLimitBytes: 2000, sentBytes: 7 });
    const { json } = await rig.call('GET', `/v1/containers/${id}/stats`);
    expect(json).toMatchObject({
      cpus: 0,
      cpu_seconds: 1.5,
      memory_bytes: 1000,
      memory_limit_bytes: 2000,
      received_bytes: 0,
      sent_bytes: 7,
      pids: 1,
    });
  });

  test('is told again and again as a stream, which ends with the container', async () => {
    const rig = await startV1();
    const id = await rig.spawn();
    const stream = await openStream(`${rig.url}/v1/containers/${id}/stats?stream=true`);
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream');
    await eventually(() => expect(stream.events().length).toBeGreaterThanOrEqual(2));
    expect(stream.events()[0]).toMatchObject({ cpus: null });
    expect(stream.events()[1]).toMatchObject({ cpus: 0 });
    await rig.call('DELETE', `/v1/containers/${id}`);
    await stream.reading;
  });
});

describe('events', () => {
  test('are told as they come, and again to whoever comes back with the last one', async () => {
    const rig = await startV1();
    const stream = await openStream(`${rig.url}/v1/events`);
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream');
    await eventually(() => expect(stream.text()).toContain(': connected'));
    const id = await rig.spawn();
    await eventually(() =>
      expect(kinds(stream.events())).toEqual(['queued', 'creating', 'starting', 'ready']),
    );
    expect(stream.events()[3]).toEqual({
      id: 4,
      at: expect.stringMatching(/^\d{4}-.*Z$/),
      container: id,
      image: 'web',
      user: 'alice',
      kind: 'ready',
      data: {},
    });
    expect(stream.text()).toContain('id: 4\ndata: {');
    stream.close();
    await rig.core.commands.stop(id);
    const again = await openStream(`${rig.url}/v1/events`, { 'last-event-id': '3' });
    await eventually(() => expect(kinds(again.events())).toEqual(['ready', 'stopping', 'gone']));
    const all = await openStream(`${rig.url}/v1/events?after=0`);
    await eventually(() => expect(all.events()).toHaveLength(6));
    await rig.spawn('bob');
    await eventually(() => expect(all.events()).toHaveLength(10));
    expect(all.events().map((e) => e.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('of one container are its own, to its end, and can be read after it', async () => {
    const rig = await startV1();
    const id = await rig.spawn();
    const path = `/v1/containers/${id}/events`;
    const stream = await openStream(`${rig.url}${path}?after=0`);
    await eventually(() => expect(stream.events()).toHaveLength(4));
    await rig.spawn('bob');
    await rig.core.commands.stop(id);
    await stream.reading;
    expect(kinds(stream.events())).toEqual(['queued', 'creating', 'starting', 'ready', 'stopping', 'gone']);
    const after = await rig.call('GET', path);
    expect(after.text.match(/"kind":"(\w+)"/g)).toHaveLength(6);
    const rest = await rig.call('GET', path, { headers: { 'last-event-id': '4' } });
    expect(rest.text.match(/"kind":"(\w+)"/g)).toEqual(['"kind":"stopping"', '"kind":"gone"']);
    const none = await rig.call('GET', `/v1/containers/${'f'.repeat(32)}/events`);
    expect(none.json).toMatchObject({ status: 404, code: 'unknown_container' });
  });

  test('missed while catching up come in their place, each once', async () => {
    const rig = await startV1({ core: { userLimit: 20 } });
    for (let n = 0; n < 8; n++) await rig.spawn('alice', { imageKey: 'web' });
    const [stream] = await Promise.all([
      openStream(`${rig.url}/v1/events?after=0`),
      ...Array.from({ length: 8 }, () => rig.spawn()),
    ]);
    await eventually(() => expect(stream.events()).toHaveLength(64));
    expect(stream.events().map((e) => e.id)).toEqual(Array.from({ length: 64 }, (_, n) => n + 1));
  });

  test('say now and then that the stream still stands', async () => {
    const rig = await startV1({ api: { limits: { heartbeatMs: 20 } } });
    const stream = await openStream(`${rig.url}/v1/events`);
    await eventually(() => expect(stream.text().match(/still here/g)?.length).toBeGreaterThan(1));
  });

  test('end when the service ends', async () => {
    const rig = await startV1();
    const stream = await openStream(`${rig.url}/v1/events`);
    await rig.api.close(5000);
    await stream.reading;
    expect(stream.ended()).toBe(true);
  });

  test.each(['-1', 'x', '1.5', '1'.repeat(16)])('refuse Last-Event-ID %s', async (id) => {
    const rig = await startV1();
    const answer = await rig.call('GET', '/v1/events', { headers: { 'last-event-id': id } });
    expect(answer.json).toMatchObject({ status: 400, code: 'field_invalid' });
  });

  test('an id that was never given waits for what comes', async () => {
    const rig = await startV1();
    const stream = await openStream(`${rig.url}/v1/events?after=999999`);
    await eventually(() => expect(stream.text()).toContain(': connected'));
    await rig.spawn();
    await eventually(() => expect(stream.events()).toHaveLength(4));
  });

  test('are not kept in memory for a listener that does not read: it is dropped', async () => {
    const listeners = new Set<(event: SpawnerEvent) => void>();
    const views = {
      events: () => [],
      newestEvent: () => 0,
      onEvent(listener: (event: SpawnerEvent) => void) {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    const stream = streamEvents(() => new Promise(() => {}), {
      views,
      wants: () => true,
      afterId: null,
      format: () => 'x',
      heartbeatMs: 60_000,
      signal: new AbortController().signal,
      until: 'never',
    });
    const event = { id: 1, kind: 'ready' } as SpawnerEvent;
    for (let n = 0; n < 20_000; n++) for (const listener of listeners) listener(event);
    await expect(stream).rejects.toThrow('slower');
    expect(listeners.size).toBe(0);
  });

  test('a client that went away is forgotten', async () => {
    const rig = await startV1();
    const socket = connect(rig.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.write(`GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:${rig.port}\r\n\r\n`);
    await eventually(() => expect(received).toContain(': connected'));
    socket.destroy();
    // Were it still there, this would wait for it.
    await rig.api.close(5000);
  });
});

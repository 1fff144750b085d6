import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLineSplitter, readEvent } from '../../../src/engine/docker-events.ts';
import { createLogDecoder, createLogReader, maxLogBytes } from '../../../src/engine/docker-logs.ts';
import { createPullProgress, pullQuery } from '../../../src/engine/docker-pull.ts';
import { fromStats } from '../../../src/engine/docker-stats.ts';
import { createArraySplitter } from '../../../src/engine/json-array.ts';

describe('the line splitter', () => {
  test('gives the same lines wherever the chunks end, in the middle of a character too', () => {
    const line = fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => `x${text.replace(/\s/g, '')}`);
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(40), { minLength: 1 }), (lines, sizes) => {
        const splitter = createLineSplitter();
        const bytes = Buffer.from(lines.map((text) => `${text}\r\n\n`).join(''));
        const got = chunksOf(bytes, sizes).flatMap((chunk) => splitter.push(chunk));
        expect(got).toEqual(lines);
        expect(splitter.rest()).toBe('');
      }),
    );
  });

  test('keeps what has no line end yet', () => {
    const splitter = createLineSplitter();
    expect(splitter.push(Buffer.from('{"a":'))).toEqual([]);
    expect(splitter.rest()).toBe('{"a":');
    expect(splitter.push(Buffer.from('1}\n{'))).toEqual(['{"a":1}']);
  });
});

describe('the array splitter', () => {
  test('gives the elements that a parser of the whole gives, wherever the chunks end', () => {
    const element = fc.oneof(fc.object(), fc.array(fc.jsonValue()));
    fc.assert(
      fc.property(
        fc.array(element),
        fc.constantFrom(undefined, 2),
        fc.array(fc.nat(40), { minLength: 1 }),
        (elements, indent, sizes) => {
          const text = `${JSON.stringify(elements, null, indent)}\n`;
          const splitter = createArraySplitter();
          const got = chunksOf(Buffer.from(text), sizes).flatMap((chunk) => splitter.push(chunk));
          splitter.end();
          expect(got.map((json) => JSON.parse(json))).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  test('does not take brackets and quotes in strings for its own', () => {
    const elements = [{ a: '}],[{"' }, { 'b\\"]': '\\' }, { c: '\\"' }];
    const splitter = createArraySplitter();
    const got = [...Buffer.from(JSON.stringify(elements))].flatMap((byte) =>
      splitter.push(Buffer.from([byte])),
    );
    expect(got.map((json) => JSON.parse(json))).toEqual(elements);
  });

  test.each(['', '[', '[{"a":1}', '[{"a":1},', '[{"a":"]'])('%j is not complete', (text) => {
    const splitter = createArraySplitter();
    splitter.push(Buffer.from(text));
    expect(() => splitter.end()).toThrow(SyntaxError);
  });

  test.each(['{"message":"no"}', '[][]', '[] {}'])('%j is not one array', (text) => {
    expect(() => createArraySplitter().push(Buffer.from(text))).toThrow(SyntaxError);
  });
});

describe('events', () => {
  const event = (Action: string, Type = 'container') =>
    JSON.stringify({
      Type,
      Action,
      Actor: { ID: 'r', Attributes: { 'docker-spawner.id': 'abc', image: 'x' } },
    });

  test.each([
    ['start', 'started'],
    ['die', 'exited'],
    ['destroy', 'removed'],
    ['pause', 'paused'],
    ['unpause', 'unpaused'],
  ])('%s means %s', (action, change) => {
    expect(readEvent(event(action))).toEqual({ kind: 'container', ref: 'r', id: 'abc', change });
  });

  test('others, those of other types and those without an actor mean nothing', () => {
    const strange = ['null', '[]', '1', '{}', '{"Type":"container","Action":"start"}'];
    const others = [event('exec_start: sh'), event('constructor'), event('start', 'network')];
    for (const line of [...strange, ...others]) expect(readEvent(line)).toBeNull();
  });

  test('an event without our label has an empty id', () => {
    const line = JSON.stringify({ Type: 'container', Action: 'die', Actor: { ID: 'r' } });
    expect(readEvent(line)).toMatchObject({ id: '' });
  });

  test('what is no JSON is an error', () => {
    expect(() => readEvent('{"Type":"conta')).toThrow(SyntaxError);
  });
});

const frame = (stream: number, text: string) => {
  const payload = Buffer.from(text);
  const head = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
};

describe('the log reader', () => {
  test('joins the frames of both streams, wherever the chunks end', () => {
    const bytes = Buffer.concat([frame(1, 'out é\n'), frame(2, ''), frame(2, 'err\r\n'), frame(1, '€')]);
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 1 }), (sizes) => {
        const reader = createLogReader();
        for (const chunk of chunksOf(bytes, sizes)) reader.push(chunk);
        expect(reader.text()).toBe('out é\nerr\n€');
      }),
    );
  });

  test('takes a stream without frames as it is, however short', () => {
    for (const text of ['hi\n', 'a terminal writes plain bytes\n']) {
      const reader = createLogReader();
      for (const byte of Buffer.from(text)) reader.push(Buffer.from([byte]));
      expect(reader.text()).toBe(text);
    }
  });

  test('keeps the end of what is too long', () => {
    const reader = createLogReader();
    for (let i = 0; i < 40; i++) reader.push(frame(1, 'a'.repeat(10_000)));
    reader.push(frame(1, 'the end'));
    expect(reader.text()).toHaveLength(maxLogBytes);
    expect(reader.text()).toMatch(/a{1000}the end$/);
  });

  test('replaces what is not printable, invalid UTF-8 and terminal commands among it', () => {
    const reader = createLogReader();
    reader.push(frame(1, 'a\u001b[31mb\u0000\tc\u202ed\n'));
    reader.push(Buffer.from([1, 0, 0, 0, 0, 0, 0, 2, 0xff, 0x41]));
    expect(reader.text()).toBe('a\ufffd[31mb\ufffd\tc\ufffdd\n\ufffdA');
  });
});

describe('the log decoder', () => {
  test('gives the text of both streams as it comes, wherever the chunks end', () => {
    const bytes = Buffer.concat([frame(1, 'out é\r\n'), frame(2, 'err\r'), frame(1, '€'), frame(2, '\n.')]);
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 1 }), (sizes) => {
        const decoder = createLogDecoder();
        let text = '';
        for (const chunk of chunksOf(bytes, sizes)) text += decoder.push(chunk);
        expect(text + decoder.rest()).toBe('out é\nerr€\n.');
      }),
    );
  });

  test('a character that is cut in two by the other stream is whole again', () => {
    const euro = Buffer.from('€');
    const cut = (bytes: Buffer) => Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, bytes.length]), bytes]);
    const decoder = createLogDecoder();
    const text = [cut(euro.subarray(0, 1)), frame(2, 'x'), cut(euro.subarray(1))].map(decoder.push).join('');
    expect(text).toBe('x€');
  });

  test('what is left at the end is not lost, nor a short plain stream', () => {
    const decoder = createLogDecoder();
    expect(decoder.push(Buffer.from('hi\u001b')) + decoder.rest()).toBe('hi\ufffd');
  });
});

describe('the use of a container', () => {
  test('is read from cgroup v1 and v2, without what the kernel could drop', () => {
    const memory = (stats: Record<string, number>) =>
      fromStats({ memory_stats: { usage: 100, limit: 500, stats } });
    expect(memory({ total_inactive_file: 30 })).toMatchObject({ memoryBytes: 70, memoryLimitBytes: 500 });
    expect(memory({ inactive_file: 40 })).toMatchObject({ memoryBytes: 60 });
    expect(memory({ inactive_file: 400 })).toMatchObject({ memoryBytes: 100 });
  });

  test('sums its networks, and is nothing where it is stopped or has no limit', () => {
    const networks = { a: { rx_bytes: 1, tx_bytes: 2 }, b: { rx_bytes: 3, tx_bytes: 4 } };
    const running = {
      cpu_stats: { cpu_usage: { total_usage: 5_000_000 } },
      pids_stats: { current: 7 },
      networks,
    };
    expect(fromStats(running)).toMatchObject({ cpuMs: 5, pids: 7, receivedBytes: 4, sentBytes: 6 });
    const nothing = {
      cpuMs: 0,
      memoryBytes: 0,
      memoryLimitBytes: null,
      receivedBytes: 0,
      sentBytes: 0,
      pids: 0,
    };
    expect(fromStats({ memory_stats: { limit: 2 ** 63 } })).toEqual(nothing);
    expect(fromStats({})).toEqual(nothing);
  });
});

describe('pulling', () => {
  test.each([
    ['nginx', 'latest'],
    ['registry.local:5000/team/app', 'latest'],
    ['nginx:alpine', undefined],
    ['registry.local:5000/app:1', undefined],
    [`nginx@sha256:${'a'.repeat(64)}`, undefined],
  ])('%s is asked for with the tag %s', (image, tag) => {
    expect(pullQuery(image, 'linux/amd64')).toEqual({ fromImage: image, tag, platform: 'linux/amd64' });
  });

  test('progress is the sum over all layers', () => {
    const progress = createPullProgress('nginx');
    const line = (id: string, status: string, current?: number, total?: number) =>
      progress.push(JSON.stringify({ id, status, progressDetail: { current, total } }));
    expect(progress.push('{"status":"Pulling from library/nginx"}')).toBeNull();
    expect(line('a', 'Pulling fs layer')).toBeNull();
    expect(line('a', 'Downloading', 10, 100)).toEqual({ currentBytes: 10, totalBytes: 100 });
    expect(line('b', 'Downloading', 5, 50)).toEqual({ currentBytes: 15, totalBytes: 150 });
    expect(line('a', 'Download complete')).toEqual({ currentBytes: 105, totalBytes: 150 });
    expect(line('a', 'Extracting', 20, 100)).toBeNull();
    expect(line('a', 'Pull complete')).toEqual({ currentBytes: 105, totalBytes: 150 });
  });

  test('an error in the stream is image_missing, in the words of the registry', () => {
    const line = '{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}';
    expect(() => createPullProgress('nginx:x').push(line)).toThrow(
      expect.objectContaining({
        kind: 'image_missing',
        message: expect.stringMatching(/nginx:x.*manifest unknown/),
      }),
    );
  });
});

/** The bytes in chunks of these sizes, over and over. */
function chunksOf(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let from = 0, i = 0; from < bytes.length; i++) {
    const to = from + Math.max(1, sizes[i % sizes.length]!);
    chunks.push(bytes.subarray(from, to));
    from = to;
  }
  return chunks;
}

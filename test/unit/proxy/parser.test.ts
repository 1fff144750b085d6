import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BodyReader, Slices } from '../../../src/proxy/body-reader.ts';
import { kindOfName, kinds } from '../../../src/proxy/field-kinds.ts';
import { Head } from '../../../src/proxy/head.ts';
import { HeadReader, more, refused } from '../../../src/proxy/head-reader.ts';
import { hostName } from '../../../src/proxy/host.ts';
import { defaultLimits } from '../../../src/proxy/limits.ts';
import { Refusal } from '../../../src/proxy/refusal.ts';
import { readRequestHead } from '../../../src/proxy/request-head.ts';
import { confineCookie } from '../../../src/proxy/set-cookie.ts';

const limits = { ...defaultLimits, headBytes: 300, fieldCount: 10 };

/** What a connection's bytes are read as, however they are cut: requests with their bodies, then how it stops. */
function readAll(pieces: Buffer[]): unknown[] {
  const head = new Head(limits.fieldCount);
  const reader = new HeadReader(head, 'request', limits.headBytes);
  const slices = new Slices();
  const seen: unknown[] = [];
  let body: BodyReader | null = null;
  let text = '';
  const finish = () => {
    seen.push(text);
    body = null;
    text = '';
  };
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      if (body === null) {
        at = reader.read(piece, at);
        if (at === more) break;
        if (at === refused) return [...seen, reader.refusal!.detail];
        const request = readRequestHead(head, limits);
        if (request instanceof Refusal) return [...seen, request.detail];
        seen.push([request.method, request.target, request.host, request.framing, head.pairs()]);
        body = new BodyReader(request.framing, request.lengthBytes, limits);
        if (body.done) finish();
      } else {
        at = body.read(piece, at, slices);
        if (at === refused) return [...seen, text, 'bad chunk'];
        for (let i = 0; i < slices.count; i++)
          text += piece.toString('latin1', slices.start(i), slices.end(i));
        if (body.done) finish();
      }
    }
  }
  return [...seen, text, 'more'];
}

const part = fc.oneof(
  fc.constantFrom(
    'GET / HTTP/1.1\r\n',
    'POST /a?b HTTP/1.1\r\n',
    'OPTIONS * HTTP/1.0\r\n',
    'Host: a.test\r\n',
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
    'X:  y \t\r\n',
    'Connection: close, x\r\n',
    '\r\n',
    'abc',
    '3\r\nabc\r\n',
    '2;a="b"\r\nde\r\n',
    '0\r\n\r\n',
    '0\r\nT: 1\r\n\r\n',
    '\r',
    '\n',
    ' ',
    '\0',
    ':',
    'x'.repeat(150),
  ),
  fc.string({ unit: 'binary', maxLength: 5 }).map((text) => Buffer.from(text, 'utf8').toString('latin1')),
);
const stream = fc.array(part, { maxLength: 24 }).map((parts) => Buffer.from(parts.join(''), 'latin1'));

test('a byte at a time, in random pieces or all at once: bytes are read as the same', () => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(40), { maxLength: 30 }), (bytes, cuts) => {
      const whole = readAll([bytes]);
      const single = Array.from(bytes, (byte) => Buffer.from([byte]));
      expect(readAll(single)).toEqual(whole);
      const pieces: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        pieces.push(bytes.subarray(at, at + cut));
        at += cut;
      }
      pieces.push(bytes.subarray(at));
      expect(readAll(pieces.filter((piece) => piece.length > 0))).toEqual(whole);
    }),
    { numRuns: 2000 },
  );
});

test('any chunking of a body reads as the body, and a cut body is never done', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 })), fc.nat(), (pieces, cutSeed) => {
      const chunks = pieces.map(
        (piece) => `${piece.length.toString(16)}\r\n${Buffer.from(piece).toString('latin1')}\r\n`,
      );
      const bytes = Buffer.from(`${chunks.join('')}0\r\n\r\n`, 'latin1');
      const cut = cutSeed % bytes.length;
      const slices = new Slices();
      const reader = new BodyReader('chunked', 0, limits);
      let text = '';
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        expect(reader.done).toBe(false);
        expect(reader.read(piece, 0, slices)).toBe(piece.length);
        for (let i = 0; i < slices.count; i++)
          text += piece.toString('latin1', slices.start(i), slices.end(i));
      }
      expect(reader.done).toBe(true);
      expect(text).toBe(Buffer.concat(pieces).toString('latin1'));
    }),
  );
});

test('bytes of the message before do not make up for a request line that is too short', () => {
  const bytes = Buffer.from(
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n HTTP/1.1\r\n\r\n',
    'latin1',
  );
  const whole = readAll([bytes]);
  expect(whole.at(-1)).toMatch(/HTTP\/1.1/);
  expect(readAll(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(whole);
});

describe('kindOfName', () => {
  const kindOf = (name: string) => kindOfName(Buffer.from(name), 0, name.length);

  test('tells our fields without regard to case', () => {
    expect(kindOf('HOST')).toBe(kinds.host);
    expect(kindOf('content-LENGTH')).toBe(kinds.contentLength);
    expect(kindOf('X-Forwarded-Anything')).toBe(kinds.forwardedOther);
    expect(kindOf('X-Other')).toBe(kinds.other);
  });

  test('takes an underscore for a hyphen in forwarding fields only', () => {
    expect(kindOf('X_Forwarded-For')).toBe(kinds.forwardedFor);
    expect(kindOf('x_real_ip')).toBe(kinds.forwardedOther);
    expect(kindOf('Content_Length')).toBe(kinds.other);
    expect(kindOf('Transfer_Encoding')).toBe(kinds.other);
  });
});

describe('hostName', () => {
  test.each([
    ['a.test', 'a.test'],
    ['A.Test:80', 'a.test'],
    ['a.test.', 'a.test'],
    ['a.test.:8080', 'a.test'],
    ['a.test:', 'a.test'],
    ['a_b-c.test', 'a_b-c.test'],
    ['127.0.0.1:80', '127.0.0.1'],
    ['[::1]:80', '[::1]'],
    ['[FE80::1]', '[fe80::1]'],
  ])('of %s is %s', (value, name) => {
    expect(hostName(value)).toBe(name);
  });

  test.each([
    '',
    '.',
    ':80',
    'a b',
    'a/b',
    'a@b',
    'a:b',
    'a:123456',
    'a:80:80',
    'a%41',
    'ä',
    '[::1',
    '[::1]x',
    '[x]',
    'a,b',
  ])('of %j there is none', (value) => {
    expect(hostName(value)).toBeNull();
  });
});

test('a cookie keeps everything but a Domain that is not the host', () => {
  expect(confineCookie('a=b; Path=/; Domain=evil.test; HttpOnly', 'c.test')).toBe('a=b; Path=/; HttpOnly');
  expect(confineCookie('a=b; Domain=c.test', 'c.test')).toBe('a=b; Domain=c.test');
  expect(confineCookie('a=b;domain=.C.TEST', 'c.test')).toBe('a=b;domain=.C.TEST');
  expect(confineCookie('a=b; Domain', 'c.test')).toBe('a=b');
  expect(confineCookie('domain=x', 'c.test')).toBe('domain=x');
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mergeForms, readForm, readQuery, textField } from '../../../src/api/form.ts';
import { parseMultipart } from '../../../src/api/multipart.ts';
import { SpawnerError } from '../../../src/core/errors.ts';

const urlencoded = 'application/x-www-form-urlencoded';

function read(contentType: string | undefined, body: string | Buffer, contentEncoding?: string) {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
  return readForm({ contentType, contentEncoding, body: bytes });
}

/** The code of what is thrown, or the value. */
function outcome<T>(act: () => T): T | string {
  try {
    return act();
  } catch (error) {
    if (error instanceof SpawnerError) return error.code;
    throw error;
  }
}

const fieldOf = (contentType: string | undefined, body: string | Buffer) =>
  outcome(() => textField(read(contentType, body), 'user_id'));

describe('a urlencoded form', () => {
  test.each([
    ['user_id=bob', 'bob'],
    ['a=1&user_id=bob&', 'bob'],
    ['&&user_id=bob', 'bob'],
    ['user_id=a+b%2Bc', 'a b+c'],
    ['user_id=a=b', 'a=b'],
    ['%75ser%5fid=bob', 'bob'],
    ['user_id=%C3%BC', 'ü'],
    ['user_id=ü', 'ü'],
    ['user_id=%f0%9f%a6%8a', '🦊'],
    ['user_id=%EF%BF%BD', '\uFFFD'],
    ['user_id=%EF%BB%BFbob', '\uFEFFbob'],
    ['user_id=%00', '\0'],
    ['user_id=__proto__', '__proto__'],
    ['__proto__=x&constructor=y&user_id=bob', 'bob'],
    ['user_id[]=x&user_id=bob', 'bob'],
    ['user_id=bob;user_id=eve', 'bob;user_id=eve'],
    ['other=%FF&user_id=bob', 'bob'],
  ])('%s gives %j', (body, value) => {
    expect(fieldOf(urlencoded, body)).toBe(value);
  });

  test.each([
    ['', 'field_missing'],
    ['user_id', 'field_missing'],
    ['user_id=', 'field_missing'],
    ['User_id=bob', 'field_missing'],
    ['user_id[]=bob', 'field_missing'],
    ['user_id=bob&user_id=bob', 'field_invalid'],
    ['user_id=bob&%75ser_id=eve', 'field_invalid'],
    ['user_id=%', 'body_invalid'],
    ['user_id=%4', 'body_invalid'],
    ['user_id=%zz', 'body_invalid'],
    ['user_id=bob&other=%u0041', 'body_invalid'],
    ['user_id=%FF', 'field_invalid'],
    ['user_id=%C3', 'field_invalid'],
    ['user_id=%C0%AF', 'field_invalid'],
    ['user_id=%ED%A0%80', 'field_invalid'],
    ['user_id=%F4%90%80%80', 'field_invalid'],
  ])('%j is refused: %s', (body, code) => {
    expect(fieldOf(urlencoded, body)).toBe(code);
  });

  test('of more than a thousand fields is refused, before they cost time', () => {
    expect(fieldOf(urlencoded, `${'a&'.repeat(999)}user_id=bob`)).toBe('bob');
    const before = process.cpuUsage();
    expect(fieldOf(urlencoded, `user_id=bob&${'a&'.repeat(32_000)}`)).toBe('body_invalid');
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(50);
  });

  test('gives every text back that URLSearchParams wrote', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const sent = text.toWellFormed();
        expect(fieldOf(urlencoded, new URLSearchParams({ user_id: sent }).toString())).toBe(sent);
      }),
    );
  });
});

describe('the type of a body', () => {
  test.each([
    urlencoded,
    `${urlencoded}; charset=UTF-8`,
    `${urlencoded};charset="utf-8"`,
    'Application/X-WWW-Form-Urlencoded',
  ])('%s is read', (type) => {
    expect(fieldOf(type, 'user_id=bob')).toBe('bob');
  });

  test.each([
    undefined,
    '',
    'nonsense',
    'application/json',
    'text/plain',
    'multipart/mixed; boundary=b',
    `${urlencoded}; charset=iso-8859-1`,
    'multipart/form-data; boundary=b; charset=utf-16',
  ])('%j is refused as unsupported', (type) => {
    expect(fieldOf(type, 'user_id=bob')).toBe('unsupported_media_type');
  });

  test('one as long as a head can be, made to be slow, costs less than 50 ms', () => {
    const before = process.cpuUsage();
    expect(fieldOf(`text/plain;a=${' '.repeat(15_000)}x`, 'a')).toBe('unsupported_media_type');
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(50);
  });

  test('a compressed body is refused as unsupported', () => {
    expect(outcome(() => read(urlencoded, 'x', 'gzip'))).toBe('unsupported_media_type');
    expect(outcome(() => textField(read(urlencoded, 'user_id=bob', 'identity'), 'user_id'))).toBe('bob');
  });
});

describe('a query', () => {
  test('has the fields after the first question mark', () => {
    expect(textField(readQuery('/path?user_id=a?b'), 'user_id')).toBe('a?b');
    expect(outcome(() => textField(readQuery('/path'), 'user_id'))).toBe('field_missing');
  });

  test('and a body that both have the field count as twice', () => {
    const merged = mergeForms(readQuery('/?user_id=a'), readQuery('/?user_id=a'));
    expect(outcome(() => textField(merged, 'user_id'))).toBe('field_invalid');
  });
});

describe('a multipart form', () => {
  const type = 'multipart/form-data; boundary=b';
  const part = (head: string, value: string) => `--b\r\n${head}\r\n\r\n${value}\r\n`;
  const named = (value: string, more = '') =>
    part(`Content-Disposition: form-data; name="user_id"${more}`, value);

  test.each([
    ['one field', `${named('bob')}--b--\r\n`, 'bob'],
    ['no line break at the end', `${named('bob')}--b--`, 'bob'],
    ['a preamble and an epilogue', `hello\r\n${named('bob')}--b--\r\nbye --b`, 'bob'],
    ['blanks after a boundary', `${named('bob').replace('--b', '--b \t')}--b--`, 'bob'],
    ['a name without quotes', `${named('bob').replace('"user_id"', 'user_id')}--b--`, 'bob'],
    ['an escaped name', `${named('bob').replace('user_id', 'user\\_id')}--b--`, 'bob'],
    [
      'headers in any case',
      `${named('bob').replace('Content-Disposition', 'content-DISPOSITION')}--b--`,
      'bob',
    ],
    ['a trailing semicolon', `${named('bob', '; ')}--b--`, 'bob'],
    ['a text type', `${named('bob', '\r\nContent-Type: text/plain; charset=utf-8')}--b--`, 'bob'],
    ['line breaks in the value', `${named('a\r\nb')}--b--`, 'a\r\nb'],
    ['almost a boundary in the value', `${named('a\r\n-b\n--b')}--b--`, 'a\r\n-b\n--b'],
    ['a byte order mark', `${named('\uFEFFbob')}--b--`, '\uFEFFbob'],
    ['no decoding of percent signs', `${named('%41+')}--b--`, '%41+'],
    [
      'a file under an unknown name',
      `${part('Content-Disposition: form-data; name="x"; filename="y"', 'z')}${named('bob')}--b--`,
      'bob',
    ],
    [
      'a field called __proto__',
      `${part('Content-Disposition: form-data; name="__proto__"', 'z')}${named('bob')}--b--`,
      'bob',
    ],
  ])('with %s is read', (_, body, value) => {
    expect(fieldOf(type, body)).toBe(value);
  });

  test.each([
    ['no end', named('bob'), 'body_invalid'],
    ['half an end', `${named('bob')}--b-`, 'body_invalid'],
    ['a part cut in its head', '--b\r\nContent-Disposition: form-da', 'body_invalid'],
    ['nothing in it', '', 'body_invalid'],
    ['another boundary', `${named('bob')}--b--`.replaceAll('--b', '--c'), 'body_invalid'],
    ['a longer boundary', `${named('bob')}--b--`.replace('--b', '--bb'), 'body_invalid'],
    ['bare line feeds', `${named('bob')}--b--`.replaceAll('\r\n', '\n'), 'body_invalid'],
    ['no disposition', `${part('Content-Type: text/plain', 'bob')}--b--`, 'body_invalid'],
    ['no headers', '--b\r\n\r\nbob\r\n--b--', 'body_invalid'],
    ['no name', `${part('Content-Disposition: form-data', 'bob')}--b--`, 'body_invalid'],
    ['two names', `${named('bob', '; name="other"')}--b--`, 'body_invalid'],
    [
      'two dispositions',
      `${named('bob', '\r\nContent-Disposition: form-data; name="x"')}--b--`,
      'body_invalid',
    ],
    ['a folded header', `${named('bob', ';\r\n filename="x"')}--b--`, 'body_invalid'],
    ['an open quote', `${part('Content-Disposition: form-data; name="user_id', 'bob')}--b--`, 'body_invalid'],
    [
      'another disposition',
      `${part('Content-Disposition: attachment; name="user_id"', 'bob')}--b--`,
      'body_invalid',
    ],
    ['the field twice', `${named('bob')}${named('eve')}--b--`, 'field_invalid'],
    ['a file for the field', `${named('bob', '; filename="f"')}--b--`, 'field_invalid'],
    ['a file without a name', `${named('bob', '; filename=""')}--b--`, 'field_invalid'],
    ['an encoded file name', `${named('bob', "; filename*=utf-8''f")}--b--`, 'field_invalid'],
    ['base64', `${named('Ym9i', '\r\nContent-Transfer-Encoding: base64')}--b--`, 'field_invalid'],
    ['Latin-1', `${named('bob', '\r\nContent-Type: text/plain; charset=latin1')}--b--`, 'field_invalid'],
    ['an empty value', `${named('')}--b--`, 'field_missing'],
    ['only its end', '--b--', 'field_missing'],
  ])('with %s is refused', (_, body, code) => {
    expect(fieldOf(type, body)).toBe(code);
  });

  test('with bytes that are not UTF-8 is refused', () => {
    expect(fieldOf(type, Buffer.from(`${named('\xff')}--b--`, 'latin1'))).toBe('field_invalid');
  });

  test.each([
    'multipart/form-data',
    'multipart/form-data; boundary=""',
    `multipart/form-data; boundary=${'b'.repeat(71)}`,
  ])('of type %s is refused', (bad) => {
    expect(fieldOf(bad, `${named('bob')}--b--`)).toBe('body_invalid');
  });

  test('gives every field back that a FormData wrote', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }))),
        async (pairs) => {
          const form = new FormData();
          for (const [name, value] of pairs) form.append(name.replaceAll('\0', ''), value);
          const sent = new Response(form);
          const contentType = sent.headers.get('content-type')!;
          const body = Buffer.from(await sent.arrayBuffer());
          const boundary = /boundary=(.*)$/.exec(contentType)![1]!;
          // FormData writes values with CR LF; a NUL in a name is no header, so it is refused.
          const written = [...form].map(([, value]) =>
            String(value)
              .replace(/\r\n?|\n/g, '\r\n')
              .toWellFormed(),
          );
          expect(parseMultipart(boundary, body).map((p) => p.bytes.toString('utf8'))).toEqual(written);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('of any bytes is read or refused, and nothing else', () => {
    const pieces = fc.constantFrom(
      '--b',
      '\r\n',
      '--',
      '\r\n\r\n',
      'Content-Disposition: form-data; name="user_id"',
      'x',
      '\n',
      ' ',
      '"',
      ';',
      '\\',
      '\0',
      'é',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 40 }), (list) => {
        expect(typeof fieldOf(type, list.join(''))).toBe('string');
      }),
      { numRuns: 5_000 },
    );
  });

  test('of 64 KiB made to be slow costs less than 50 ms', () => {
    const size = 64 * 1024;
    const floods = [
      '\r\n--b'.repeat(size / 5),
      '--b\r\n\r\n\r\n'.repeat(size / 9),
      `--b\r\nContent-Disposition: form-data${'; a="\\\\'.repeat(size / 8)}\r\n\r\n\r\n--b--`,
      `--b\r\nContent-Disposition: form-data${'; '.repeat(size / 2)}\r\n\r\n\r\n--b--`,
      `--b\r\nContent-Disposition: form-data${' '.repeat(size)}x\r\n\r\n\r\n--b--`,
      `--b\r\n${'a: b\r\n'.repeat(size / 6)}\r\n\r\n--b--`,
      `--b${' '.repeat(size)}`,
      named('').repeat(900),
      `--b\r\na:${'\t'.repeat(size)}\0\r\n\r\n\r\n--b--`,
      `${named('', `\r\nContent-Type: text/plain;a=${' '.repeat(size)}x`)}--b--`,
      `${named('', `\r\nContent-Type: text/plain;a=${' '.repeat(180)}x`).repeat(250)}--b--`,
    ];
    for (const flood of floods) {
      const before = process.cpuUsage();
      fieldOf(type, flood);
      expect(process.cpuUsage(before).user / 1000).toBeLessThan(50);
    }
  });
});

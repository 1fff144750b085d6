import type { Random } from './random.ts';
import {
  fields,
  interesting,
  methods,
  oddEncodings,
  oddFields,
  oddFramingNames,
  oddLengths,
  oddLineEnds,
  oddMethods,
  oddStatusLines,
  oddTargets,
  oddTeNames,
  oddVersions,
  responseFields,
  statusLines,
} from './words.ts';

/** Random messages, as latin1: mostly what a client or a container says, with one or two odd things in most. */

const crlf = '\r\n';

/** A pipeline of one to three requests to `host`, some of them damaged. */
export function randomRequests(random: Random, host: string): string {
  let text = '';
  for (let count = random.ordinary(1, [2, 3, 2], 0.4); count > 0; count--)
    text += randomRequest(random, host);
  return random.chance(0.5) ? text : mutate(random, text);
}

function randomRequest(random: Random, host: string): string {
  const end = () => random.ordinary(crlf, oddLineEnds, 0.01);
  const target = random
    .ordinary(`/p${random.below(1000)}?q=1`, oddTargets, 0.15)
    .replace('HOST', random.ordinary(host, [host.toUpperCase(), `${host}.`]));
  const method = random.ordinary(random.pick(methods), oddMethods, 0.05);
  const space = () => random.ordinary(' ', ['  ', '\t', '', '\x0b', '\x0c'], 0.01);
  const lines = [method + space() + target + space() + random.ordinary('HTTP/1.1', oddVersions, 0.08)];
  const { framing, body } = randomBody(random, method === 'GET' || method === 'HEAD' ? 0.2 : 0.8);
  const rest = [hostLine(random, host), ...framing, ...someFields(random)];
  if (random.chance(0.3)) rest.reverse();
  lines.push(...rest);
  return (
    random.ordinary('', [crlf, crlf + crlf, '\n', ' ', '\r'], 0.03) +
    lines.map((line) => line + end()).join('') +
    end() +
    body
  );
}

function hostLine(random: Random, host: string): string {
  const odd = [
    `Host: ${host}:80`,
    `Host: ${host}.`,
    `host:${host}`,
    `HOST:  ${host} `,
    `Host: ${host.toUpperCase()}`,
    `Host: ${host}\r\nHost: ${host}`,
    `Host: ${host}, x`,
    `Host : ${host}`,
    'Host:',
    `Host: ${host}:abc`,
    `Host: ${host}:`,
    `Host: user@${host}`,
    `Host: ${host}/x`,
    `Host: ${host}\0`,
    `Host: a ${host}`,
    `Host:\r\n ${host}`,
    'X: y',
    `Host: [::1]`,
    `Host: ${host}:99999`,
    `Host: ${host}%2e`,
  ];
  return random.ordinary(`Host: ${host}`, odd, 0.12);
}

function someFields(random: Random): string[] {
  const list: string[] = [];
  for (let count = random.below(5); count > 0; count--)
    list.push(random.ordinary(random.pick(fields), oddFields, 0.15));
  return list;
}

function randomBody(random: Random, likely: number): { framing: string[]; body: string } {
  if (!random.chance(likely)) return { framing: [], body: '' };
  const data = 'abcdefghijklmnopqrstuvwxyz'.slice(0, random.below(20));
  const length = `Content-Length: ${random.ordinary(String(data.length), oddLengths, 0.1)}`;
  const oddLength = `${random.pick(oddFramingNames)}: ${data.length}`;
  const encoding = `Transfer-Encoding: ${random.ordinary('chunked', oddEncodings, 0.15)}`;
  const oddTe = `${random.pick(oddTeNames)}: chunked`;
  const chunks = chunked(random, data);
  switch (random.below(12)) {
    case 0:
      return { framing: [encoding, length], body: chunks };
    case 1:
      return {
        framing: [length, random.ordinary(length, [`Content-Length: ${data.length + 1}`], 0.5)],
        body: data,
      };
    case 2:
      return { framing: [random.chance(0.5) ? oddLength : oddTe], body: random.chance(0.5) ? data : chunks };
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
      return { framing: [encoding], body: chunks };
    case 8:
      return { framing: [length, 'Expect: 100-continue'], body: data };
    default:
      return { framing: [length], body: data };
  }
}

function chunked(random: Random, data: string): string {
  const end = () => random.ordinary(crlf, ['\n', '\r', '\r\r\n', ' \r\n', ';\r\n'], 0.02);
  let text = '';
  for (let at = 0; at < data.length; ) {
    const size = Math.min(1 + random.below(8), data.length - at);
    text += chunkSize(random, size) + end() + data.slice(at, at + size) + end();
    at += size;
  }
  const last = random.ordinary('0', ['00', '000000', '0;x', '0x0', '-0', '', '0 '], 0.08);
  const trailers = random.ordinary(
    '',
    ['X-T: 1\r\n', 'X-T: 1\r\nContent-Length: 5\r\n', 'bad\r\n', ' x\r\n', 'A: \0\r\n', ': x\r\n'],
    0.12,
  );
  return text + last + end() + trailers + end();
}

function chunkSize(random: Random, size: number): string {
  const hex = size.toString(16);
  const odd = [
    `0${hex}`,
    hex.toUpperCase(),
    `0x${hex}`,
    `+${hex}`,
    `-${hex}`,
    ` ${hex}`,
    `${hex} `,
    `${hex};a=b`,
    `${hex};a="b;c"`,
    `${hex};a="\r\n"`,
    `${hex}; a=b`,
    `${hex};\n`,
    `${hex};a\x01`,
    `${hex}g`,
    `${hex}.`,
    `1${'0'.repeat(16)}${hex}`,
    `${'0'.repeat(40)}${hex}`,
    `${hex};`,
    `${hex};=`,
    `${hex};a=`,
    `${hex};a;b;c=d`,
    `${hex};${'e'.repeat(400)}`,
    `ffffffffffffffff`,
    `10000000${hex}`,
  ];
  return random.ordinary(hex, odd, 0.08);
}

/** A container's response to a request, some of them damaged, some cut off. */
export function randomResponse(random: Random): string {
  const end = () => random.ordinary(crlf, oddLineEnds, 0.01);
  const { framing, body } = randomBody(random, 0.85);
  const list = [
    random.ordinary(random.ordinary('HTTP/1.1 200 OK', statusLines, 0.3), oddStatusLines, 0.1),
    ...framing,
  ];
  for (let count = random.below(4); count > 0; count--)
    list.push(random.ordinary(random.pick(responseFields), oddFields, 0.12));
  const after = random.ordinary(
    '',
    ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', 'x', '\r\n', '\0'],
    0.06,
  );
  const text = list.map((line) => line + end()).join('') + end() + body + after;
  if (random.chance(0.06)) return text.slice(0, random.below(text.length));
  return random.chance(0.5) ? text : mutate(random, text);
}

/** Damages a text in one to three places. */
export function mutate(random: Random, text: string): string {
  let out = text;
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(out.length + 1);
    const span = 1 + random.below(random.chance(0.8) ? 2 : 30);
    switch (random.below(6)) {
      case 0:
        out = out.slice(0, at) + out.slice(at + span);
        break;
      case 1:
        out = out.slice(0, at) + random.pick(interesting) + out.slice(at);
        break;
      case 2:
        out = out.slice(0, at) + random.pick(interesting) + out.slice(at + 1);
        break;
      case 3:
        out = out.slice(0, at) + String.fromCharCode(random.below(256)) + out.slice(at + 1);
        break;
      case 4:
        out = out.slice(0, at) + out.slice(at, at + span) + out.slice(at);
        break;
      default: {
        const lines = out.split(crlf);
        const line = random.below(lines.length);
        lines.splice(random.below(lines.length), 0, lines[line]!);
        out = lines.join(crlf);
      }
    }
  }
  return out;
}

import { BodyReader, Slices } from '../src/proxy/body-reader.ts';
import { Head } from '../src/proxy/head.ts';
import { HeadReader, more, refused } from '../src/proxy/head-reader.ts';
import { defaultLimits } from '../src/proxy/limits.ts';
import { Refusal } from '../src/proxy/refusal.ts';
import { readRequestHead } from '../src/proxy/request-head.ts';
import { readResponseHead } from '../src/proxy/response-head.ts';

/** A message as a parser understood it. All text is latin1: a character is a byte. */
export interface Message {
  /** `METHOD target`, or the status. */
  readonly start: string;
  /** Names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  body: string;
  complete: boolean;
}

/** Everything that a parser made of the bytes of one connection. */
export interface Reading {
  readonly messages: readonly Message[];
  /** Where each complete message ends. */
  readonly ends: readonly number[];
  /** Why it read no further: a refusal, an unfinished head, or nothing that the parser wants to know. */
  readonly end: string;
}

/** Reads like the proxy's connection with a client does; `cuts` says where the bytes are cut. */
export function readRequests(bytes: Buffer, cuts: readonly number[]): Reading {
  return read(bytes, cuts, 'request', (head) => {
    const request = readRequestHead(head, defaultLimits);
    if (request instanceof Refusal) return request;
    return {
      start: `${request.method} ${request.target}`,
      body: new BodyReader(request.framing, request.lengthBytes, defaultLimits),
      // After these the connection is a tunnel, or nothing is read from it any more.
      last: request.upgrade !== null ? 'tunnel' : request.keepAlive ? null : 'close',
      closeDelimited: false,
    };
  });
}

/** Reads like the proxy's connection with a container does, which carries one response. */
export function readResponse(bytes: Buffer, cuts: readonly number[], method: string): Reading {
  return read(bytes, cuts, 'response', (head) => {
    const response = readResponseHead(head, method);
    if (response instanceof Refusal) return response;
    const final = response.status >= 200 || response.status === 101;
    return {
      start: String(response.status),
      body: new BodyReader(response.framing, response.lengthBytes, defaultLimits),
      last: final ? 'over' : null,
      closeDelimited: final && response.framing === 'close',
    };
  });
}

interface Meaning {
  readonly start: string;
  readonly body: BodyReader;
  readonly last: string | null;
  /** Complete at the end of the bytes, whenever that is. */
  readonly closeDelimited: boolean;
}

function read(
  bytes: Buffer,
  cuts: readonly number[],
  side: 'request' | 'response',
  understand: (head: Head) => Meaning | Refusal,
): Reading {
  const head = new Head(defaultLimits.fieldCount);
  const reader = new HeadReader(head, side, defaultLimits.headBytes);
  const slices = new Slices();
  const messages: Message[] = [];
  let current: { meaning: Meaning; message: Message } | null = null;
  const ends: number[] = [];
  const over = (end: string): Reading => ({ messages, ends, end });
  for (const { chunk, from } of pieces(bytes, cuts)) {
    let at = 0;
    while (at < chunk.length) {
      if (current === null) {
        at = reader.read(chunk, at);
        if (at === more) break;
        if (at === refused) return over(reader.refusal!.detail);
        const meaning = understand(head);
        if (meaning instanceof Refusal) return over(meaning.detail);
        const fields = head.pairs().map(([name, value]) => [name.toLowerCase(), value] as const);
        current = { meaning, message: { start: meaning.start, fields, body: '', complete: false } };
        messages.push(current.message);
      } else {
        at = current.meaning.body.read(chunk, at, slices);
        for (let slice = 0; slice < slices.count; slice++)
          current.message.body += chunk.toString('latin1', slices.start(slice), slices.end(slice));
        if (at === refused) return over('chunked body');
      }
      if (current.meaning.body.done) {
        current.message.complete = true;
        ends.push(from + at);
        if (current.meaning.last !== null) return over(current.meaning.last);
        current = null;
      }
    }
  }
  if (current?.meaning.closeDelimited) {
    current.message.complete = true;
    ends.push(bytes.length);
  }
  return over(reader.started ? 'unfinished head' : '');
}

function* pieces(bytes: Buffer, cuts: readonly number[]): Generator<{ chunk: Buffer; from: number }> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut > from) yield { chunk: bytes.subarray(from, cut), from };
    from = Math.max(from, cut);
  }
}

import { isReserved } from '../src/proxy/target.ts';
import { type Lane, sendThrough, type Way } from './lanes.ts';
import { readResponseWithNode } from './node-parser.ts';
import { originForm, type Verdict } from './opinions.ts';
import type { Message } from './own-parser.ts';

/** (c) What reaches the other side through our proxy, beside what reaches it through others. */

/** What one proxy let through, in the order in which it did; each in the words in which it is compared. */
interface Passed {
  readonly proxy: string;
  readonly messages: readonly string[];
  /** What reached the other side and could not be read. */
  readonly unreadable: readonly string[];
  /** A request reached the container that it does not show, since its method is in no list of Node's. */
  readonly unknownMethod: boolean;
}

const quietMs = 60;
/** A finding must show itself every time, with more patience, or it was the machine. */
const repeats = 2;
const patientQuietMs = 500;
const sentinel = 'GET /sentinel HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n';

/** Sends requests, with an ordinary one at the end that shows whether all still agree where requests end. */
export async function compareRequests(lane: Lane, input: Buffer): Promise<Verdict> {
  const bytes = Buffer.concat([input, Buffer.from(sentinel.replace('HOST', lane.host))]);
  return compare('request', bytes, async (patienceMs) =>
    Promise.all(
      lane.ways.map(async (way) => {
        way.container.reset();
        await sendThrough(way, bytes, patienceMs);
        const { messages, refusals } = way.container;
        return {
          proxy: way.proxy,
          messages: messages.filter((message) => message.complete && isComparable(message)).map(requestWords),
          unreadable: refusals.filter((code) => !mayBeMethod(bytes, code)),
          unknownMethod: refusals.some((code) => mayBeMethod(bytes, code)),
        };
      }),
    ),
  );
}

/** Lets the containers say the bytes in answer to a request of that method. */
export async function compareResponses(lane: Lane, input: Buffer, method: string): Promise<Verdict> {
  const request = Buffer.from(
    `${method} /x HTTP/1.1\r\nHost: ${lane.host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
  );
  return compare('response', input, async (patienceMs) =>
    Promise.all(
      lane.ways.map(async (way: Way) => {
        way.container.reset(input);
        const got = await sendThrough(way, request, patienceMs);
        const { messages, end } = await readResponseWithNode(got, method);
        const passed = messages.filter(({ complete, start }) => complete && !start.startsWith('1'));
        return {
          proxy: way.proxy,
          messages: passed.filter(isNotOwnAnswer).map(responseWords),
          unknownMethod: false,
          unreadable: way.proxy === 'docker-spawner' && end.startsWith('HPE_') ? [end] : [],
        };
      }),
    ),
  );
}

async function compare(
  side: 'request' | 'response',
  input: Buffer,
  run: (quietMs: number) => Promise<readonly Passed[]>,
): Promise<Verdict> {
  let passed = await run(quietMs);
  let judged = judge(side, passed);
  for (let again = 0; judged.bad && again < repeats; again++) {
    // What a slow machine delivers late belongs to the run before.
    await new Promise((resolve) => setTimeout(resolve, patientQuietMs));
    passed = await run(patientQuietMs);
    judged = judge(side, passed);
  }
  const detail = JSON.stringify(passed, null, 1);
  return { kind: judged.kind, finding: judged.bad ? { what: judged.kind, input, detail } : null };
}

/** Whether ours let pass what neither of the others did, and in what way they compare. */
export function judge(
  side: 'request' | 'response',
  passed: readonly Passed[],
): { readonly kind: string; readonly bad: boolean } {
  const [own, ...peers] = passed as [Passed, ...Passed[]];
  const say = (kind: string, bad: boolean) => ({ kind: `through the proxies, ${side}: ${kind}`, bad });
  if (own.unreadable.length > 0) return say(`what we pass cannot be read (${own.unreadable[0]})`, true);
  if (own.unknownMethod) return say('a method that only the container could know', false);
  if (peers.length === 0) return say('no other proxy to compare with', false);
  const equal = peers.filter(({ messages }) => isPrefix(own.messages, messages));
  if (equal.length > 0) {
    const same = equal.filter(({ messages }) => messages.length === own.messages.length);
    if (same.length === 0) return say('we let less pass', false);
    if (same.length === peers.length) return say('all the same', false);
    return say(`same as ${same.map(({ proxy }) => proxy).join(' and ')}`, false);
  }
  const place = own.messages.findIndex((message, i) =>
    peers.every(({ messages }) => messages[i] !== message),
  );
  // Each of ours is somebody's, but no other has all: each was stricter than the other in a different place.
  if (place < 0) return say('each message as in one of the others', false);
  const others = peers.map(({ messages }) => messages[place]);
  if (others.every((message) => message === undefined)) return say('passed by us only', true);
  return say('passed by us with another meaning', true);
}

function isPrefix(list: readonly string[], of: readonly string[]): boolean {
  return list.length <= of.length && list.every((message, i) => message === of[i]);
}

/** We alone answer under the reserved prefix ourselves. */
function isComparable({ start }: Message): boolean {
  return !isReserved(originForm(start).slice(start.indexOf(' ') + 1));
}

/** Node's parser knows a list of methods only, so a container of Node's refuses others, which we pass. */
function mayBeMethod(bytes: Buffer, code: string): boolean {
  return code === 'HPE_INVALID_METHOD' || (code === 'HPE_INVALID_VERSION' && bytes.includes('PRI '));
}

/** Method, target, host and body: what a container acts on. */
function requestWords(message: Message): string {
  const hosts = message.fields.filter(([name]) => name === 'host').map(([, value]) => value.toLowerCase());
  return JSON.stringify([originForm(message.start), hosts, message.body]);
}

function responseWords({ start, body }: Message): string {
  return JSON.stringify([start, body]);
}

/** What a proxy says by itself where it refuses a container's response. */
function isNotOwnAnswer({ start }: Message): boolean {
  return start !== '502' && start !== '504' && start !== '503';
}

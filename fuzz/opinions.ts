import { METHODS } from 'node:http';
import { type NodeReading, readRequestsWithNode, readResponseWithNode } from './node-parser.ts';
import { type Message, readRequests, readResponse } from './own-parser.ts';
import type { Random } from './random.ts';

/** Something that must not be: what, and the bytes that show it. */
export interface Finding {
  readonly what: string;
  readonly input: Buffer;
  readonly detail: string;
}

/** What was decided about an input; `kind` counts inputs by it. */
export interface Verdict {
  readonly kind: string;
  readonly finding: Finding | null;
}

/** (a) However the bytes are cut, the outcome is the same. */
export function sameHoweverCut(input: Buffer, side: 'request' | 'response', random: Random): Finding | null {
  const readIt = (cuts: readonly number[]) =>
    JSON.stringify(side === 'request' ? readRequests(input, cuts) : readResponse(input, cuts, 'GET'));
  const whole = readIt([]);
  const everywhere = Array.from({ length: input.length }, (_, i) => i);
  const some = everywhere.filter(() => random.chance(0.1));
  for (const cuts of [everywhere, some]) {
    const cut = readIt(cuts);
    if (cut !== whole)
      return {
        what: `a ${side} cut in ${cuts.length + 1} reads otherwise`,
        input,
        detail: `whole: ${whole}\ncut at ${cuts.join()}: ${cut}`,
      };
  }
  return null;
}

/**
 * (b) What we accept, Node accepts with the same meaning: it is given what we accepted, and must read the same
 * messages and nothing more or less.
 */
export async function nodeAgrees(
  input: Buffer,
  side: 'request' | 'response',
  method: string,
): Promise<Verdict> {
  const own = side === 'request' ? readRequests(input, []) : readResponse(input, [], method);
  const accepted = own.messages.filter(({ complete }) => complete);
  if (accepted.length === 0) return { kind: `${side}: refused or unfinished`, finding: null };
  const compareFirst = async (count: number) => {
    const bytes = input.subarray(0, own.ends[count - 1]);
    const node =
      side === 'request' ? await readRequestsWithNode(bytes) : await readResponseWithNode(bytes, method);
    return { bytes, node, difference: listDifference(accepted.slice(0, count), node, side) };
  };
  let compared = await compareFirst(accepted.length);
  if (compared.difference === null) return { kind: `${side}: accepted by both`, finding: null };
  // Node's error in one message makes those before it incomplete; so the first that it does not like is sought.
  let count = 0;
  do compared = await compareFirst(++count);
  while (compared.difference === null && count < accepted.length);
  const { bytes, node, difference } = compared;
  const known = knownReason(accepted.slice(0, count), node, side);
  if (known !== null) return { kind: `${side}: differs from Node, known: ${known}`, finding: null };
  const detail = `ours: ${JSON.stringify(own)}\nNode: ${JSON.stringify(node)}`;
  const finding = { what: `${side} ${count}: ${difference}`, input: bytes, detail };
  return { kind: `${side}: differs from Node`, finding };
}

function listDifference(
  accepted: readonly Message[],
  node: NodeReading,
  side: 'request' | 'response',
): string | null {
  for (const [place, message] of accepted.entries()) {
    const theirs = node.messages[place];
    if (theirs === undefined) return `Node does not read it: ${node.end}`;
    const difference = differenceOf(message, theirs, side);
    if (difference !== null) return difference;
  }
  return node.messages.length > accepted.length ? 'Node reads one more' : null;
}

/** What differs in meaning between two readings of a message, or null. */
export function differenceOf(ours: Message, theirs: Message, side: 'request' | 'response'): string | null {
  if (side === 'request' ? originForm(ours.start) !== originForm(theirs.start) : ours.start !== theirs.start)
    return `the start is ${JSON.stringify(ours.start)} and ${JSON.stringify(theirs.start)}`;
  if (!theirs.complete) return 'it is complete for us only';
  if (ours.body !== theirs.body)
    return `the body is ${JSON.stringify(ours.body)} and ${JSON.stringify(theirs.body)}`;
  const own = JSON.stringify(ours.fields);
  const other = JSON.stringify(theirs.fields);
  return own === other ? null : `the fields are ${own} and ${other}`;
}

/** `METHOD target` with the scheme and authority of an absolute target left out: both mean the same request. */
export function originForm(start: string): string {
  const found = /^(\S+) https?:\/\/[^/?]*(.*)$/i.exec(start);
  if (found === null) return start;
  const [, method, rest] = found;
  if (rest === '') return `${method} ${method === 'OPTIONS' ? '*' : '/'}`;
  return `${method} ${rest!.startsWith('/') ? rest : `/${rest}`}`;
}

/** Known and harmless: Node refuses, or reports in another way, what has one meaning only. */
function knownReason(
  messages: readonly Message[],
  node: NodeReading,
  side: 'request' | 'response',
): string | null {
  const message = messages.at(-1);
  if (message === undefined) return null;
  // RFC 9110, 7.8: an Upgrade may be ignored, as we do beside a body. Node reads no further request after one.
  const before = messages.at(-2);
  if (side === 'request' && node.end === '' && before?.fields.some(([name]) => name === 'upgrade'))
    return 'an Upgrade that we ignore';
  if (side === 'request' && refusesMethod(message.start, node.end))
    return 'Node knows a list of methods only';
  // RFC 9110, 6.5.1: never to be obeyed. We drop all trailers; Node reads them as if they were in the head.
  const isChunked = message.fields.some(([name]) => name === 'transfer-encoding');
  if (isChunked && /^HPE_(INVALID|UNEXPECTED)_(CONTENT_LENGTH|TRANSFER_ENCODING)$/.test(node.end))
    return 'a framing field in the trailers, which we drop';
  if (side === 'request' && node.end === 'HPE_INVALID_URL') return 'Node refuses a target that we pass';
  return null;
}

/** Whether Node's parser stopped at a method that it does not know; PRI it knows as the preface of HTTP/2 only. */
export function refusesMethod(start: string, code: string): boolean {
  const method = start.split(' ', 1)[0]!;
  if (method === 'PRI') return code === 'HPE_INVALID_VERSION';
  return code === 'HPE_INVALID_METHOD' && !METHODS.includes(method);
}

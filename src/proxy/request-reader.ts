import { type Answer, refusalAnswer } from './answers.ts';
import { BodyReader } from './body-reader.ts';
import type { Context } from './context.ts';
import { kinds } from './field-kinds.ts';
import { forwardRequest, type Peer } from './forward-request.ts';
import { HeadReader, more, refused } from './head-reader.ts';
import { Refusal, refusals } from './refusal.ts';
import { type RequestHead, readRequestHead } from './request-head.ts';

/** A request whose head is complete, and what its container is to get for it. */
export interface Arrived {
  readonly request: RequestHead;
  readonly forwardHead: string;
}

/** Reads the requests on one connection: a head, then its body, then the next head. */
export class RequestReader {
  /** Set when `readHead` returned a place. */
  arrived: Arrived | null = null;
  /** Set when `readHead` returned `refused`. */
  answer: Answer | null = null;
  /** Set when `readBody` returned `refused`. */
  refusal: Refusal = refusals.chunk;
  readonly #context: Context;
  readonly #peer: Peer;
  readonly #head: HeadReader;
  #body: BodyReader | null = null;
  #bodyBytes = 0;

  constructor(context: Context, peer: Peer) {
    this.#context = context;
    this.#peer = peer;
    this.#head = new HeadReader(context.requestHead, 'request', context.limits.headBytes);
  }

  /** Whether a head has begun to arrive. */
  get headStarted(): boolean {
    return this.#head.started;
  }

  get bodyDone(): boolean {
    return this.#body === null || this.#body.done;
  }

  /** Bytes of the body that are still to come; infinite where only its end will tell. */
  get bodyRemainingBytes(): number {
    return this.#body?.remainingBytes ?? 0;
  }

  /** Reads a head at `chunk[at]`: the place after it, `more` or `refused`. */
  readHead(chunk: Buffer, at: number): number {
    const next = this.#head.read(chunk, at);
    if (next === more) return more;
    if (next === refused) return this.#refuse(refusalAnswer(this.#head.refusal!, ''));
    const { head } = this.#head;
    const { limits } = this.#context;
    const request = readRequestHead(head, limits);
    if (request instanceof Refusal) {
      const accept = head.has(kinds.accept) ? new Map(head.pairs().map(lowerName)).get('accept')! : '';
      return this.#refuse(refusalAnswer(request, accept));
    }
    this.#bodyBytes = 0;
    this.#body =
      request.framing === 'none' ? null : new BodyReader(request.framing, request.lengthBytes, limits);
    this.arrived = { request, forwardHead: forwardRequest(request, head, this.#peer) };
    return next;
  }

  /** Reads on in the body: its data into the shared slices, and the place after them or `refused`. */
  readBody(chunk: Buffer, at: number): number {
    const { slices, limits } = this.#context;
    const next = this.#body!.read(chunk, at, slices);
    this.#bodyBytes += slices.bytes;
    if (next === refused) this.refusal = refusals.chunk;
    else if (limits.bodyBytes > 0 && this.#bodyBytes > limits.bodyBytes) this.refusal = refusals.bodyTooLarge;
    else return next;
    return refused;
  }

  /** Forgets a head that has begun to arrive. */
  reset(): void {
    this.#head.reset();
  }

  #refuse(answer: Answer): number {
    this.answer = answer;
    return refused;
  }
}

function lowerName([name, value]: [string, string]): [string, string] {
  return [name.toLowerCase(), value];
}

import type { Answer } from './answers.ts';
import {
  containerBusy,
  containerGone,
  countAnswer,
  noContainer,
  redirectAnswer,
  refusalAnswer,
  statusAnswer,
  upstreamAnswer,
  waitingPage,
} from './answers.ts';
import type { Slices } from './body-reader.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ContainerTraffic } from './containers.ts';
import type { Context } from './context.ts';
import { clientFraming, forwardInterim, forwardResponse, forwardSwitch } from './forward-response.ts';
import type { Framing } from './framing.ts';
import type { Head } from './head.ts';
import { Hold } from './hold.ts';
import type { Refusal } from './refusal.ts';
import type { RequestHead } from './request-head.ts';
import type { Arrived } from './request-reader.ts';
import type { ResponseHead } from './response-head.ts';
import { isReserved } from './target.ts';
import { Tunnel } from './tunnel.ts';
import type { UpstreamConnection, UpstreamFault } from './upstream-connection.ts';
import type { Route } from './waist.ts';
import { acceptsWebSocket } from './websocket.ts';

/**
 * One request and its response: finds the container, lends a connection to it, and passes both bodies on. The
 * two connections call it as things arrive; it ends exactly once, and then knows neither any more.
 */
export class Exchange {
  readonly request: RequestHead;
  /** Whether the request's body has been read to its end. */
  requestDone: boolean;
  /** The status that the client got; 0 as long as it got none. */
  status = 0;
  readonly #context: Context;
  readonly #client: ClientConnection;
  /** What the container gets, made while the parsed fields were at hand. */
  readonly #forwardHead: string;
  readonly #startMs: number;
  #container: ContainerTraffic | null = null;
  #upstream: UpstreamConnection | null = null;
  #hold: Hold | null = null;
  /** Heads that wait for the first piece of their body, to leave with it in one write. */
  #requestHead = '';
  #responseHead = '';
  #framing: Framing = 'none';
  #keepAlive: boolean;
  #continued = false;
  #bodyBytes = 0;
  #retried = false;
  #lastByteMs = 0;
  /** Bytes of the response's body that were passed on. */
  responseBytes = 0;
  #over = false;

  constructor(context: Context, client: ClientConnection, { request, forwardHead }: Arrived) {
    this.#context = context;
    this.#client = client;
    this.request = request;
    this.requestDone = request.framing === 'none';
    this.#forwardHead = forwardHead;
    this.#keepAlive = request.keepAlive;
    this.#startMs = context.accessLog === null ? 0 : performance.now();
  }

  get id(): string | null {
    return this.#container?.id ?? null;
  }

  get isHeld(): boolean {
    return this.#hold !== null;
  }

  /** Whether the client has a part of the final response. */
  get answered(): boolean {
    return this.status !== 0 && this.#responseHead === '';
  }

  start(): void {
    const { request } = this;
    const route = this.#context.waist.routes.get(request.host);
    const { redirectPort } = this.#client.peer;
    if (isReserved(request.target)) {
      this.#answer(statusAnswer(request, route));
    } else if (route === undefined) {
      this.#answer(noContainer(request));
    } else if (redirectPort !== null) {
      this.#answer(redirectAnswer(request, redirectPort));
    } else {
      this.#container = this.#context.containers.of(this.#context, route.id);
      this.#container.activity.requestOpened(this.#context.ticker.nowMs);
      this.#context.counts.openRequests++;
      if (route.state === 'ready' && route.upstream !== null) this.#send(route.upstream, false);
      else this.#wait(this.#container, route);
    }
  }

  // From the client's connection.

  /** Passes a piece of the request's body on. Returns false when the container does not read fast enough. */
  requestBody(bytes: Buffer, slices: Slices, last: boolean): boolean {
    const upstream = this.#upstream!;
    this.#bodyBytes += slices.bytes;
    this.#noteFromClient(slices.bytes);
    const chunked = this.request.framing === 'chunked';
    const flowing = upstream.writeBody(this.#requestHead, chunked, bytes, slices, last);
    this.#requestHead = '';
    if (last) {
      this.requestDone = true;
      upstream.arm();
    }
    return flowing || last;
  }

  /** Sends the head if it still waits for a body that has not begun to arrive. */
  flushRequest(): void {
    if (this.#requestHead === '' || this.#upstream === null) return;
    const head = this.#requestHead;
    this.#requestHead = '';
    this.#upstream.writeHead(head);
  }

  /** Bytes of the request's body that were passed on. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  /** How long the container has sent nothing. */
  get quietForMs(): number {
    return this.#context.ticker.nowMs - this.#lastByteMs;
  }

  clientDrained(): void {
    this.#lastByteMs = this.#context.ticker.nowMs;
    this.#upstream?.resumeReading();
  }

  /** The client left, or broke off in the middle of its request: the other side is ended too. */
  clientGone(): void {
    this.#dropUpstream();
    this.#end('gone');
  }

  /** The rest of the request is not acceptable. */
  clientFault(refusal: Refusal): void {
    this.#dropUpstream();
    if (this.answered) this.#end('gone');
    else this.#answer(refusalAnswer(refusal, this.request.accept));
  }

  // From the container's connection.

  upstreamDrained(): void {
    this.#client.upstreamDrained();
  }

  interim(response: ResponseHead, head: Head): void {
    // RFC 9110, 15.2: never to an HTTP/1.0 client; a 100 only to a client that waits for it.
    if (this.request.minorVersion === 0) return;
    if (response.status === 100) {
      if (!this.request.expectContinue || this.#continued) return;
      this.#continued = true;
    }
    this.#client.writer.writeHead(forwardInterim(response, head, this.request.host));
  }

  responseHead(response: ResponseHead, head: Head): void {
    this.status = response.status;
    this.#framing = clientFraming(response, this.request);
    if (this.#framing === 'close' || !this.requestDone || this.#context.draining) this.#keepAlive = false;
    this.#responseHead = forwardResponse(response, head, this.request, this.#framing, this.#keepAlive);
  }

  responseBody(bytes: Buffer, slices: Slices, last: boolean): void {
    const chunked = this.#framing === 'chunked';
    const flowing = this.#client.writer.writeBody(this.#responseHead, chunked, bytes, slices, last);
    this.#responseHead = '';
    this.responseBytes += slices.bytes;
    this.#lastByteMs = this.#context.ticker.nowMs;
    if (!flowing && !last) this.#upstream!.pauseReading();
  }

  /** The response is complete, and the connection to the container is no longer ours. */
  responseEnd(): void {
    this.#upstream = null;
    this.#end(this.requestDone && this.#keepAlive ? 'next' : 'close');
  }

  /** Turns both connections into a tunnel, if that is what the client asked for; otherwise null. */
  switchProtocols(response: ResponseHead, head: Head): Tunnel | null {
    const { request } = this;
    if (request.upgrade === null || response.upgrade !== request.upgrade || !response.connection.upgrade)
      return null;
    if (request.webSocketKey !== null && !acceptsWebSocket(head, request.webSocketKey)) return null;
    this.status = 101;
    this.#client.writer.writeHead(forwardSwitch(response, head, request));
    const tunnel = new Tunnel(this.#context, this.#container!, this.#client, this.#upstream!);
    this.#upstream = null;
    this.#client.tunnel = tunnel;
    this.#end('tunnel');
    return tunnel;
  }

  /** The connection to the container is lost; it is detached from us already. */
  upstreamFailed(fault: UpstreamFault): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    if (this.#over || upstream === null) return;
    if (this.answered) {
      this.#end('gone');
      return;
    }
    this.status = 0;
    this.#responseHead = '';
    // An unused connection that the container closed just as we took it: no fault of anybody's. Once a byte of
    // an answer was seen, the request may have had its effect.
    const untouched = fault === 'closed' && upstream.reused && !upstream.heard;
    if (untouched && isRepeatable(this.request) && !this.#retried) {
      this.#retried = true;
      const route = this.#context.waist.routes.get(this.request.host);
      if (route?.upstream && route.id === this.#container!.id) {
        this.#send(route.upstream, true);
        return;
      }
    }
    this.#answer(upstreamAnswer(fault, this.request));
  }

  // From the container's traffic.

  /** The container is going away. */
  containerGone(): void {
    this.#dropUpstream();
    if (this.answered) this.#end('gone');
    else this.#answer(containerGone(this.request));
  }

  holdTimedOut(): void {
    this.#hold?.timedOut();
  }

  #send(upstream: NonNullable<Route['upstream']>, fresh: boolean): void {
    const container = this.#container!;
    const connection = container.acquire(upstream, fresh, isRepeatable(this.request));
    if (connection === null) {
      this.#answer(containerBusy(this.request));
      return;
    }
    this.#upstream = connection;
    this.#noteFromClient(this.#forwardHead.length);
    connection.begin(this);
    if (this.requestDone) {
      connection.writeHead(this.#forwardHead);
    } else {
      this.#requestHead = this.#forwardHead;
      this.#client.takeBody();
    }
  }

  #wait(container: ContainerTraffic, route: Route): void {
    const page = waitingPage(this.request, route, container.wakeProblem);
    if (page !== null) {
      container.wakeInBackground();
      this.#answer(page);
      return;
    }
    this.#hold = new Hold(this.#context, container, this, (outcome) => {
      this.#hold = null;
      this.#client.holdOver();
      if ('answer' in outcome) this.#answer(outcome.answer);
      else this.#send(outcome.upstream, false);
    });
    this.#client.hold(this.#context.limits.holdTimeoutMs);
  }

  #dropUpstream(): void {
    this.#hold?.cancel();
    this.#hold = null;
    const upstream = this.#upstream;
    this.#upstream = null;
    upstream?.detach();
  }

  #answer(answer: Answer): void {
    if (this.#over) return;
    countAnswer(this.#context.ownAnswers, answer);
    const goesOn = this.#keepAlive && this.requestDone && answer.keepAlive && !this.#context.draining;
    this.status = answer.status;
    this.#client.writer.writeAnswer(answer, this.request, goesOn);
    this.#end(goesOn ? 'next' : 'close');
  }

  #noteFromClient(bytes: number): void {
    const { activity } = this.#container!;
    activity.bytesFromClient += bytes;
    activity.lastByteMonoMs = this.#context.ticker.nowMs;
  }

  /** `gone`: the client left, or is cut off so that it cannot take what it has for the whole. */
  #end(outcome: 'next' | 'close' | 'gone' | 'tunnel'): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#container !== null) {
      this.#container.activity.requestClosed();
      this.#context.counts.openRequests--;
    }
    this.#context.accessLog?.note(this, this.#client, this.#startMs);
    this.#client.exchangeOver(outcome);
  }
}

/** Whether a request may be sent twice: an idempotent method (RFC 9110, 9.2.2), and no body that is used up. */
function isRepeatable({ method, framing }: RequestHead): boolean {
  if (framing !== 'none') return false;
  return (
    method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'PUT' || method === 'DELETE'
  );
}

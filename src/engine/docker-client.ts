import { Agent, IncomingMessage } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import Docker, { type DockerOptions } from 'dockerode';
import { abortError, untilAborted } from './abort.ts';
import type { DockerConnection } from './docker-connection.ts';
import { fromResponse, fromTransport } from './docker-errors.ts';
import { createArraySplitter } from './json-array.ts';

export interface DockerRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** What is undefined is left out. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: object;
  /** Completes "Docker could not ..." in an error. */
  readonly doing: string;
}

/** Calls to the Docker Engine API. Each ends when its signal fires and fails with EngineError. */
export interface DockerClient {
  /** Head and whole body; the body as text. */
  send(request: DockerRequest, signal: AbortSignal): Promise<{ headers: Headers; body: string }>;
  /** The body as JSON. */
  json<T>(request: DockerRequest, signal: AbortSignal): Promise<T>;
  /** The body as a JSON array; each element is read by `read` as soon as it has come. */
  jsonArray<T>(request: DockerRequest, read: (element: unknown) => T, signal: AbortSignal): Promise<T[]>;
  /**
   * Calls `onChunk` with each piece of the body as it comes, after `onOpen`. Resolves when the body is complete;
   * rejects where it was cut off.
   */
  stream(request: DockerRequest, on: StreamHandlers, signal: AbortSignal): Promise<void>;
  /** Turns the connection into one for bytes in both directions; from then on it is the caller's to close. */
  hijack(request: DockerRequest, signal: AbortSignal): Promise<Duplex>;
}

export type Headers = IncomingMessage['headers'];

export interface StreamHandlers {
  readonly onOpen?: (headers: Headers) => void;
  /** Where it gives a promise, the next piece waits for that. */
  readonly onChunk: (chunk: Buffer) => Promise<void> | void;
}

/**
 * dockerode's connection handling (sockets, TLS, unversioned paths, which every engine from 20.10 on takes)
 * under our own reading of responses. Its calls that read the body themselves never end when the engine goes
 * away in the middle of it, and say nothing of the status; as streams, both are in our hands.
 */
export function createDockerClient(connection: DockerConnection): DockerClient {
  const options: DockerOptions & { agent: Agent } = { ...connection.options, agent: agentFor(connection) };
  const docker = new Docker(options);
  const { place } = connection;

  const open = (request: DockerRequest, signal: AbortSignal, hijack = false) =>
    new Promise<IncomingMessage | Duplex>((resolve, reject) => {
      const dial = {
        // The modem takes a query only where the path ends with a question mark.
        path: `${request.path}?`,
        method: request.method,
        options: { _query: withoutUndefined(request.query ?? {}), _body: request.body ?? {} },
        isStream: true,
        hijack,
        statusCodes: everyStatus,
        abortSignal: signal,
      };
      docker.modem.dial(dial, (error, response) => {
        if (error) reject(fromTransport(error, place));
        else resolve(response as IncomingMessage | Duplex);
      });
    });

  const run = async (request: DockerRequest, on: StreamHandlers, signal: AbortSignal): Promise<Headers> => {
    if (signal.aborted) throw abortError(signal);
    const response = (await open(request, signal)) as IncomingMessage;
    if (isSuccess(response)) {
      on.onOpen?.(response.headers);
      await readBody(response, on.onChunk, signal, place);
      return response.headers;
    }
    throw await refusalOf(request, response, signal);
  };

  const refusalOf = async (request: DockerRequest, response: IncomingMessage, signal: AbortSignal) => {
    const chunks: Buffer[] = [];
    await readBody(response, (chunk) => void chunks.push(chunk), signal, place);
    return fromResponse(request.doing, response.statusCode ?? 0, messageOf(Buffer.concat(chunks).toString()));
  };

  const connect = async (request: DockerRequest, signal: AbortSignal): Promise<Duplex> => {
    if (signal.aborted) throw abortError(signal);
    const answer = await open(request, signal, true);
    // Only what the engine refuses comes as a response.
    if (!(answer instanceof IncomingMessage)) return answer;
    if (!isSuccess(answer)) throw await refusalOf(request, answer, signal);
    answer.destroy();
    throw fromTransport(new Error('what is between it and the service passes no upgrades on'), place);
  };

  const send: DockerClient['send'] = async (request, signal) => {
    const chunks: Buffer[] = [];
    const headers = await untilAborted(
      signal,
      run(request, { onChunk: (chunk) => void chunks.push(chunk) }, signal),
    );
    return { headers, body: Buffer.concat(chunks).toString() };
  };

  const stream: DockerClient['stream'] = async (request, on, signal) => {
    await untilAborted(signal, run(request, on, signal));
  };

  return {
    send,
    async json<T>(request: DockerRequest, signal: AbortSignal) {
      const { body } = await send(request, signal);
      try {
        return JSON.parse(body) as T;
      } catch (cause) {
        throw fromTransport(cause, place);
      }
    },
    async jsonArray<T>(request: DockerRequest, read: (element: unknown) => T, signal: AbortSignal) {
      const splitter = createArraySplitter();
      const all: T[] = [];
      const onChunk = (chunk: Buffer) => {
        for (const element of splitter.push(chunk)) all.push(read(JSON.parse(element)));
      };
      await stream(request, { onChunk }, signal);
      try {
        splitter.end();
      } catch (cause) {
        throw fromTransport(cause, place);
      }
      return all;
    },
    stream,
    hijack: (request, signal) => untilAborted(signal, connect(request, signal)),
  };
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return (statusCode >= 200 && statusCode < 300) || statusCode === 304;
}

/**
 * A connection for each call: one that was kept open can have been closed by a restart of the engine, and the
 * next call over it fails (EPIPE) although the engine is back. To connect costs a tenth of a millisecond.
 */
function agentFor({ options }: DockerConnection): Agent {
  const agent = new (options.protocol === 'https' ? TlsAgent : Agent)({ keepAlive: false });
  // The modem formats its options for a debug message with every call; an agent with its sockets would take it
  // milliseconds.
  return Object.assign(agent, { [inspect.custom]: () => 'Agent' });
}

/** Ends with the response, an error in the middle of it, or the signal; the connection is closed by the last two. */
function readBody(
  response: IncomingMessage,
  onChunk: StreamHandlers['onChunk'],
  signal: AbortSignal,
  place: string,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const end = (error?: unknown) => {
      signal.removeEventListener('abort', onAbort);
      if (!error) {
        resolve();
      } else {
        reject(error);
        response.destroy();
      }
    };
    const onAbort = () => end(abortError(signal));
    response.on('data', (chunk: Buffer) => {
      try {
        const done = onChunk(chunk);
        if (!done) return;
        response.pause();
        done.then(() => response.resume(), end);
      } catch (cause) {
        // What is no JSON came over a broken connection; other errors are the reader's own.
        end(cause instanceof SyntaxError ? fromTransport(cause, place) : cause);
      }
    });
    response.on('end', () => end());
    response.on('error', (cause) => end(fromTransport(cause, place)));
    response.on('close', () => {
      if (!response.readableEnded) end(fromTransport(new Error('the response was cut off'), place));
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** The modem would wrap what it does not list into errors of its own. */
const everyStatus = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [100 + i, true]));

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string') return message.trim();
  } catch {
    // A proxy before the engine answers in its own words.
  }
  return body.trim().slice(0, 500);
}

function withoutUndefined(query: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A call that the scripted engine got. */
export interface ScriptedCall {
  /** Method and path without the query, for example `POST /containers/create`. */
  readonly call: string;
  readonly query: URLSearchParams;
  /** JSON, or null where there was no body. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export type Answer = (response: ServerResponse, call: ScriptedCall) => void;

/**
 * Speaks the part of the Docker Engine API that the engine uses, on a socket of its own, and lies, delays and
 * breaks off as a test tells it. A call without an answer in `answers` hangs for ever.
 */
export interface ScriptedDocker {
  readonly env: { readonly DOCKER_HOST: string };
  /** By method and path, for example `GET /events`. */
  readonly answers: Map<string, Answer>;
  readonly calls: readonly ScriptedCall[];
  /** Connections on which a call waits for the rest of its answer. */
  readonly open: () => number;
  /** Closes every connection and listens again, as an engine that is restarted. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startScriptedDocker(): Promise<ScriptedDocker> {
  const directory = mkdtempSync(join(tmpdir(), 'scripted-docker-'));
  const socketPath = join(directory, 'docker.sock');
  const answers = new Map<string, Answer>();
  const calls: ScriptedCall[] = [];
  let open = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    open++;
    response.once('close', () => open--);
    const call = await read(request);
    calls.push(call);
    answers.get(call.call)?.(response, call);
  };
  const listen = async () => {
    const server = createServer(answer).listen(socketPath);
    await once(server, 'listening');
    return server;
  };
  const end = async (server: Server) => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  let server = await listen();
  return {
    env: { DOCKER_HOST: `unix://${socketPath}` },
    answers,
    calls,
    open: () => open,
    async restart() {
      await end(server);
      server = await listen();
    },
    async close() {
      await end(server);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function json(status: number, body: unknown): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
}

/** One answer after the other; the last one again and again. */
export function inTurn(...turns: Answer[]): Answer {
  return (response, call) => {
    const turn = turns.length > 1 ? turns.shift()! : turns[0]!;
    turn(response, call);
  };
}

/** Sends these pieces, then breaks the connection. */
export function cutOff(...pieces: (string | Buffer)[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const piece of pieces) response.write(piece);
    response.write('', () => setImmediate(() => response.destroy()));
  };
}

async function read(request: IncomingMessage): Promise<ScriptedCall> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const url = new URL(request.url ?? '/', 'http://docker');
  const text = Buffer.concat(chunks).toString();
  return {
    call: `${request.method} ${url.pathname}`,
    query: url.searchParams,
    body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>),
  };
}

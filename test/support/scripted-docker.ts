import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

/** A call that the scripted engine got. */
export interface ScriptedCall {
  /** Method and path without the query, for example `POST /containers/create`. */
  readonly call: string;
  readonly query: URLSearchParams;
  /** JSON, or null where there was no body. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

/** What happens on a connection that was turned into one for bytes, after the engine's 101. */
export type Upgraded = (connection: Duplex, call: ScriptedCall) => void;

export type Answer = (response: ServerResponse, call: ScriptedCall) => void;

/**
 * Speaks the part of the Docker Engine API that the engine uses, on a socket of its own, and lies, delays and
 * breaks off as a test tells it. A call without an answer in `answers` hangs for ever.
 */
export interface ScriptedDocker {
  readonly env: { readonly DOCKER_HOST: string };
  /** By method and path, for example `GET /events`. */
  readonly answers: Map<string, Answer>;
  /** The same for calls that ask for an upgrade and get it. */
  readonly upgrades: Map<string, Upgraded>;
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
  const upgrades = new Map<string, Upgraded>();
  const upgraded = new Set<Duplex>();
  const calls: ScriptedCall[] = [];
  let open = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    open++;
    response.once('close', () => open--);
    const call = await read(request);
    calls.push(call);
    answers.get(call.call)?.(response, call);
  };
  const upgrade = async (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    open++;
    upgraded.add(connection);
    connection.once('close', () => {
      open--;
      upgraded.delete(connection);
    });
    connection.on('error', () => {});
    connection.unshift(head);
    const call = scriptedCall(request, await take(connection, Number(request.headers['content-length'])));
    calls.push(call);
    connection.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    upgrades.get(call.call)?.(connection, call);
  };
  const listen = async () => {
    const server = createServer(
      { shouldUpgradeCallback: (request) => upgrades.has(callOf(request)) },
      answer,
    );
    server.on('upgrade', upgrade).listen(socketPath);
    await once(server, 'listening');
    return server;
  };
  const end = async (server: Server) => {
    server.close();
    server.closeAllConnections();
    for (const connection of upgraded) connection.destroy();
    await once(server, 'close');
  };
  let server = await listen();
  return {
    env: { DOCKER_HOST: `unix://${socketPath}` },
    answers,
    upgrades,
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
  return scriptedCall(request, Buffer.concat(chunks));
}

function scriptedCall(request: IncomingMessage, body: Buffer): ScriptedCall {
  return {
    call: callOf(request),
    query: urlOf(request).searchParams,
    body: body.length === 0 ? null : (JSON.parse(body.toString()) as Record<string, unknown>),
  };
}

function callOf(request: IncomingMessage): string {
  return `${request.method} ${urlOf(request).pathname}`;
}

function urlOf({ url }: IncomingMessage): URL {
  return new URL(url ?? '/', 'http://docker');
}

/** The next bytes of a connection; what comes after them stays in it. */
async function take(connection: Duplex, bytes: number): Promise<Buffer> {
  for (;;) {
    const taken: Buffer | null = connection.read(bytes);
    if (taken) return taken;
    await once(connection, 'readable');
  }
}

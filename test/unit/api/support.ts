import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { OriginalCommands } from '../../../src/api/original.ts';
import { type Api, type ApiOptions, createApi } from '../../../src/api/server.ts';
import { systemClock } from '../../../src/core/clock.ts';
import type { Commands } from '../../../src/core/commands.ts';
import type { Container } from '../../../src/core/container.ts';
import { SpawnerError } from '../../../src/core/errors.ts';
import { createRateLimit } from '../../../src/core/rate-limit.ts';
import type { Views } from '../../../src/core/views.ts';
import { memoryTokens } from '../../support/memory-tokens.ts';

export const someId = '0123456789abcdef0123456789abcdef';

/** Commands that note every call; a test puts its own behaviour in the place of one. */
export class RecordedCommands implements OriginalCommands {
  readonly calls: unknown[][] = [];
  onSpawn: () => Promise<Container> = async () => containerOf(someId, 'web');
  onStop: (id: string) => Promise<void> = async (id) => {
    if (id !== someId) throw new SpawnerError('unknown_container', `There is no container ${id}`);
  };
  onNewestOf: (user: string) => Container | undefined = () => containerOf(someId, 'web');

  spawn(request: { imageKey: string; user: string | null }): Promise<Container> {
    this.calls.push(['spawn', request.imageKey, request.user]);
    return this.onSpawn();
  }

  stop(id: string): Promise<void> {
    this.calls.push(['stop', id]);
    return this.onStop(id);
  }

  get(id: string): Container | undefined {
    return id === someId ? containerOf(id, 'web') : undefined;
  }

  newestOf(user: string): Container | undefined {
    this.calls.push(['newestOf', user]);
    return this.onNewestOf(user);
  }
}

/** Lines as a test's log keeps them. */
export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
}

export interface RunningApi {
  readonly api: Api;
  readonly commands: RecordedCommands;
  readonly log: LogLine[];
  readonly port: number;
  readonly host: string;
  readonly url: string;
}

/** An API on a free port of 127.0.0.1, closed when the test ends. */
export async function startApi(options: Partial<ApiOptions> = {}): Promise<RunningApi> {
  const made = makeApi(options);
  const { port } = await made.api.listen({ host: '127.0.0.1', port: 0 });
  return { ...made, port, host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}` };
}

/** An API that does not listen yet, closed when the test ends. */
export function makeApi(options: Partial<ApiOptions> = {}): Pick<RunningApi, 'api' | 'commands' | 'log'> {
  const commands = new RecordedCommands();
  const log: LogLine[] = [];
  const write = (level: string) => (fields: object) => {
    log.push({ level, fields: { ...fields } });
  };
  const api = createApi({
    // What the calls of the original do not ask for is in test/unit/api/v1.
    commands: commands as unknown as Commands,
    views: {} as Views,
    withUsers: true,
    userLimit: 1,
    engineName: 'memory',
    urlOf: (id) => `http://${id}.example.test`,
    tokens: memoryTokens(),
    rateLimit: createRateLimit(systemClock, 0),
    origins: [],
    hosts: [],
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    ...options,
  });
  onTestFinished(() => api.close(0));
  return { api, commands, log };
}

export function containerOf(id: string, imageKey: string): Container {
  const container: Pick<Container, 'id' | 'imageKey'> = { id, imageKey };
  return container as Container;
}

/** Posts a form body of the given type; a string is x-www-form-urlencoded as it stands. */
export function post(url: string, body: string | Buffer | FormData, headers: Record<string, string> = {}) {
  const type = typeof body === 'string' ? { 'content-type': 'application/x-www-form-urlencoded' } : undefined;
  return fetch(url, {
    method: 'POST',
    body: typeof body === 'string' || body instanceof FormData ? body : new Uint8Array(body),
    headers: { ...type, ...headers },
  });
}

export interface Dialled extends Socket {
  /** What came so far. */
  readonly received: () => string;
  /** Resolves when the connection is closed, in whatever way. */
  readonly ended: Promise<void>;
}

/** A connection for bytes that no HTTP client would send. */
export async function dial(port: number): Promise<Dialled> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  // A reset is one of the ways in which a refused connection may end; `received` tells what came before.
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  await once(socket, 'connect');
  return Object.assign(socket, { received: () => text, ended });
}

/** Sends bytes on a connection of their own, and resolves to everything that came until it was closed. */
export async function exchange(port: number, bytes: string | Buffer): Promise<string> {
  const socket = await dial(port);
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  await socket.ended;
  return socket.received();
}

/** The head of a request that closes its connection, with these lines in it. */
export function headOf(requestLine: string, ...lines: string[]): string {
  return `${[`${requestLine} HTTP/1.1`, ...lines, 'Connection: close'].join('\r\n')}\r\n\r\n`;
}

export function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1]);
}

export function bodyOf(response: string): string {
  return response.slice(response.indexOf('\r\n\r\n') + 4);
}

export const spawnBody = 'container_id=web&user_id=bob';
export const formType = 'Content-Type: application/x-www-form-urlencoded';

/** A spawn that ends when the test says so. */
export function heldSpawn() {
  return Promise.withResolvers<Container>();
}

/** A whole spawn request that keeps its connection. */
export function spawnRequest(host: string, ...lines: string[]): string {
  const head = ['POST /spawn HTTP/1.1', `Host: ${host}`, formType, `Content-Length: ${spawnBody.length}`];
  return `${[...head, ...lines].join('\r\n')}\r\n\r\n${spawnBody}`;
}

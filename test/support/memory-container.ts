import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Specification } from '../../src/core/container.ts';
import {
  type ContainerStats,
  type EngineContainer,
  EngineError,
  type EngineState,
  type ExecResult,
  type LogQuery,
} from '../../src/core/engine.ts';
import type { MemoryExec } from './memory-machine.ts';

/**
 * What containers of an image do once started:
 * - `serve`: answer every request, by `handler` where there is one, else 200 and JSON of what was asked
 * - `refuse`: accept connections and close them, as Docker's port forwarder does while nothing listens
 * - `silent`: accept requests and never answer
 * - `exit`: end with `exitCode` (1)
 * - `idle`: run without opening its port at all: cheap, for thousands of them
 */
export interface MemoryImage {
  readonly does: 'serve' | 'refuse' | 'silent' | 'exit' | 'idle';
  readonly handler?: (request: IncomingMessage, response: ServerResponse) => void;
  readonly exitCode?: number;
  /** What it writes when it starts. */
  readonly output?: readonly string[];
  /** What comes of a command that is run inside; without it: exit code 0 and no output. */
  readonly exec?: (exec: MemoryExec) => ExecResult | Promise<ExecResult>;
}

/** A container on the machine, as seen by tests; only the machine writes to it. */
export interface MemoryContainer {
  readonly ref: string;
  readonly name: string;
  /** As listed: what it was created from, or an image id where that name now means another image. */
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly specification: Specification;
  readonly output: readonly string[];
  /** What it says that it uses. */
  readonly stats: ContainerStats;
  readonly state: EngineState;
  readonly exit: EngineContainer['exit'];
}

/** The same as its machine holds it. */
export interface Held extends MemoryContainer {
  name: string;
  image: string;
  state: EngineState;
  exit: EngineContainer['exit'];
  readonly output: string[];
  stats: ContainerStats;
  /** Called when it has written something, and when it has ended. */
  readonly readers: Set<() => void>;
  server: Server | null;
  /** Requests that came while it was paused. */
  readonly frozen: (() => void)[];
}

export const noUse: ContainerStats = {
  cpuMs: 0,
  memoryBytes: 0,
  memoryLimitBytes: null,
  receivedBytes: 0,
  sentBytes: 0,
  pids: 1,
};

/** Gives what it has written, and will write. Lines have no times here: `sinceMs` is what the real engine is for. */
export async function readLogs(
  container: Held,
  { tailLines, follow }: LogQuery,
  onText: (text: string) => Promise<void> | void,
  signal: AbortSignal,
): Promise<void> {
  let next = tailLines === null ? 0 : Math.max(0, container.output.length - tailLines);
  for (;;) {
    while (next < container.output.length) await onText(container.output[next++]!);
    if (!follow || signal.aborted || container.state === 'exited') return;
    const { promise: more, resolve } = Promise.withResolvers<void>();
    container.readers.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await more;
    container.readers.delete(resolve);
  }
}

/** Binds the host port; fails with `port_taken`. */
export async function open(container: Held, image: MemoryImage): Promise<void> {
  if (image.does === 'idle') return;
  const { hostPort } = container.specification.ports[0]!;
  const server = createServer((request, response) => {
    const answer = () => respond(container, image, request, response);
    if (container.state === 'paused') container.frozen.push(answer);
    else answer();
  });
  if (image.does === 'refuse') server.on('connection', (socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new EngineError('port_taken', `Host port ${hostPort} is taken`, { hostPort, cause })),
    );
    server.listen(hostPort, '127.0.0.1', resolve);
  });
  container.server = server;
}

function respond(
  container: Held,
  image: MemoryImage,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (image.does !== 'serve') return;
  if (image.handler) {
    image.handler(request, response);
    return;
  }
  const { method, url, headers } = request;
  const { id, spec } = container.specification;
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({ id, ref: container.ref, environment: spec.environment, method, url, headers }),
  );
}

/** Closes the host port and every connection to it; resolves once that is so, for every caller. */
export function close(container: Held): Promise<void> {
  const { server } = container;
  if (!server) return Promise.resolve();
  container.frozen.length = 0;
  return new Promise<void>((resolve) => {
    // An error says that it is closed already.
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { createProxy, type ProxyOptions, type ProxyStats } from '../../../../src/proxy/proxy.ts';
import type { ActivityDelta, Route } from '../../../../src/proxy/waist.ts';
import { eventually } from '../../../support/eventually.ts';

/** A container on a raw socket: what it says is the test's to write. */
export interface RawContainer {
  readonly port: number;
  /** Connections, in the order in which they came; closed ones stay in the list. */
  readonly sockets: Socket[];
  /** All bytes that came, over all connections, as latin1. */
  received(): string;
  open(): number;
}

/** Starts a container; `onText` is called with each connection's collected text whenever more has come. */
export async function rawContainer(onText: (socket: Socket, text: string) => void): Promise<RawContainer> {
  const sockets: Socket[] = [];
  const texts: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const place = sockets.push(socket) - 1;
    texts[place] = '';
    socket.on('data', (chunk) => {
      texts[place] += chunk.toString('latin1');
      onText(socket, texts[place]!);
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
  });
  const port = await listen(server);
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port,
    sockets,
    received: () => texts.join(''),
    open: () => sockets.filter((socket) => !socket.destroyed).length,
  };
}

/** A container that gives the same answer to each complete head, however many come on a connection. */
export function answering(response: string | ((index: number) => string)): Promise<RawContainer> {
  const answered = new WeakMap<Socket, number>();
  return rawContainer((socket, text) => {
    const heads = text.split('\r\n\r\n').length - 1;
    for (let index = answered.get(socket) ?? 0; index < heads; index++) {
      answered.set(socket, index + 1);
      socket.write(typeof response === 'string' ? response : response(index), 'latin1');
    }
  });
}

export const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A client on a raw socket. */
export interface RawClient {
  readonly socket: Socket;
  send(text: string | Buffer): RawClient;
  /** Everything that came so far, as latin1. */
  text(): string;
  /** Waits until the text holds the pattern; returns the text. */
  sees(pattern: string | RegExp): Promise<string>;
  /** Waits until the connection is closed or reset. */
  closed(): Promise<'end' | 'reset'>;
}

export async function rawClient(port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  let text = '';
  let state: 'open' | 'end' | 'reset' = 'open';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('end', () => {
    if (state === 'open') state = 'end';
  });
  socket.on('error', () => {
    state = 'reset';
  });
  socket.on('close', () => {
    if (state === 'open') state = 'end';
  });
  onTestFinished(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  const client: RawClient = {
    socket,
    send(data) {
      socket.write(data, 'latin1');
      return client;
    },
    text: () => text,
    sees: (pattern) =>
      eventually(() => {
        const found = typeof pattern === 'string' ? text.includes(pattern) : pattern.test(text);
        if (!found)
          throw new Error(`not seen: ${pattern}; but: ${JSON.stringify(text.slice(0, 2000))} (${state})`);
        return text;
      }, 5000),
    closed: () =>
      eventually(() => {
        if (state === 'open') throw new Error(`still open; seen: ${JSON.stringify(text.slice(0, 2000))}`);
        return state;
      }, 5000),
  };
  return client;
}

export interface Rig {
  readonly port: number;
  readonly proxy: ReturnType<typeof createProxy>;
  readonly notes: { id: string; delta: ActivityDelta }[];
  /** What was logged as an error of the proxy's own; must stay empty. */
  readonly errors: unknown[];
  /** Adds or replaces a ready route. */
  route(host: string, port: number, id?: string): void;
  wait(host: string, phase?: string, id?: string): void;
  unroute(host: string): void;
  /** Replaces what happens on a wake. */
  onWake(wake: (id: string, signal: AbortSignal) => Promise<Route>): void;
  client(): Promise<RawClient>;
  /** Sends one request on a new connection and gives everything until the end. */
  ask(request: string): Promise<string>;
  /** Waits until nothing is open any more but this many client connections. */
  settled(): Promise<ProxyStats>;
}

/** A proxy with a table of routes of its own, short ticks, and the host `c.test` left to the test. */
export async function rig(options: Partial<ProxyOptions> & { listen?: object } = {}): Promise<Rig> {
  const routes = new Map<string, Route>();
  const notes: Rig['notes'] = [];
  const errors: unknown[] = [];
  let wake = (_id: string, _signal: AbortSignal): Promise<Route> =>
    Promise.reject(new Error('no wake expected'));
  const proxy = createProxy({
    tickMs: 10,
    log: {
      warn: () => {},
      error: (fields, message) => errors.push({ fields, message }),
    },
    waist: {
      routes: {
        get version() {
          return routes.size;
        },
        get: (host) => routes.get(host),
      },
      noteActivity: (id, delta) => notes.push({ id, delta }),
      wake: (id, signal) => wake(id, signal),
    },
    ...options,
  });
  const { port } = await proxy.listen({ host: '127.0.0.1', port: 0, ...options.listen });
  onTestFinished(async () => {
    await proxy.drain(0);
    if (errors.length > 0)
      throw new Error(
        `the proxy failed within: ${JSON.stringify(errors)} ${String((errors[0] as { fields: { err: Error } }).fields.err?.stack)}`,
      );
  });
  const self: Rig = {
    port,
    proxy,
    notes,
    errors,
    route(host, containerPort, id = host) {
      routes.set(host, readyRoute(host, containerPort, id));
    },
    wait(host, phase = 'starting', id = host) {
      routes.set(host, { id, host, state: 'waiting', upstream: null, phase });
    },
    unroute: (host) => routes.delete(host),
    onWake(next) {
      wake = next;
    },
    client: () => rawClient(port),
    async ask(request) {
      const client = await rawClient(port);
      client.send(request);
      await client.closed();
      client.socket.destroy();
      return client.text();
    },
    settled: () =>
      eventually(() => {
        const stats = proxy.stats();
        const { upstreamConnections: _, ...rest } = stats;
        if (Object.values(rest).some((count) => count !== 0))
          throw new Error(`still open: ${JSON.stringify(stats)}`);
        return stats;
      }, 5000),
  };
  return self;
}

export function readyRoute(host: string, port: number, id = host): Route {
  return { id, host, state: 'ready', upstream: { address: '127.0.0.1', port }, phase: 'ready' };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

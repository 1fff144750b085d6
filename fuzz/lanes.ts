import { once } from 'node:events';
import type { Server } from 'node:http';
import {
  type AddressInfo,
  connect,
  createServer as createRawServer,
  type Server as RawServer,
  type Socket,
} from 'node:net';
import { type OwnProxy, type Peer, type PeerRoute, startOwn, startPeer } from '../bench/proxy/peers.ts';
import { nodeServer } from './node-parser.ts';
import type { Message } from './own-parser.ts';

/** The proxies side by side, each with a container of its own on every lane: cases on different lanes do not meet. */
export interface Proxies {
  readonly lanes: readonly Lane[];
  /** Peers that are not there, and why. */
  readonly notes: readonly string[];
  /** Errors of our proxy's own. */
  errors(): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface Lane {
  readonly host: string;
  readonly ways: readonly Way[];
}

/** One proxy, with the container behind it on one lane. */
export interface Way {
  readonly proxy: string;
  readonly port: number;
  readonly container: RecordingContainer;
}

/** Names that no small damage turns into another. */
const laneNames = [
  'amber',
  'birch',
  'cobalt',
  'delta',
  'ember',
  'fjord',
  'grove',
  'helix',
  'indigo',
  'juniper',
  'krypton',
  'lotus',
];

export async function startProxies(): Promise<Proxies> {
  const containersOf = async () => Promise.all(laneNames.map(() => RecordingContainer.start()));
  const hosts = laneNames.map((name) => `${name}.test`);
  const routesTo = (containers: readonly RecordingContainer[]): PeerRoute[] =>
    containers.map(({ port }, i) => ({ host: hosts[i]!, port }));

  const own: OwnProxy = await startOwn(null, { limits: { lingerMs: 200 } });
  const ownContainers = await containersOf();
  await own.helper.ask({
    do: 'add',
    routes: routesTo(ownContainers).map(({ host, port }) => ({ host, id: host, port })),
  });
  const running: { peer: Peer; containers: readonly RecordingContainer[] }[] = [
    { peer: own, containers: ownContainers },
  ];
  const notes: string[] = [];
  for (const name of ['nginx', 'HAProxy'] as const) {
    const containers = await containersOf();
    const peer = await startPeer(name, routesTo(containers));
    if (typeof peer === 'string') notes.push(`${name} is left out: ${peer}`);
    else running.push({ peer, containers });
  }
  return {
    lanes: hosts.map((host, lane) => ({
      host,
      ways: running.map(({ peer, containers }) => ({
        proxy: peer.name,
        port: peer.port,
        container: containers[lane]!,
      })),
    })),
    notes,
    errors: async () => (await own.helper.ask<{ errors: string[] }>({ do: 'state' })).errors,
    async close() {
      await Promise.all(running.map(({ peer }) => peer.stop()));
      for (const { containers } of running) for (const container of containers) container.close();
    },
  };
}

/**
 * A container that notes which requests reach it, as Node's parser reads them, and answers each; or, once it
 * is told what to say, says that to whatever comes and ends the connection.
 */
export class RecordingContainer {
  readonly port: number;
  messages: Message[] = [];
  /** Errors of the parser: bytes that reached the container and were no request. */
  refusals: string[] = [];
  lastMs = 0;
  script: Buffer | null = null;
  readonly #raw: RawServer;
  readonly #sockets = new Set<Socket>();

  static async start(): Promise<RecordingContainer> {
    const raw = createRawServer({ allowHalfOpen: true, noDelay: true });
    raw.listen(0, '127.0.0.1', 1024);
    await once(raw, 'listening');
    return new RecordingContainer(raw);
  }

  constructor(raw: RawServer) {
    this.#raw = raw;
    this.port = (raw.address() as AddressInfo).port;
    const server: Server = nodeServer((message) => {
      this.messages.push(message);
      this.lastMs = performance.now();
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // A proxy that closes a connection that it keeps is no mistake.
      if (error.code !== 'ECONNRESET') this.refusals.push(error.code ?? error.message);
      socket.destroy();
    });
    raw.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
      if (this.script === null) server.emit('connection', socket);
      else this.#say(socket, this.script);
    });
  }

  reset(script: Buffer | null = null): void {
    this.messages = [];
    this.refusals = [];
    this.script = script;
    // Kept connections would carry a case's leftovers into the next.
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#raw.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #say(socket: Socket, script: Buffer): void {
    let text = '';
    let said = false;
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (said || !text.includes('\r\n\r\n')) return;
      said = true;
      socket.end(script);
    });
    socket.on('end', () => socket.end());
  }
}

const lookMs = 10;

/**
 * Sends bytes through a proxy on a connection of its own and gives what came back, once the connection is
 * closed, or nothing has come for `quietMs` on either side.
 */
export async function sendThrough(way: Way, bytes: Buffer, quietMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const socket = connect({ port: way.port, host: '127.0.0.1', noDelay: true });
  let lastMs = performance.now();
  let open = true;
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  void closed.then(() => {
    open = false;
  });
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    lastMs = performance.now();
  });
  socket.on('error', () => {});
  socket.write(bytes);
  // Looks are counted, since a look after a pause of this process says nothing about the others.
  for (let quietLooks = 0; open && quietLooks * lookMs < quietMs; ) {
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, lookMs))]);
    const quiet = performance.now() - Math.max(lastMs, way.container.lastMs) >= lookMs;
    quietLooks = quiet ? quietLooks + 1 : 0;
  }
  socket.destroy();
  return Buffer.concat(chunks);
}

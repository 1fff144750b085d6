import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A socket that leads to the real engine until a test cuts it: so an engine can be away, hang and come back
 * without the real one, which others use, being touched.
 */
export interface EngineRelay extends AsyncDisposable {
  /** The environment of a service that is to use the relay. */
  readonly env: { readonly DOCKER_HOST: string };
  /** The engine goes away: its connections break, and nobody listens. */
  cut(): Promise<void>;
  /** The engine hangs: connections, old and new ones, stand and carry nothing. */
  silence(): void;
  /**
   * Keeps back the next request that begins so. `arrived` resolves when it is there; `release` lets the engine
   * have it, whether or not its sender still lives.
   */
  hold(begins: RegExp): { readonly arrived: Promise<void>; release(): void };
  /** The engine is back. Connections that hung break, as they do when an engine is started again. */
  restore(): Promise<void>;
}

export async function startEngineRelay(): Promise<EngineRelay> {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-relay-'));
  const path = join(home, 'engine.sock');
  const sockets = new Set<Socket>();
  let server: Server | null = null;
  let silent = false;
  let hold: Hold | null = null;

  async function listen(): Promise<void> {
    server = createServer({ allowHalfOpen: true }, (client) => {
      track(client);
      if (silent) client.pause();
      else couple(client, track(connect({ path: enginePath(), allowHalfOpen: true })), takeHold);
    });
    server.listen(path);
    await once(server, 'listening');
  }

  function track(socket: Socket): Socket {
    sockets.add(socket);
    return socket.on('close', () => sockets.delete(socket));
  }

  /** The hold that is for this request: once, for the first that fits. */
  function takeHold(bytes: Buffer): Hold | null {
    const fits = hold?.begins.test(bytes.toString('latin1', 0, 200)) ? hold : null;
    if (fits) hold = null;
    return fits;
  }

  function breakAll(): void {
    for (const socket of sockets) socket.destroy();
  }

  async function cut(): Promise<void> {
    const closing = server;
    server = null;
    const closed = closing && once(closing, 'close');
    closing?.close();
    breakAll();
    await closed;
  }

  await listen();
  return {
    env: { DOCKER_HOST: `unix://${path}` },
    cut,
    silence() {
      silent = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    hold(begins) {
      const arrived = Promise.withResolvers<void>();
      const own: Hold = { begins, arrive: arrived.resolve, release: () => {} };
      hold = own;
      return { arrived: arrived.promise, release: () => own.release() };
    },
    async restore() {
      silent = false;
      breakAll();
      if (server === null) await listen();
    },
    async [Symbol.asyncDispose]() {
      await cut();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

interface Hold {
  readonly begins: RegExp;
  readonly arrive: () => void;
  /** Set once a request is held. */
  release: () => void;
}

/**
 * Each end's end is passed on, and each end's breaking breaks the other. Not so for a request that was held: an
 * engine drops what it has begun when its caller hangs up, and a held one is to be carried out.
 */
function couple(client: Socket, engine: Socket, takeHold: (bytes: Buffer) => Hold | null): void {
  let wasHeld = false;
  client.on('data', (bytes) => {
    const hold = takeHold(bytes);
    if (!hold) {
      engine.write(bytes);
      return;
    }
    wasHeld = true;
    client.pause();
    hold.release = () => {
      engine.write(bytes);
      engine.once('data', () => client.readableEnded && engine.destroy());
      client.resume();
    };
    hold.arrive();
  });
  client.on('end', () => wasHeld || engine.end());
  client.on('close', () => wasHeld || engine.destroy());
  engine.pipe(client);
  engine.on('close', () => client.destroy());
  for (const socket of [client, engine]) socket.on('error', () => {});
}

function enginePath(): string {
  return (process.env.DOCKER_HOST || 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
}

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
  /** The engine is back. Connections that hung break, as they do when an engine is started again. */
  restore(): Promise<void>;
}

export async function startEngineRelay(): Promise<EngineRelay> {
  const home = mkdtempSync(join(tmpdir(), 'docker-spawner-relay-'));
  const path = join(home, 'engine.sock');
  const sockets = new Set<Socket>();
  let server: Server | null = null;
  let silent = false;

  async function listen(): Promise<void> {
    server = createServer({ allowHalfOpen: true }, (client) => {
      track(client);
      if (silent) client.pause();
      else couple(client, track(connect({ path: enginePath(), allowHalfOpen: true })));
    });
    server.listen(path);
    await once(server, 'listening');
  }

  function track(socket: Socket): Socket {
    sockets.add(socket);
    return socket.on('close', () => sockets.delete(socket));
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

/** Each end's end is passed on; each end's breaking breaks the other. */
function couple(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}

function enginePath(): string {
  return (process.env.DOCKER_HOST || 'unix:///var/run/docker.sock').replace(/^unix:\/\//, '');
}

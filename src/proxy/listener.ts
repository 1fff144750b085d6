import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { plainAddress } from './addresses.ts';
import { answerText, countAnswer, tooManyClients } from './answers.ts';
import type { Certificates } from './certificates.ts';
import { ClientConnection } from './client-connection.ts';
import type { Context } from './context.ts';
import type { Peer } from './forward-request.ts';
import { bufferInlet, type Inlet, streamInlet } from './inlet.ts';
import { readProxyHeader } from './proxy-protocol.ts';

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly fd: number };

export interface ListenOptions {
  /** Speak TLS with the proxy's certificates. */
  readonly tls?: boolean;
  /** Send every request for a known host to https, on that port. */
  readonly redirectToHttpsPort?: number;
}

/** One listening socket: admits connections, learns whom they come from, and makes ClientConnections of them. */
export class Listener {
  readonly #context: Context;
  readonly #options: ListenOptions;
  readonly #server: Server;
  readonly #tls: TlsServer | null;
  /** Peers of connections in their TLS handshake, by both addresses and the remote port. */
  readonly #shaking = new Map<string, Peer>();

  constructor(context: Context, options: ListenOptions, certificates: Certificates | null) {
    this.#context = context;
    this.#options = options;
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true },
      (socket) => this.#guard(socket, () => this.#accept(socket)),
    );
    this.#tls = options.tls ? this.#createTls(certificates!) : null;
  }

  async open(address: ListenAddress): Promise<{ host: string; port: number }> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => this.#context.log.error({ err: error }, 'a listener of the proxy failed'));
    const bound = server.address();
    if (bound === null || typeof bound === 'string') return { host: bound ?? '', port: 0 };
    return { host: bound.address, port: bound.port };
  }

  /** Takes no more connections; resolves when all that came through it are closed. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** A mistake of ours costs the connection, and no other. */
  #guard(socket: Socket, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#context.log.error({ err: error }, 'accepting a connection failed; it is closed');
      socket.destroy();
    }
  }

  #accept(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? '');
    socket.on('error', () => {});
    // Without an address the client has gone before we looked.
    if (address === '' || this.#context.draining) {
      socket.destroy();
      return;
    }
    if (!this.#context.admission.admit(socket, address)) {
      const answer = tooManyClients();
      countAnswer(this.#context.ownAnswers, answer);
      if (this.#options.tls) socket.destroy();
      else socket.write(answerText(answer), () => socket.destroy());
      return;
    }
    if (this.#context.proxyProtocolFrom.has(address)) this.#readHeader(socket, address);
    else this.#identified(socket, address, bufferInlet(socket, this.#context.readBuffer));
  }

  /** Waits for the PROXY header, which a configured balancer always sends first. */
  #readHeader(socket: Socket, balancer: string): void {
    let bytes = Buffer.alloc(0);
    const { ticker, limits } = this.#context;
    const timed = {
      deadlineMs: ticker.nowMs + limits.requestHeadMs,
      onDeadline: () => socket.destroy(),
    };
    const stop = () => {
      ticker.delete(timed);
      socket.off('data', onData);
      socket.off('close', stop);
      socket.off('end', onEnd);
    };
    const onEnd = () => socket.destroy();
    const onData = (chunk: Buffer) => this.#guard(socket, () => read(chunk));
    const read = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = readProxyHeader(bytes);
      if (header === null) return;
      stop();
      if (header === 'invalid') {
        this.#context.log.warn({ balancer }, 'a connection without a valid PROXY header was closed');
        socket.destroy();
        return;
      }
      socket.pause();
      if (bytes.length > header.end) socket.unshift(bytes.subarray(header.end));
      this.#identified(socket, header.address ?? balancer, streamInlet(socket));
    };
    ticker.add(timed);
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', stop);
    socket.resume();
  }

  #identified(socket: Socket, address: string, inlet: Inlet): void {
    const peer: Peer = {
      address,
      proto: this.#tls === null ? 'http' : 'https',
      trusted: this.#context.trustedProxies.has(address),
      redirectPort: this.#options.redirectToHttpsPort ?? null,
    };
    if (this.#tls === null) {
      new ClientConnection(this.#context, inlet, peer);
      return;
    }
    const key = keyOf(socket);
    this.#shaking.set(key, peer);
    // Its key may be another's by now: an address and port can be used again before we hear of the end.
    socket.on('close', () => {
      if (this.#shaking.get(key) === peer) this.#shaking.delete(key);
    });
    this.#tls.emit('connection', socket);
  }

  #createTls(certificates: Certificates): TlsServer {
    const server = createTlsServer({
      allowHalfOpen: true,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: this.#context.limits.requestHeadMs,
      SNICallback: (name, done) => {
        try {
          done(null, certificates.contextFor(name));
        } catch (error) {
          done(error as Error);
        }
      },
    });
    certificates.onFirst((pem) => server.setSecureContext(pem));
    server.on('secureConnection', (socket) => {
      socket.on('error', () => {});
      this.#guard(socket, () => {
        const peer = this.#shaking.get(keyOf(socket));
        if (peer === undefined || this.#context.draining) socket.destroy();
        else new ClientConnection(this.#context, streamInlet(socket), peer);
      });
    });
    // A failed handshake is the client's affair; its socket must not stay.
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }
}

/** Both ends: one address and port may be connected to several of our own addresses at once. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}

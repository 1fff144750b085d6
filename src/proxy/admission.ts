import type { Socket } from 'node:net';
import type { Limits } from './limits.ts';

/** The client connections that are open, from the first byte of a handshake on, and whether one more may be. */
export class Admission {
  readonly #limits: Limits;
  readonly #open = new Set<Socket>();
  readonly #byAddress = new Map<string, number>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Counts the connection until it is closed, or returns false where a limit is reached. */
  admit(socket: Socket, address: string): boolean {
    const { clientConnections, clientConnectionsPerAddress } = this.#limits;
    if (this.#open.size >= clientConnections) return false;
    const fromAddress = this.#byAddress.get(address) ?? 0;
    if (clientConnectionsPerAddress > 0 && fromAddress >= clientConnectionsPerAddress) return false;
    this.#byAddress.set(address, fromAddress + 1);
    this.#open.add(socket);
    socket.on('close', () => {
      this.#open.delete(socket);
      const left = this.#byAddress.get(address)! - 1;
      if (left > 0) this.#byAddress.set(address, left);
      else this.#byAddress.delete(address);
    });
    return true;
  }

  /** Ends all that is open, whatever it does. */
  destroyAll(): void {
    for (const socket of [...this.#open]) socket.destroy();
  }
}

/**
 * The host ports of the configured range: who has which. A port is reserved before anything is awaited, and
 * given out again only after the container that had it is confirmed gone (rule 5).
 */
export interface PortPool {
  /** The number of ports that are free, those held by strangers included. */
  readonly free: number;
  /** Takes a free port, the one that was free longest first; null when there is none. */
  reserve(): number | null;
  /** Takes this very port, for a container that is found running; false if it is taken or out of range. */
  reserveExactly(port: number): boolean;
  release(port: number): void;
  /** Gives a port back that somebody else turned out to hold; it is tried again after all others. */
  setAside(port: number): void;
}

export function createPortPool(first: number, count: number): PortPool {
  // Sets keep their order, so they are queues with removal by value.
  const free = new Set<number>();
  const aside = new Set<number>();
  for (let port = first; port < first + count; port++) free.add(port);

  return {
    get free() {
      return free.size + aside.size;
    },
    reserve() {
      for (const pool of [free, aside]) {
        for (const port of pool) {
          pool.delete(port);
          return port;
        }
      }
      return null;
    },
    reserveExactly(port) {
      return free.delete(port) || aside.delete(port);
    },
    release(port) {
      if (inRange(port)) free.add(port);
    },
    setAside(port) {
      if (inRange(port)) aside.add(port);
    },
  };

  // A container that outlived a change of the range has a port that this pool does not give out.
  function inRange(port: number): boolean {
    return port >= first && port < first + count;
  }
}

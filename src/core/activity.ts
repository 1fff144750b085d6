/** What passed between a container and its visitors since the last note. */
export interface ActivityDelta {
  /** Requests that began, and ended. */
  readonly requestsOpened: number;
  readonly requestsClosed: number;
  /** Tunnels (WebSockets and other upgrades) that began, and ended. */
  readonly tunnelsOpened: number;
  readonly tunnelsClosed: number;
  readonly bytesFromClient: number;
  readonly bytesFromContainer: number;
  /** Monotonic time of the last byte, in milliseconds. */
  readonly lastByteMonoMs: number;
}

/** For deltas of which only a part is of interest. */
export const nothingPassed: Omit<ActivityDelta, 'lastByteMonoMs'> = {
  requestsOpened: 0,
  requestsClosed: 0,
  tunnelsOpened: 0,
  tunnelsClosed: 0,
  bytesFromClient: 0,
  bytesFromContainer: 0,
};

/** How a container was used, as far as is known: deltas come about once a second. */
export interface Activity {
  readonly openRequests: number;
  readonly openTunnels: number;
  readonly bytesFromClient: number;
  readonly bytesFromContainer: number;
  /** null: nothing has passed yet. */
  readonly lastByteMonoMs: number | null;
}

/** Sums what the proxy notes, by container. */
export interface ActivityBook {
  note(id: string, delta: ActivityDelta): void;
  get(id: string): Activity;
  forget(id: string): void;
}

export function createActivityBook(): ActivityBook {
  const sums = new Map<string, Activity>();
  return {
    note(id, delta) {
      const sum = sums.get(id) ?? nothing;
      sums.set(id, {
        openRequests: sum.openRequests + delta.requestsOpened - delta.requestsClosed,
        openTunnels: sum.openTunnels + delta.tunnelsOpened - delta.tunnelsClosed,
        bytesFromClient: sum.bytesFromClient + delta.bytesFromClient,
        bytesFromContainer: sum.bytesFromContainer + delta.bytesFromContainer,
        lastByteMonoMs: Math.max(sum.lastByteMonoMs ?? 0, delta.lastByteMonoMs),
      });
    },
    get: (id) => sums.get(id) ?? nothing,
    forget: (id) => void sums.delete(id),
  };
}

const nothing: Activity = {
  openRequests: 0,
  openTunnels: 0,
  bytesFromClient: 0,
  bytesFromContainer: 0,
  lastByteMonoMs: null,
};

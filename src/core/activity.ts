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

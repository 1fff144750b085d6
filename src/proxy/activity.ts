import type { ActivityDelta } from './waist.ts';

/**
 * What passes between a container and its visitors. Whoever carries bytes adds to the numbers; they are handed
 * to the core as a delta from time to time.
 */
export class Activity {
  openRequests = 0;
  openTunnels = 0;
  bytesFromClient = 0;
  bytesFromContainer = 0;
  lastByteMonoMs = 0;
  #requestsOpened = 0;
  #requestsClosed = 0;
  #tunnelsOpened = 0;
  #tunnelsClosed = 0;

  requestOpened(nowMs: number): void {
    this.#requestsOpened++;
    this.openRequests++;
    this.lastByteMonoMs = nowMs;
  }

  requestClosed(): void {
    this.#requestsClosed++;
    this.openRequests--;
  }

  tunnelOpened(): void {
    this.#tunnelsOpened++;
    this.openTunnels++;
  }

  tunnelClosed(): void {
    this.#tunnelsClosed++;
    this.openTunnels--;
  }

  /** What came since the last call; null where there is nothing to tell. */
  takeDelta(): ActivityDelta | null {
    const delta: ActivityDelta = {
      requestsOpened: this.#requestsOpened,
      requestsClosed: this.#requestsClosed,
      tunnelsOpened: this.#tunnelsOpened,
      tunnelsClosed: this.#tunnelsClosed,
      bytesFromClient: this.bytesFromClient,
      bytesFromContainer: this.bytesFromContainer,
      lastByteMonoMs: this.lastByteMonoMs,
    };
    this.#requestsOpened = 0;
    this.#requestsClosed = 0;
    this.#tunnelsOpened = 0;
    this.#tunnelsClosed = 0;
    this.bytesFromClient = 0;
    this.bytesFromContainer = 0;
    const { lastByteMonoMs: _, ...counts } = delta;
    return Object.values(counts).some((count) => count > 0) ? delta : null;
  }
}

/** Something with a deadline on the ticker's clock. `Infinity`: none. */
export interface Timed {
  deadlineMs: number;
  /** Called once the deadline has passed, and then at every tick until it is moved. */
  onDeadline(nowMs: number): void;
}

/**
 * One timer for all deadlines. Setting a deadline is writing a number; the sweep compares a few thousand of
 * them in microseconds, where a timer for each request would cost more than the request. Deadlines are
 * therefore late by up to one tick.
 */
export class Ticker {
  /** Monotonic, in milliseconds, as of the last tick: exact enough for deadlines and for "last byte". */
  nowMs = performance.now();
  readonly #members = new Set<Timed>();
  readonly #tickMs: number;
  readonly #onTick: (nowMs: number) => void;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(tickMs: number, onTick: (nowMs: number) => void, onError: (error: unknown) => void) {
    this.#tickMs = tickMs;
    this.#onTick = onTick;
    this.#onError = onError;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref();
    this.nowMs = performance.now();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  add(member: Timed): void {
    this.#members.add(member);
  }

  delete(member: Timed): void {
    this.#members.delete(member);
  }

  #tick(): void {
    const nowMs = performance.now();
    this.nowMs = nowMs;
    for (const member of this.#members) {
      if (member.deadlineMs > nowMs) continue;
      this.#guard(() => member.onDeadline(nowMs));
    }
    this.#guard(() => this.#onTick(nowMs));
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#onError(error);
    }
  }
}

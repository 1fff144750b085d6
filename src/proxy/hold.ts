import { type Answer, notWoken } from './answers.ts';
import type { ContainerTraffic } from './containers.ts';
import type { Context } from './context.ts';
import type { Exchange } from './exchange.ts';
import { type Route, WakeError } from './waist.ts';

type Outcome = { readonly answer: Answer } | { readonly upstream: NonNullable<Route['upstream']> };

/** A request that waits for its container to start or wake. Ends once: woken, not woken, too late or cancelled. */
export class Hold {
  readonly #context: Context;
  readonly #container: ContainerTraffic;
  readonly #exchange: Exchange;
  readonly #onEnd: (outcome: Outcome) => void;
  readonly #abort = new AbortController();
  #over = false;

  constructor(
    context: Context,
    container: ContainerTraffic,
    exchange: Exchange,
    onEnd: (outcome: Outcome) => void,
  ) {
    this.#context = context;
    this.#container = container;
    this.#exchange = exchange;
    this.#onEnd = onEnd;
    container.held.add(exchange);
    context.counts.heldRequests++;
    new Promise<Route>((resolve) => resolve(context.waist.wake(container.id, this.#abort.signal))).then(
      (route) => this.#woken(route),
      (error: unknown) => this.#failed(error),
    );
  }

  timedOut(): void {
    this.#finish({ answer: notWoken(this.#exchange.request, 'It did not become ready in time.', 5) });
  }

  /** Nobody waits any more. */
  cancel(): void {
    this.#finish(null);
  }

  #woken(route: Route): void {
    if (route.state === 'ready' && route.upstream !== null && route.id === this.#container.id) {
      this.#finish({ upstream: route.upstream });
    } else {
      this.#finish({ answer: notWoken(this.#exchange.request, 'It is not ready yet.', 1) });
    }
  }

  #failed(error: unknown): void {
    if (this.#over) return;
    const known = error instanceof WakeError;
    if (!known)
      this.#context.log.warn({ id: this.#container.id, err: error }, 'a container could not be woken');
    const message = known ? error.message : 'It could not be started.';
    this.#finish({ answer: notWoken(this.#exchange.request, message, known ? error.retryAfterS : 5) });
  }

  #finish(outcome: Outcome | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#container.held.delete(this.#exchange);
    this.#context.counts.heldRequests--;
    this.#abort.abort();
    if (outcome !== null) this.#onEnd(outcome);
  }
}

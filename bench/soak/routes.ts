import type { Helper } from '../proxy/programs.ts';
import type { ProxyAsk } from '../proxy-process.ts';
import { within } from './within.ts';

/** A route of the soak. `mayFail` is set before its container is quiesced or taken away, which ends requests. */
export interface SoakRoute {
  readonly host: string;
  readonly id: string;
  mayFail: boolean;
}

const livingCount = 20;
const comingCount = 200;

/** Routes that stay for the whole time, and others that come and go. */
export class SoakRoutes {
  added = 0;
  droppedCount = 0;
  readonly #proxy: Helper<ProxyAsk>;
  readonly #ports: readonly number[];
  readonly #living: SoakRoute[] = [];
  #coming: SoakRoute[] = [];

  constructor(proxy: Helper<ProxyAsk>, ports: readonly number[]) {
    this.#proxy = proxy;
    this.#ports = ports;
  }

  async start(): Promise<void> {
    for (let i = 0; i < livingCount; i++) await this.#add(this.#living, `living${i}.soak.test`);
  }

  /** One that stays, four times out of five. */
  pick(): SoakRoute {
    const from = this.#coming.length > 0 && Math.random() < 0.2 ? this.#coming : this.#living;
    return from[Math.floor(Math.random() * from.length)]!;
  }

  /** Adds a route, and takes the oldest of those that go away, with its container. */
  async churn(): Promise<void> {
    await this.#add(this.#coming, `coming${this.added}.soak.test`);
    if (this.#coming.length > comingCount) await this.#drop(this.#coming.shift()!);
  }

  async dropComing(): Promise<void> {
    const coming = this.#coming;
    this.#coming = [];
    await Promise.all(coming.map((route) => this.#drop(route)));
  }

  /** As before a sleep. For those that come and go only: it ends requests too, and those that stay must not fail. */
  async quiesce(route: SoakRoute): Promise<boolean> {
    if (this.#living.includes(route)) return false;
    route.mayFail = true;
    await within(this.#proxy.ask({ do: 'quiesce', id: route.id }), `${route.id} to be quiet`);
    return true;
  }

  async #add(list: SoakRoute[], host: string): Promise<void> {
    const route = { host, id: host, mayFail: false };
    const port = this.#ports[this.added++ % this.#ports.length]!;
    await this.#proxy.ask({ do: 'add', routes: [{ host, id: host, port }] });
    list.push(route);
  }

  async #drop(route: SoakRoute): Promise<void> {
    route.mayFail = true;
    await within(
      this.#proxy.ask({ do: 'drop', host: route.host, id: route.id }),
      `the release of ${route.id}`,
    );
    this.droppedCount++;
  }
}

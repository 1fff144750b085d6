import type { ActivityBook } from './activity.ts';
import type { Clock } from './clock.ts';
import type { Engine } from './engine.ts';
import type { EventBus } from './events.ts';
import type { ImageEntry } from './image-entry.ts';
import type { Ledger } from './ledger.ts';
import type { Log } from './log.ts';
import type { PortPool } from './ports.ts';
import type { Reach } from './reach.ts';
import type { Registry } from './registry.ts';
import type { Traffic } from './route.ts';
import type { StartQueue } from './start-queue.ts';
import type { Starts } from './starts.ts';

/** What the commands and the reconciler share. */
export interface Parts {
  readonly registry: Registry;
  readonly ledger: Ledger;
  readonly engine: Engine;
  readonly traffic: Traffic;
  readonly reach: Reach;
  readonly ports: PortPool;
  readonly starts: Starts;
  readonly queue: StartQueue;
  readonly activity: ActivityBook;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly images: ReadonlyMap<string, ImageEntry>;
  /** Fires when the service ends; every call to the engine carries it. */
  readonly closing: AbortSignal;
  /** The host name of a container. */
  readonly hostOf: (id: string) => string;
  /** Its address as a browser reaches it, without a slash at the end. */
  readonly urlOf: (id: string) => string;
  readonly domain: string;
}

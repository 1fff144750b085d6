import type { ActivityDelta } from '../core/activity.ts';
import type { Clock } from '../core/clock.ts';
import type { Phase } from '../core/container.ts';
import type { Engine } from '../core/engine.ts';
import type { EventBus } from '../core/events.ts';
import type { Log } from '../core/log.ts';
import type { Overview } from '../core/overview.ts';
import { watchEventLoop } from './event-loop.ts';
import { measured } from './measured-engine.ts';
import { createInstruments, type Instruments } from './registry.ts';
import { countSpawns } from './spawns.ts';

export interface MetricsOptions {
  readonly version: string;
  /** The image entries of the configuration as it is now: key -> how many are kept warm. */
  readonly images: () => ReadonlyMap<string, { readonly warm: { readonly count: number } }>;
  readonly clock: Pick<Clock, 'monoMs'>;
  readonly log: Log;
}

/** Where the figures come from. What is left out stays 0. */
export interface MetricSources {
  readonly events: Pick<EventBus, 'subscribe'>;
  readonly overview: Overview;
  readonly proxy?: ProxyFigures;
  readonly webhooks?: { figures(): Iterable<WebhookFigures> };
}

/** What metrics need of the proxy. */
export interface ProxyFigures {
  stats(): {
    readonly clientConnections: number;
    readonly upstreamConnections: number;
    readonly openRequests: number;
    readonly heldRequests: number;
    readonly openTunnels: number;
  };
  ownAnswers(): ReadonlyMap<number, number>;
}

/** What metrics need of the webhooks, for each target. Counts since the start of the process. */
export interface WebhookFigures {
  readonly target: string;
  readonly waiting: number;
  readonly delivered: number;
  readonly failed: number;
  readonly dead: number;
}

export interface Metrics {
  /** The Content-Type of `text`. */
  readonly contentType: string;
  /** All metrics in Prometheus' text format, version 0.0.4. */
  text(): Promise<string>;
  /** The same engine, measured: the one to give to the core. */
  measured(engine: Engine): Engine;
  /** To be called with everything that the proxy notes. */
  noteActivity(delta: ActivityDelta): void;
  /** Begins to follow the service. */
  follow(sources: MetricSources): void;
  close(): void;
}

/** Makes the metrics of one service, in a registry of its own. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { images, clock, log } = options;
  const { registry, instruments } = createInstruments();
  instruments.info.set({ version: options.version, node: process.version }, 1);
  const closers = [watchEventLoop(instruments)];
  let sources: MetricSources | null = null;
  const labelOf = (imageKey: string) => (images().has(imageKey) ? imageKey : formerImage);

  return {
    contentType: registry.contentType,
    text() {
      observeProcess(instruments);
      beginAtZero(instruments, images());
      if (sources) observeOverview(instruments, sources.overview, images().keys(), labelOf);
      if (sources?.proxy) observeProxy(instruments, sources.proxy);
      if (sources?.webhooks) observeWebhooks(instruments, sources.webhooks.figures());
      return registry.metrics();
    },
    measured: (engine) => measured(engine, instruments, { clock, log }),
    noteActivity(delta) {
      instruments.proxyRequests.inc(delta.requestsOpened);
      instruments.proxyTunnels.inc(delta.tunnelsOpened);
      instruments.proxyBytes.inc({ from: 'client' }, delta.bytesFromClient);
      instruments.proxyBytes.inc({ from: 'container' }, delta.bytesFromContainer);
    },
    follow(from) {
      sources = from;
      const keepsWarm = (imageKey: string) => (images().get(imageKey)?.warm.count ?? 0) > 0;
      const count = countSpawns(instruments, { clock, overview: from.overview, labelOf, keepsWarm });
      closers.push(from.events.subscribe(count));
    },
    close() {
      for (const close of closers.splice(0)) close();
    },
  };
}

/** The label of containers whose entry the configuration no longer has. */
const formerImage = 'other';

const phases = ['queued', 'creating', 'starting', 'ready', 'asleep', 'stopping'] as const satisfies Phase[];

/** A series that is there from the start shows its first increase; one that appears with it does not. */
function beginAtZero(instruments: Instruments, images: ReadonlyMap<string, unknown>): void {
  for (const image of images.keys()) {
    for (const result of ['ready', 'claimed', 'failed', 'stopped'])
      instruments.spawns.inc({ image, result }, 0);
    for (const result of ['hit', 'miss']) instruments.warmLookups.inc({ image, result }, 0);
    for (const result of ['ready', 'failed', 'stopped']) instruments.warmStarts.inc({ image, result }, 0);
  }
  for (const from of ['client', 'container']) instruments.proxyBytes.inc({ from }, 0);
}

function observeOverview(
  instruments: Instruments,
  overview: Overview,
  imageKeys: Iterable<string>,
  labelOf: (imageKey: string) => string,
): void {
  const { containers, warmContainers } = instruments;
  const counts = new Map<string, Record<string, number>>();
  for (const image of imageKeys) counts.set(image, {});
  for (const { imageKey, phase, warm } of overview.all()) {
    const image = labelOf(imageKey);
    const count = counts.get(image) ?? {};
    counts.set(image, count);
    count[phase] = (count[phase] ?? 0) + 1;
    if (warm && phase === 'ready') count.warm = (count.warm ?? 0) + 1;
  }
  containers.reset();
  warmContainers.reset();
  for (const [image, count] of counts) {
    for (const phase of phases) containers.set({ image, phase }, count[phase] ?? 0);
    warmContainers.set({ image }, count.warm ?? 0);
  }
  instruments.placesLimit.set(overview.maxContainers);
  instruments.queueLength.set(overview.waiting);
  instruments.startsRunning.set(overview.starting);
}

function observeProxy(instruments: Instruments, proxy: ProxyFigures): void {
  const stats = proxy.stats();
  instruments.proxyClientConnections.set(stats.clientConnections);
  instruments.proxyUpstreamConnections.set(stats.upstreamConnections);
  instruments.proxyOpenRequests.set(stats.openRequests);
  instruments.proxyHeldRequests.set(stats.heldRequests);
  instruments.proxyOpenTunnels.set(stats.openTunnels);
  instruments.proxyOwnAnswers.reset();
  for (const [status, count] of proxy.ownAnswers()) instruments.proxyOwnAnswers.inc({ status }, count);
}

function observeWebhooks(instruments: Instruments, figures: Iterable<WebhookFigures>): void {
  const { webhookAttempts, webhookDead, webhookWaiting } = instruments;
  for (const metric of [webhookAttempts, webhookDead, webhookWaiting]) metric.reset();
  // Several targets may share an origin: they are added up.
  for (const { target, waiting, delivered, failed, dead } of figures) {
    webhookAttempts.inc({ target, result: 'delivered' }, delivered);
    webhookAttempts.inc({ target, result: 'failed' }, failed);
    webhookWaiting.inc({ target }, waiting);
    webhookDead.inc({ target }, dead);
  }
}

function observeProcess(instruments: Instruments): void {
  const { user, system } = process.cpuUsage();
  set(instruments.processCpu, (user + system) / 1e6);
  set(instruments.eventLoopActive, performance.eventLoopUtilization().active / 1000);
  instruments.processMemory.set(process.memoryUsage.rss());
  instruments.processStart.set(performance.timeOrigin / 1000);
}

/** For a count that somebody else keeps. */
function set(counter: { reset(): void; inc(value: number): void }, value: number): void {
  counter.reset();
  counter.inc(value);
}

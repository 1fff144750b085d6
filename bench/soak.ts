import { Agent } from 'node:http';
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { eventually } from '../test/support/eventually.ts';
import { openDescriptors, residentBytes } from './proxy/cost.ts';
import { type OwnProxy, startOwn } from './proxy/peers.ts';
import { Helper, stop } from './proxy/programs.ts';
import type { ProxyState } from './proxy-process.ts';
import type { ContainerAsk } from './soak/containers.ts';
import { makeRequest, readSlowly, sendSlowly, Tally } from './soak/requests.ts';
import { SoakRoutes } from './soak/routes.ts';
import { liveOneWebSocket } from './soak/web-sockets.ts';

/**
 * `npm run soak -- --minutes N`: routes that come and go, requests, WebSockets that end in every way, slow readers
 * and senders. Afterwards the proxy must hold what it held before, and no request of a living container may have
 * failed. Ends with 1 otherwise.
 */
const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error('usage: npm run soak -- --minutes N');
  process.exit(2);
}

const requestsPerS = 500;
const churnsPerS = 100;
const webSockets = 500;
const slowOnes = 20;
/** A machine that is too busy for the whole load gets less of it; how much less is said. */
const mostRunning = 1000;
const warmUpMs = 15_000;
const heapSlackBytes = 4 * 2 ** 20;
const residentSlackBytes = 64 * 2 ** 20;

interface Held extends ProxyState {
  readonly descriptors: number;
  readonly residentBytes: number;
}

const proxy = await startOwn(null);
const containers = Array.from({ length: 4 }, () => new Helper<ContainerAsk>('../soak/containers.ts', null));
const ports = await Promise.all(containers.map((container) => container.ask<number>({ do: 'port' })));
const routes = new SoakRoutes(proxy.helper, ports);
await routes.start();
let skipped = 0;
const tallies = { requests: new Tally(), webSockets: new Tally(), slow: new Tally(), churn: new Tally() };

// What the first load makes a process grow to is no leak; so the start is after a short one.
await loadFor(warmUpMs);
const before = await settled(proxy);
console.log(`start: ${described(before)}; load average ${loadavg()[0]!.toFixed(1)}`);
await loadFor(minutes * 60_000);
const after = await settled(proxy);
console.log(`end:   ${described(after)}; load average ${loadavg()[0]!.toFixed(1)}`);
for (const [name, { done, endedWithContainer, failures }] of Object.entries(tallies)) {
  console.log(
    `${name}: ${done} done, ${endedWithContainer} ended with their container, ${failures.length} failed`,
  );
  for (const failure of failures.slice(0, 10)) console.log(`  ${failure}`);
}
console.log(`${skipped} requests or routes were left out, since the machine was too busy`);
console.log(`routes: ${routes.added} added, ${routes.droppedCount} dropped`);

const problems = problemsOf(before, after);
for (const { failures } of Object.values(tallies))
  if (failures.length > 0) problems.push('something failed that should not have');
for (const problem of problems) console.log(`NOT AS IT SHOULD BE: ${problem}`);
await proxy.stop();
await Promise.all(containers.map(({ child }) => stop(child)));
console.log(problems.length === 0 ? 'everything is back where it was' : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);

/** The whole load, for a while; resolves when the last request of it is over. */
async function loadFor(timeMs: number): Promise<void> {
  const over = AbortSignal.timeout(timeMs);
  const agent = new Agent({ keepAlive: true, maxSockets: 100 });
  await Promise.all([
    atRate(requestsPerS, over, () => makeRequest(proxy.port, agent, routes.pick(), tallies.requests)),
    atRate(churnsPerS, over, () => counted(() => routes.churn())),
    atOnce(webSockets, over, () =>
      liveOneWebSocket(proxy.port, routes.pick(), routes, over, tallies.webSockets),
    ),
    atOnce(slowOnes, over, () => readSlowly(proxy.port, routes.pick(), over, tallies.slow)),
    atOnce(slowOnes, over, () => sendSlowly(proxy.port, routes.pick(), over, tallies.slow)),
  ]);
  agent.destroy();
  await counted(() => routes.dropComing());
}

async function counted(action: () => Promise<void>): Promise<void> {
  try {
    await action();
    tallies.churn.done++;
  } catch (error) {
    tallies.churn.fail((error as Error).message);
  }
}

/** Starts so many a second until the signal, without waiting for any; resolves when all are over. */
async function atRate(perS: number, stop: AbortSignal, start: () => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>();
  const startMs = performance.now();
  for (let started = 0; !stop.aborted; ) {
    for (const due = ((performance.now() - startMs) / 1000) * perS; started < due; started++) {
      if (running.size >= mostRunning) {
        skipped++;
        continue;
      }
      const one = start();
      running.add(one);
      void one.finally(() => running.delete(one));
    }
    await delay(5);
  }
  await Promise.all(running);
}

/** Keeps so many going until the signal; resolves when all are over. */
async function atOnce(count: number, stop: AbortSignal, start: () => Promise<void>): Promise<void> {
  const keepGoing = async () => {
    // Not all in the same instant.
    await delay(Math.random() * 2000);
    while (!stop.aborted) await start();
  };
  await Promise.all(Array.from({ length: count }, keepGoing));
}

/** What the proxy holds once all is over. Throws where it does not come to rest. */
function settled(own: OwnProxy): Promise<Held> {
  return eventually(async () => {
    const state = await own.helper.ask<ProxyState>({ do: 'state' });
    const open = Object.entries(state.stats).filter(([, count]) => count !== 0);
    if (open.length > 0) throw new Error(`still open: ${JSON.stringify(open)}`);
    return { ...state, descriptors: openDescriptors(own.pid), residentBytes: residentBytes(own.pid) };
  }, 60_000);
}

function problemsOf(start: Held, end: Held): string[] {
  const problems: string[] = [];
  if (end.descriptors !== start.descriptors)
    problems.push(`${end.descriptors} descriptors, ${start.descriptors} at the start`);
  if (JSON.stringify(end.resources) !== JSON.stringify(start.resources))
    problems.push(`${JSON.stringify(end.resources)} active, ${JSON.stringify(start.resources)} at the start`);
  for (const [name, slack] of [
    ['heapBytes', heapSlackBytes],
    ['bufferBytes', heapSlackBytes],
    ['residentBytes', residentSlackBytes],
  ] as const) {
    if (end[name] > start[name] + slack) problems.push(`${name} ${end[name]}, ${start[name]} at the start`);
  }
  for (const error of end.errors) problems.push(`an error of the proxy: ${error}`);
  return problems;
}

function described(held: Held): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  return `${held.descriptors} descriptors, heap ${mib(held.heapBytes)}, buffers ${mib(held.bufferBytes)}, resident ${mib(held.residentBytes)} MiB, active ${JSON.stringify(held.resources)}, ${JSON.stringify(held.stats)}`;
}

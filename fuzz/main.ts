import { parseArgs } from 'node:util';
import { compareRequests, compareResponses } from './differential.ts';
import { type Lane, startProxies } from './lanes.ts';
import { randomRequests, randomResponse } from './messages.ts';
import { type Finding, nodeAgrees, sameHoweverCut, type Verdict } from './opinions.ts';
import { Random } from './random.ts';

/**
 * `npm run fuzz -- --minutes N [--seed S]`: random and damaged requests and responses. Our parser must read them
 * the same however they are cut, and as Node's does; and through the proxy nothing may reach a container, or a
 * client, that neither nginx nor HAProxy would let through. Ends with 1 where one does.
 */
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Date.now() % 1_000_000_000 : Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run fuzz -- --minutes N [--seed S], a number of minutes and a whole number');
  process.exit(2);
}

/** Inputs for the parsers alone cost microseconds, those through three proxies milliseconds. */
const parserInputsForEachThrough = 10;
const shownOfEachKind = 3;

const kinds = new Map<string, number>();
const findings = new Map<string, number>();
const methods = ['GET', 'GET', 'HEAD', 'POST'] as const;

const proxies = await startProxies();
for (const note of proxies.notes) console.log(note);
console.log(`seed ${seed}, ${minutes} minutes, ${proxies.lanes.length} lanes`);
const untilMs = performance.now() + minutes * 60_000;
const errors: string[] = [];
try {
  await Promise.all(proxies.lanes.map(runLane));
  errors.push(...(await proxies.errors()));
} finally {
  await proxies.close();
}

for (const [kind, count] of [...kinds].sort()) console.log(`${String(count).padStart(9)}  ${kind}`);
for (const error of errors) console.log(`our proxy failed within: ${error}`);
const inputs = [...kinds.values()].reduce((sum, count) => sum + count, 0);
const found = [...findings.values()].reduce((sum, count) => sum + count, 0) + errors.length;
console.log(`${inputs} inputs, ${found} findings, seed ${seed}`);
process.exit(found === 0 ? 0 : 1);

async function runLane(lane: Lane, place: number): Promise<void> {
  const random = new Random(seed * 64 + place);
  while (performance.now() < untilMs) {
    for (let i = 0; i < parserInputsForEachThrough; i++) await askParsers(random, lane.host);
    note(await compareRequests(lane, Buffer.from(randomRequests(random, lane.host), 'latin1')));
    note(await compareResponses(lane, Buffer.from(randomResponse(random), 'latin1'), random.pick(methods)));
  }
}

async function askParsers(random: Random, host: string): Promise<void> {
  const side = random.chance(0.5) ? 'request' : 'response';
  const input = Buffer.from(
    side === 'request' ? randomRequests(random, host) : randomResponse(random),
    'latin1',
  );
  const cut = sameHoweverCut(input, side, random);
  if (cut !== null) report(cut);
  note(await nodeAgrees(input, side, random.pick(methods)));
}

function note({ kind, finding }: Verdict): void {
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  if (finding !== null) report(finding);
}

function report({ what, input, detail }: Finding): void {
  // The differing values stand in the detail; without them one mistake is one kind.
  const kind = what.replace(/["[{].*$/s, '');
  const count = (findings.get(kind) ?? 0) + 1;
  findings.set(kind, count);
  if (count > shownOfEachKind) return;
  console.log(
    `\nFINDING ${what}\n  bytes: ${JSON.stringify(input.toString('latin1'))}\n  ${detail.replaceAll('\n', '\n  ')}\n`,
  );
}

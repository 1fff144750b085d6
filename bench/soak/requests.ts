import { type Agent, type ClientRequest, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { SoakRoute } from './routes.ts';

/** What became of what was tried. */
export class Tally {
  done = 0;
  /** Ended with the container that they were for. */
  endedWithContainer = 0;
  readonly failures: string[] = [];

  fail(what: string): void {
    this.failures.push(what);
  }
}

const kinds = ['length', 'length', 'length', 'chunked', 'close', 'echo', 'echo chunked', 'head'] as const;

/** Makes one request of a random kind, and checks every byte of the answer's count. */
export async function makeRequest(port: number, agent: Agent, route: SoakRoute, tally: Tally): Promise<void> {
  const kind = kinds[Math.floor(Math.random() * kinds.length)]!;
  const bytes = Math.floor(Math.random() ** 4 * 200_000);
  try {
    const got = await ask(port, agent, route, kind, bytes);
    const expected = kind === 'head' ? 0 : bytes;
    if (got.status === 200 && got.bytes === expected) tally.done++;
    else if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`${kind} ${route.host}: ${got.status} with ${got.bytes} of ${expected} bytes`);
  } catch (error) {
    if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`${kind} ${route.host}: ${(error as Error).message}`);
  }
}

function ask(
  port: number,
  agent: Agent,
  route: SoakRoute,
  kind: (typeof kinds)[number],
  bytes: number,
): Promise<{ status: number; bytes: number }> {
  const echo = kind.startsWith('echo');
  const path = echo ? '/echo' : kind === 'head' ? `/length/${bytes}` : `/${kind}/${bytes}`;
  const method = echo ? 'POST' : kind === 'head' ? 'HEAD' : 'GET';
  const headers: Record<string, string | number> = { host: route.host };
  if (kind === 'echo') headers['content-length'] = bytes;
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', agent, path, method, headers });
    asked.on('error', reject);
    asked.on('response', (response) => {
      let got = 0;
      response.on('data', (chunk: Buffer) => {
        got += chunk.length;
      });
      response.on('end', () => resolve({ status: response.statusCode!, bytes: got }));
      response.on('error', reject);
    });
    if (echo) asked.write(Buffer.alloc(bytes, 'y'));
    asked.end();
  });
}

const pieceBytes = 32 * 1024;

/** Takes a large answer slowly; gives it up half way, every second time. */
export async function readSlowly(
  port: number,
  route: SoakRoute,
  signal: AbortSignal,
  tally: Tally,
): Promise<void> {
  const bytes = 4 * 1024 * 1024;
  const asked = request({
    port,
    host: '127.0.0.1',
    agent: false,
    path: `/length/${bytes}`,
    headers: { host: route.host },
  });
  asked.end();
  const until = Math.random() < 0.5 ? bytes / 2 : bytes;
  let got = 0;
  try {
    const response = await answerTo(asked);
    while (got < until && !signal.aborted) {
      const piece = response.read(pieceBytes) ?? response.read();
      if (piece !== null) got += (piece as Buffer).length;
      if (response.readableEnded || response.destroyed) break;
      await delay(20);
    }
    if (got >= until || signal.aborted) tally.done++;
    else if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`slow reader ${route.host}: ${got} of ${bytes} bytes`);
  } catch (error) {
    if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`slow reader ${route.host}: ${(error as Error).message}`);
  }
  asked.destroy();
}

/** Sends a body in small pieces, and goes away in the middle, every second time. */
export async function sendSlowly(
  port: number,
  route: SoakRoute,
  signal: AbortSignal,
  tally: Tally,
): Promise<void> {
  const asked = request({
    port,
    host: '127.0.0.1',
    agent: false,
    path: '/echo',
    method: 'POST',
    headers: { host: route.host },
  });
  const answered = answerTo(asked);
  answered.catch(() => {});
  const pieces = 50;
  const leaves = Math.random() < 0.5;
  for (let piece = 0; piece < (leaves ? pieces / 2 : pieces) && !signal.aborted; piece++) {
    asked.write(Buffer.alloc(1000, 'z'));
    await delay(20);
  }
  if (leaves || signal.aborted) {
    asked.destroy();
    tally.done++;
    return;
  }
  asked.end();
  try {
    const response = await answered;
    let got = 0;
    for await (const chunk of response) got += (chunk as Buffer).length;
    if (got !== pieces * 1000) throw new Error(`${got} bytes of the echo`);
    tally.done++;
  } catch (error) {
    if (route.mayFail) tally.endedWithContainer++;
    else tally.fail(`slow sender ${route.host}: ${(error as Error).message}`);
  }
}

function answerTo(
  asked: ClientRequest,
): Promise<NodeJS.ReadableStream & { readableEnded: boolean; destroyed: boolean }> {
  return new Promise((resolve, reject) => {
    asked.on('response', (response) => {
      response.on('error', () => {});
      response.pause();
      resolve(response);
    });
    asked.on('error', reject);
    asked.on('close', () => reject(new Error('closed without an answer')));
  });
}

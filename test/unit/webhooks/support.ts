import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import { createEventBus } from '../../../src/core/events.ts';
import type { Ledger } from '../../../src/core/ledger.ts';
import type { WebhookLedger, WebhookTarget } from '../../../src/core/webhooks.ts';
import { openLedger } from '../../../src/ledger/sqlite.ts';
import { createWebhooks, type WebhookOptions, type Webhooks } from '../../../src/webhooks/webhooks.ts';
import { eventually } from '../../support/eventually.ts';
import { specify } from '../../support/specification.ts';
import { createVirtualClock, type VirtualClock } from '../../support/virtual-clock.ts';

/** What came to a receiver. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly message: { id: number; type: string; container: { id: string } } & Record<string, unknown>;
}

/** A web server that takes messages; how it answers is the test's to say. */
export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** The kinds that came about a container, in their order. */
  told(containerId: string): string[];
  /** How the following requests are answered; a response that is not ended hangs. */
  answer(how: (message: Received, response: ServerResponse) => void): void;
  /** Takes no connections any more, and breaks off those that are open. */
  die(): Promise<void>;
  live(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  let how = (_message: Received, response: ServerResponse): void => {
    response.writeHead(204).end();
  };
  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => null);
    if (body === null) return;
    const message = {
      path: request.url!,
      headers: request.headers,
      body,
      message: JSON.parse(body) as Received['message'],
    };
    received.push(message);
    how(message, response);
  });
  let port = 0;
  const live = async () => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  };
  const die = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  await live();
  onTestFinished(die);
  return {
    url: `http://127.0.0.1:${port}/hooks?token=precious`,
    received,
    told: (id) =>
      received.filter(({ message }) => message.container.id === id).map(({ message }) => message.type),
    answer(next) {
      how = next;
    },
    die,
    live,
  };
}

export const secret = 'a-secret-that-nobody-else-knows';

export function targetOf(
  receiver: Pick<Receiver, 'url'>,
  changes: Partial<WebhookTarget> = {},
): WebhookTarget {
  return { url: receiver.url, secret, events: null, ...changes };
}

/** A ledger whose events reach webhooks, on a clock that the test moves. */
export interface Rig {
  readonly clock: VirtualClock;
  readonly ledger: Ledger;
  readonly webhooks: Webhooks;
  /** Everything that was logged, as JSON. */
  readonly log: string[];
  /** Writes the events of a container that was asked for and became ready. */
  spawn(id: string): Promise<void>;
  stop(id: string): void;
  /** Fires what waits for the next turn: new events are taken. */
  turn(): void;
  /** Ends the webhooks, and the ledger, and starts them anew on what is kept. */
  restart(targets: readonly WebhookTarget[], between?: (ledger: Ledger) => Promise<void>): Promise<Rig>;
}

export function startRig(
  targets: readonly WebhookTarget[],
  options: Partial<WebhookOptions> & {
    /** Takes the place of some of what the ledger does. */
    readonly faulty?: (real: WebhookLedger) => Partial<WebhookLedger>;
  } = {},
  kept: { readonly dir: string; readonly clock: VirtualClock } | null = null,
): Rig {
  const dir = kept?.dir ?? mkdtempSync(join(tmpdir(), 'docker-spawner-webhooks-'));
  const clock = kept?.clock ?? createVirtualClock();
  const ledger = openLedger(dir, clock.wallMs);
  const events = createEventBus((error) => {
    throw error;
  });
  ledger.onEvent(events.publish);
  const log: string[] = [];
  const keep = (fields: object, message: string) =>
    void log.push(
      JSON.stringify({ ...fields, message }, (_key, value) => (value instanceof Error ? `${value}` : value)),
    );
  const webhooks = createWebhooks({
    targets,
    instance: 'test',
    urlOf: (id) => `http://${id}.example.test`,
    events,
    ledger: { ...ledger.webhooks, ...options.faulty?.(ledger.webhooks) },
    clock,
    log: { debug: keep, info: keep, warn: keep, error: keep },
    random: () => 1,
    ...options,
  });
  let ended = false;
  const end = async () => {
    if (ended) return;
    ended = true;
    await webhooks.close();
    ledger.close();
  };
  onTestFinished(async () => {
    await end();
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    clock,
    ledger,
    webhooks,
    log,
    spawn: (id) => spawn(ledger, id),
    stop(id) {
      ledger.condemn(id, 'asked');
      ledger.forget(id, 'asked');
    },
    turn: () => clock.advance(0),
    async restart(next, between = async () => {}) {
      await end();
      const unattended = openLedger(dir, clock.wallMs);
      await between(unattended);
      unattended.close();
      return startRig(next, options, { dir, clock });
    },
  };
}

/** Writes `queued`, `creating`, `starting`, `ready`. */
export async function spawn(ledger: Ledger, id: string, options = { warm: false }): Promise<void> {
  ledger.add({ ...(await specify({})), id }, { acknowledged: false, idempotency: null, ...options });
  ledger.note(id, 'creating');
  ledger.note(id, 'starting');
  ledger.becomeReady(id, 1);
}

export const spawned = ['queued', 'creating', 'starting', 'ready'];
export const whole = [...spawned, 'stopping', 'gone'];

export const is =
  (id: string) =>
  ({ message }: Received) =>
    message.container.id === id;
export const ok = (_: unknown, response: ServerResponse) => void response.writeHead(200).end();
export const broken = (_: unknown, response: ServerResponse) => void response.writeHead(500).end('oh');
export const hanging = () => {};

/** Waits until so many attempts have failed, in all. */
export const failures = (rig: Rig, count: number) =>
  eventually(() => expect(rig.webhooks.figures()[0]).toMatchObject({ failed: count }));
export const nothingWaits = (rig: Rig) =>
  eventually(() => expect(rig.webhooks.figures().map(({ waiting }) => waiting)).toEqual([0]));

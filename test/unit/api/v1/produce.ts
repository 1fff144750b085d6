import type { Operation } from '../../../../src/api/v1/operation.ts';
import { systemClock } from '../../../../src/core/clock.ts';
import type { Commands } from '../../../../src/core/commands.ts';
import { EngineError } from '../../../../src/core/engine.ts';
import { type ErrorCode, SpawnerError } from '../../../../src/core/errors.ts';
import { createRateLimit } from '../../../../src/core/rate-limit.ts';
import type { Views } from '../../../../src/core/views.ts';
import { entry } from '../../../support/core-harness.ts';
import { eventually } from '../../../support/eventually.ts';
import { dial, exchange, bodyOf as textOf } from '../support.ts';
import { type CallOptions, startV1, type V1Response, type V1Rig } from './rig.ts';

const admin = 'the-secret-of-an-administrator';
const unknown = 'f'.repeat(32);

type Options = Parameters<typeof startV1>[0];

/** Makes an operation fail with this code, by what really leads there where that can be had. */
export async function produce(operation: Operation, code: ErrorCode): Promise<V1Response> {
  const recipe = recipes[`${operation.id}:${code}`] ?? recipes[code];
  if (!recipe) throw new Error(`nobody knows how to make ${operation.id} fail with ${code}`);
  return recipe(operation);
}

type Recipe = (operation: Operation) => Promise<V1Response>;

const recipes: Readonly<Record<string, Recipe>> = {
  // What every call can meet.
  field_invalid: (o) => ask(o, {}, { query: 'no_such_field=1' }),
  body_invalid: (o) => ask(o, {}, { query: 'user=%zz' }),
  forbidden_origin: (o) => ask(o, {}, { headers: { origin: 'https://evil.example' } }),
  unauthorized: (o) => ask(o, { administrators: [admin] }, {}),
  async misdirected(o) {
    const rig = await startV1();
    return responseOf(await exchange(rig.port, requestOf(o, 'evil.example')));
  },
  async forbidden(o) {
    const rig = await startV1({ administrators: [admin] });
    const token = rig.token({ scopes: [o.scope === 'read' ? 'spawn' : 'read'] });
    return send(rig, o, { token });
  },
  async rate_limited(o) {
    const options = { administrators: [admin], api: { rateLimit: createRateLimit(systemClock, 1) } };
    const rig = await startV1(options);
    await rig.call('GET', '/v1/images', { token: admin });
    return send(rig, o, { token: admin });
  },
  internal: (o) => ask(o, { api: broken(() => new TypeError('a defect')) }, {}),
  async shutting_down(o) {
    const rig = await startV1();
    const socket = await dial(rig.port);
    const host = `127.0.0.1:${rig.port}`;
    const head = requestOf(o, host);
    // The rest of the second request arrives when the service is about to stop.
    socket.write(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n${head.slice(0, 6)}`);
    await eventually(() => expectSome(socket.received().length));
    const closed = rig.api.close(5000);
    socket.write(head.slice(6));
    await socket.ended;
    await closed;
    return responseOf(socket.received().slice(socket.received().lastIndexOf('HTTP/1.1')));
  },

  // What is asked for, or asked of, is not there or not so.
  field_missing: (o) => (o.body ? ask(o, {}, { body: {} }) : ask(o, {}, { query: firstOf(o) })),
  unknown_container: (o) => ask(o, {}, { id: unknown }),
  unknown_token: (o) => ask(o, {}, {}),
  unknown_image: (o) => ask(o, {}, { body: { image: 'none', user: 'alice' } }),
  users_off: (o) => ask(o, { core: { withUsers: false } }, {}),
  async no_container(o) {
    const rig = await startV1({ administrators: [admin] });
    return send(rig, o, { token: rig.token({ users: ['bob'] }) });
  },
  not_allowed: (o) => ask(o, {}, { body: { image: 'plain', user: 'alice', labels: {} } }),
  async 'changeContainer:not_allowed'(o) {
    const rig = await startV1();
    const id = await rig.spawn('alice', { imageKey: 'plain' });
    return send(rig, o, { id, body: { labels: { a: '1' } } });
  },
  not_extendable: (o) => ask(o, {}, { body: { extend_by: 1 } }),
  async wrong_phase(o) {
    const rig = await startV1();
    const held = rig.machine.hold('create');
    const { container } = await rig.core.commands.request({ imageKey: 'web', user: 'bob', early: true });
    const answer = await send(rig, o, { id: container.id });
    held.release();
    await eventually(() => expectSome(rig.core.commands.get(container.id)?.phase === 'ready' ? 1 : 0));
    return answer;
  },
  body_too_large: (o) => ask(o, {}, { body: { image: 'x'.repeat(70_000) } }),
  unsupported_media_type: (o) => ask(o, {}, { body: 'image=web', headers: { 'content-type': 'text/plain' } }),

  // Limits.
  async no_place(o) {
    const rig = await startV1({ core: { maxContainers: 1 } });
    await rig.spawn('bob');
    return send(rig, o, {});
  },
  async user_limit(o) {
    const rig = await startV1();
    await rig.spawn('alice');
    return send(rig, o, {});
  },
  async queue_full(o) {
    const rig = await startV1({ core: { maxParallelStarts: 1, queueLength: 1 } });
    const held = rig.machine.hold('create');
    for (const user of ['x', 'y']) await rig.core.commands.request({ imageKey: 'web', user, early: true });
    const answer = await send(rig, o, {});
    held.release();
    await eventually(() =>
      expectSome([...rig.core.commands.all()].every((c) => c.phase === 'ready') ? 1 : 0),
    );
    return answer;
  },
  async key_reused(o) {
    const rig = await startV1();
    const headers = { 'idempotency-key': 'k' };
    await send(rig, o, { headers, body: { image: 'web', user: 'bob' } });
    return send(rig, o, { headers });
  },
  async container_gone(o) {
    const rig = await startV1();
    const headers = { 'idempotency-key': 'k' };
    const { json } = await send(rig, o, { headers });
    await rig.core.commands.stop(json.id);
    return send(rig, o, { headers });
  },

  // Starts that fail.
  exited_early: (o) => ask(o, {}, { body: { image: 'exits', user: 'alice' } }),
  not_ready: (o) => ask(o, {}, { body: { image: 'idle', user: 'alice' } }),
  image_missing: (o) => ask(o, {}, { body: { image: 'missing', user: 'alice' } }),
  async stopped_early(o) {
    const rig = await startV1();
    const held = rig.machine.hold('create');
    const asked = send(rig, o, {});
    await eventually(() => expectSome([...rig.core.commands.all()].length));
    const [container] = rig.core.commands.all();
    const stopped = rig.core.commands.stop(container!.id);
    held.release();
    await stopped;
    return asked;
  },
  async on_claim_failed(o) {
    const onClaim = { command: ['set-up'], values: {}, timeoutMs: 1000 };
    const rig = await startV1({
      core: { images: new Map([['web', entry('web', { warm: { count: 0, onClaim } })]]) },
    });
    rig.machine.images.set('web', { does: 'serve', exec: () => ({ exitCode: 1, output: 'no' }) });
    return send(rig, o, {});
  },
  async engine_failed(o) {
    const rig = await startV1();
    const id = o.path.includes('{id}') ? await rig.spawn() : unknown;
    if (o.id === 'wakeContainer') await rig.core.commands.sleep(id);
    rig.machine.failNext(verbOf(o), new EngineError('failed', 'the engine says no'));
    return send(rig, o, { id });
  },
  async engine_unavailable(o) {
    const rig = await startV1();
    const id = o.path.includes('{id}') ? await rig.spawn() : unknown;
    if (o.id === 'wakeContainer') await rig.core.commands.sleep(id);
    rig.machine.away();
    const answer = await send(rig, o, { id });
    rig.machine.back();
    return answer;
  },
  ledger_failed: (o) => ask(o, { api: broken(ledgerError) }, {}),

  // Waking.
  async 'wakeContainer:port_lost'(o) {
    const rig = await startV1();
    const id = await rig.spawn();
    await rig.core.commands.sleep(id);
    rig.machine.failNext('wake', new EngineError('port_taken', 'taken'));
    return send(rig, o, { id });
  },
  async 'wakeContainer:stopped_early'(o) {
    const rig = await startV1();
    const id = await rig.spawn();
    await rig.core.commands.sleep(id);
    const held = rig.machine.hold('wake');
    const asked = send(rig, o, { id });
    await eventually(() => expectSome(held.waiting()));
    const stopped = rig.core.commands.stop(id);
    held.release();
    await stopped;
    return asked;
  },
  async 'wakeContainer:not_ready'(o) {
    const web = entry('web', { ready: { timeoutMs: 200 } });
    const rig = await startV1({ core: { images: new Map([['web', web]]) } });
    const id = await rig.spawn();
    await rig.core.commands.sleep(id);
    rig.machine.images.set('web', { does: 'silent' });
    return send(rig, o, { id });
  },
};

interface Sent extends CallOptions {
  readonly id?: string;
  readonly query?: string;
}

async function ask(operation: Operation, options: Options, sent: Sent): Promise<V1Response> {
  const rig = await startV1(options);
  const id = sent.id ?? (operation.path.includes('{id}') ? await rig.spawn() : unknown);
  return send(rig, operation, { ...sent, id });
}

function send(rig: V1Rig, operation: Operation, { id = unknown, query, ...options }: Sent) {
  const path = pathOf(operation, id) + (query === undefined ? '' : `?${query}`);
  return rig.call(operation.method, path, { body: bodyOf(operation), ...options });
}

function pathOf(operation: Operation, id: string): string {
  return operation.path.replace('{id}', id).replace('{user}', 'alice').replace('{token}', 'none');
}

/** The same as bytes, with nothing in its body, to this host. */
function requestOf(operation: Operation, host: string): string {
  const line = `${operation.method} ${pathOf(operation, unknown)} HTTP/1.1`;
  return [line, `Host: ${host}`, 'Connection: close', 'Content-Length: 0', '', ''].join('\r\n');
}

function responseOf(received: string): V1Response {
  const [statusLine = '', ...lines] = received.slice(0, received.indexOf('\r\n\r\n')).split('\r\n');
  const fields = lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]);
  const text = textOf(received);
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: new Headers(fields),
    text,
    json: JSON.parse(text),
  };
}

/** A body that is fine, for what needs one. */
function bodyOf({ id }: Operation): unknown {
  if (id === 'spawnContainer') return { image: 'web', user: 'alice' };
  if (id === 'changeContainer') return { labels: { a: '1' } };
  if (id === 'createToken') return { name: 'ci', scopes: ['read'] };
  return undefined;
}

/** A field of the query with nothing in it. */
function firstOf({ query }: Operation): string {
  return `${Object.keys(query?.properties ?? { any: 1 })[0]}=`;
}

function verbOf({ id }: Operation) {
  const verbs = {
    stopContainer: 'remove',
    wakeContainer: 'wake',
    putContainerToSleep: 'sleep',
    readLogs: 'logs',
    readStats: 'stats',
  } as const;
  return Object.hasOwn(verbs, id) ? verbs[id as keyof typeof verbs] : 'create';
}

/** Everything that is asked of the core fails. */
function broken(error: () => Error): NonNullable<NonNullable<Options>['api']> {
  const failing = <T extends object>() =>
    new Proxy({} as T, {
      get: () => () => {
        throw error();
      },
    });
  return { commands: failing<Commands>(), views: failing<Views>(), tokens: failingTokens(error) };
}

function failingTokens(error: () => Error) {
  const fail = () => {
    throw error();
  };
  const scopes = new Set(['read', 'spawn', 'admin'] as const);
  return {
    identify: () => ({ kind: 'known', caller: { key: null, scopes, users: null } }) as const,
    list: fail,
    create: fail,
    remove: fail,
    setAdministrators: fail,
    close() {},
  };
}

function ledgerError(): Error {
  return Object.assign(new Error('the disk is full'), { name: 'LedgerError' });
}

function expectSome(count: number): void {
  if (count === 0) throw new SpawnerError('internal', 'not yet');
}

import type { ServerResponse } from 'node:http';
import { labels } from '../../src/core/labels.ts';
import { type ScriptedCall, type ScriptedDocker, startScriptedDocker } from '../support/scripted-docker.ts';

export interface DaemonContainer {
  readonly ref: string;
  readonly name: string;
  readonly id: string;
  readonly port: number;
  state: 'created' | 'running' | 'exited' | 'paused';
}

/** What goes wrong with one call, or with the answer to it. `after`: it has its effect all the same. */
export type Misdeed =
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'drop' | 'hang'; readonly after: boolean }
  | { readonly kind: 'status'; readonly status: number; readonly after: boolean }
  /** The answer is cut in the middle: the connection breaks, or it ends as if it were whole. */
  | { readonly kind: 'cut'; readonly clean: boolean }
  /** A list that is a lie: empty, or the one of the call before. */
  | { readonly kind: 'empty' | 'stale' };

/** A Docker Engine that keeps containers in memory and does what a test tells it to; on a real socket. */
export interface Daemon extends AsyncDisposable {
  readonly env: ScriptedDocker['env'];
  readonly containers: ReadonlyMap<string, DaemonContainer>;
  /** How often a call was made, as `POST /containers/create`. */
  count(call: RegExp): number;
  /** The next `times` calls that fit go wrong. */
  misbehave(call: RegExp, misdeed: Misdeed, times?: number): void;
  /** How the stream of events is sent from now on. */
  events: 'whole' | 'byte by byte' | 'twice' | 'silent';
  /** A container's process ends. */
  exit(id: string): void;
  /** Breaks all connections; every call fails until `back`. */
  away(): void;
  back(): void;
}

export async function startDaemon(): Promise<Daemon> {
  const docker = await startScriptedDocker();
  const containers = new Map<string, DaemonContainer & { readonly listed: Record<string, unknown> }>();
  const streams = new Set<ServerResponse>();
  const pending = new Set<ServerResponse>();
  const misdeeds: { readonly call: RegExp; readonly misdeed: Misdeed; times: number }[] = [];
  let isAway = false;
  let lastRef = 0;
  let lastList = '[]';

  type Result = { readonly status: number; readonly body?: unknown };
  function serve(name: string, effect: (call: ScriptedCall) => Result): void {
    docker.answers.set(name, (response, call) => {
      if (isAway) return void response.destroy();
      pending.add(response.once('close', () => pending.delete(response)));
      const found = misdeeds.find((m) => m.times > 0 && m.call.test(name));
      if (found) found.times--;
      answer(response, found?.misdeed ?? null, () => effect(call));
    });
  }

  function answer(response: ServerResponse, misdeed: Misdeed | null, effect: () => Result): void {
    const send = ({ status, body }: Result) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(body === undefined ? undefined : textOf(body));
    };
    switch (misdeed?.kind) {
      case undefined:
        send(effect());
        return;
      case 'delay':
        setTimeout(() => send(effect()), misdeed.ms);
        return;
      case 'drop':
        if (misdeed.after) effect();
        response.destroy();
        return;
      case 'hang':
        if (misdeed.after) effect();
        return;
      case 'status':
        if (misdeed.after) effect();
        send({ status: misdeed.status, body: { message: 'the engine says no' } });
        return;
      case 'cut': {
        const text = textOf(effect().body ?? {});
        const half = text.slice(0, Math.ceil(text.length / 2));
        response.writeHead(200, { 'content-type': 'application/json' });
        if (misdeed.clean) response.end(half);
        else response.write(half, () => setImmediate(() => response.destroy()));
        return;
      }
      case 'empty':
        send({ status: 200, body: [] });
        return;
      case 'stale':
        send({ status: 200, body: lastList });
    }
  }

  function tell(container: DaemonContainer, action: string): void {
    const attributes = { [labels.id.name]: container.id };
    const event = { Type: 'container', Action: action, Actor: { ID: container.ref, Attributes: attributes } };
    const bytes = Buffer.from(`${JSON.stringify(event)}\n`);
    for (const stream of streams) {
      if (daemon.events === 'byte by byte') for (const byte of bytes) stream.write(Buffer.of(byte));
      else if (daemon.events !== 'silent') stream.write(bytes);
      if (daemon.events === 'twice') stream.write(bytes);
    }
  }

  function move(container: DaemonContainer, state: DaemonContainer['state'], action: string): Result {
    if (container.state === state) return { status: 304 };
    container.state = state;
    tell(container, action);
    return { status: 204 };
  }

  function add({ query, body }: ScriptedCall): Result {
    const name = query.get('name')!;
    const all = (body!.Labels ?? {}) as Record<string, string>;
    if ([...containers.values()].some((c) => c.name === name)) {
      return {
        status: 409,
        body: { message: `The container name "/${name}" is already in use by container` },
      };
    }
    const ref = (++lastRef).toString(16).padStart(64, '0');
    const [{ host_port: port }] = JSON.parse(all[labels.ports.name]!) as [{ host_port: number }];
    const listed = { Id: ref, Names: [`/${name}`], Image: body!.Image, Labels: all };
    const container = { ref, name, id: all[labels.id.name]!, port, state: 'created' as const, listed };
    containers.set(ref, container);
    about(container);
    return { status: 201, body: { Id: ref, Warnings: [] } };
  }

  function about(container: DaemonContainer & { readonly listed: Record<string, unknown> }): void {
    const path = `/containers/${container.ref}`;
    const here = (work: () => Result) => () =>
      containers.has(container.ref)
        ? work()
        : { status: 404, body: { message: `No such container: ${container.ref}` } };
    serve(
      `POST ${path}/start`,
      here(() => move(container, 'running', 'start')),
    );
    serve(
      `POST ${path}/stop`,
      here(() => move(container, 'exited', 'die')),
    );
    serve(
      `POST ${path}/pause`,
      here(() => move(container, 'paused', 'pause')),
    );
    serve(
      `POST ${path}/unpause`,
      here(() => move(container, 'running', 'unpause')),
    );
    serve(
      `POST ${path}/rename`,
      here(() => ({ status: 204 })),
    );
    serve(
      `GET ${path}/logs`,
      here(() => ({ status: 200, body: '' })),
    );
    serve(
      `GET ${path}/json`,
      here(() => {
        const { Names, Image, Labels } = container.listed;
        const State = { Status: container.state, ExitCode: 0, OOMKilled: false };
        const body = { Id: container.ref, Name: (Names as string[])[0], Config: { Image, Labels }, State };
        return { status: 200, body };
      }),
    );
    serve(
      `DELETE ${path}`,
      here(() => {
        if (container.state === 'running') move(container, 'exited', 'die');
        containers.delete(container.ref);
        tell(container, 'destroy');
        return { status: 204 };
      }),
    );
  }

  function list({ query }: ScriptedCall): Result {
    const { label } = JSON.parse(query.get('filters') ?? '{}') as { label?: string[] };
    const wanted = label?.find((text) => text.startsWith(`${labels.id.name}=`))?.split('=')[1];
    const all = [...containers.values()].filter((c) => wanted === undefined || c.id === wanted);
    const body = all.map((c) => ({ ...c.listed, State: c.state }));
    return { status: 200, body };
  }

  serve('GET /_ping', () => ({ status: 200, body: 'OK' }));
  serve('GET /networks', () => ({ status: 200, body: [] }));
  serve('POST /networks/create', () => ({ status: 201, body: { Id: 'network' } }));
  serve('POST /containers/create', add);
  serve('GET /containers/json', (call) => {
    const result = list(call);
    lastList = textOf(result.body);
    return result;
  });
  docker.answers.set('GET /events', (response) => {
    if (isAway) return void response.destroy();
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    streams.add(response.once('close', () => streams.delete(response)));
  });

  const daemon: Daemon = {
    env: docker.env,
    containers,
    events: 'whole',
    count: (call) => docker.calls.filter((one) => call.test(one.call)).length,
    misbehave: (call, misdeed, times = 1) => void misdeeds.unshift({ call, misdeed, times }),
    exit(id) {
      for (const container of containers.values()) if (container.id === id) move(container, 'exited', 'die');
    },
    away() {
      isAway = true;
      for (const response of [...streams, ...pending]) response.destroy();
    },
    back() {
      isAway = false;
    },
    [Symbol.asyncDispose]: () => docker.close(),
  };
  return daemon;
}

function textOf(body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

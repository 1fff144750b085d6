import { onTestFinished } from 'vitest';
import { type Api, type ApiOptions, createApi } from '../../../../src/api/server.ts';
import { systemClock } from '../../../../src/core/clock.ts';
import type { CoreOptions } from '../../../../src/core/core.ts';
import { createRateLimit } from '../../../../src/core/rate-limit.ts';
import { createTokens, type Token, type Tokens } from '../../../../src/core/tokens.ts';
import { type CoreHarness, entry, startCore } from '../../../support/core-harness.ts';

/** The API over HTTP, on a real core and ledger, with the engine in memory. */
export interface V1Rig extends CoreHarness {
  readonly api: Api;
  readonly url: string;
  readonly port: number;
  readonly tokens: Tokens;
  call(method: string, path: string, options?: CallOptions): Promise<V1Response>;
  /** Gives a user a container, and its id. */
  spawn(user?: string, body?: object): Promise<string>;
  /** Makes a token, and its secret. */
  token(wish: Partial<Pick<Token, 'scopes' | 'users' | 'expiresAtMs'>>): string;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface V1Response {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** What the body is as JSON; undefined where it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever was answered.
  readonly json: any;
}

export const images = () =>
  new Map([
    ['web', entry('web', { allow: ['environment', 'lifetime', 'labels'] })],
    ['plain', { ...entry('web', { allow: [] }), key: 'plain' }],
    ['idle', entry('idle', { ready: { timeoutMs: 200 } })],
    ['exits', entry('exits')],
    ['missing', entry('missing', { spec: { pullPolicy: 'never' } })],
  ]);

export async function startV1(
  options: {
    core?: Partial<CoreOptions>;
    api?: Partial<ApiOptions>;
    administrators?: readonly string[];
  } = {},
): Promise<V1Rig> {
  const core = await startCore({ images: images(), ...options.core });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const tokens = createTokens({
    ledger: core.ledger.tokens,
    administrators: options.administrators ?? [],
    clock: systemClock,
    log,
  });
  const api = createApi({
    commands: core.core.commands,
    views: core.core.views,
    withUsers: options.core?.withUsers ?? true,
    userLimit: options.core?.userLimit ?? 1,
    engineName: 'memory',
    urlOf: (id) => `http://${id}.example.test`,
    tokens,
    rateLimit: createRateLimit(systemClock, 0),
    origins: [],
    hosts: [],
    log,
    ...options.api,
  });
  onTestFinished(async () => {
    await api.close(0);
    tokens.close();
    await core[Symbol.asyncDispose]();
  });
  const { port } = await api.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${port}`;

  async function call(method: string, path: string, { body, token, headers = {} }: CallOptions = {}) {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    };
  }

  return {
    ...core,
    api,
    url,
    port,
    tokens,
    call,
    async spawn(user = 'alice', body = {}) {
      const { container } = await core.core.commands.request({ imageKey: 'web', user, ...body });
      return container.id;
    },
    token: (wish) =>
      tokens.create({ name: 'test', scopes: ['read'], users: null, expiresAtMs: null, ...wish }).secret,
  };
}

/** A stream of events as it comes; closed when the test ends. */
export async function openStream(url: string, headers: Record<string, string> = {}) {
  const over = new AbortController();
  onTestFinished(() => over.abort());
  const response = await fetch(url, { headers, signal: over.signal });
  let text = '';
  let ended = false;
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true });
  })()
    .catch(() => {})
    .finally(() => {
      ended = true;
    });
  return {
    response,
    text: () => text,
    /** The JSON of each event so far. */
    events: () => [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!)),
    ended: () => ended,
    close: () => over.abort(),
    reading,
  };
}

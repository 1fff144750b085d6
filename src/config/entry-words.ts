import { isIP } from 'node:net';
import { type Allowed, allowedWords, type OnClaimSpec, type ReadySpec } from '../core/image-entry.ts';
import * as compose from './compose-types.ts';
import { idleTimeout, onIdle, warnBefore } from './lifecycle-settings.ts';
import { tmpfs, volume } from './mounts.ts';
import { logging, onClaim, readiness } from './nested-words.ts';
import { addedCapability, defaultCapabilities, droppedCapability, securityOption } from './security.ts';
import { template } from './templates.ts';
import {
  boolean,
  choice,
  duration,
  integer,
  list,
  scalarType,
  size,
  type Type,
  type TypeOf,
  text,
} from './types.ts';

/** One word of an image entry: its type, what holds where it is left out, and what it means. */
export interface Word<T> {
  readonly type: Type<T>;
  /** What the reference page shows as the default. */
  readonly written: string;
  readonly value: T;
  /** Whose word it is. */
  readonly origin: 'compose' | 'ours';
  readonly description: string;
}

const mebibyte = 1024 * 1024;
const none = 'the image says';

/** When a container is ready, where its entry leaves that open: any final HTTP status within a minute. */
export const defaultReady: ReadySpec = { path: '/', statuses: [{ from: 200, to: 599 }], timeoutMs: 60_000 };

/**
 * Every word of an image entry, declared once, with its safe default: validation and the reference page are
 * made from here. Sizes are bytes and durations milliseconds, once read.
 */
export const entryWords = {
  image: word<string | null>(
    'compose',
    imageName(),
    '',
    null,
    'the image to run; the only word that must be there',
  ),
  command: word<readonly string[] | null>('compose', compose.words(), none, null, 'what to run in it'),
  entrypoint: word<readonly string[] | null>('compose', compose.words(), none, null, 'what runs the command'),
  environment: word<Readonly<Record<string, string>>>(
    'compose',
    compose.textMap('variables', /^[^=\0]+$/),
    '{}',
    {},
    'variables, as a map or a list of NAME=text',
  ),
  volumes: word(
    'compose',
    list(volume),
    '[]',
    [],
    'named volumes, which are never deleted; paths of the host, without placeholders; anonymous volumes',
  ),
  tmpfs: word('compose', list(tmpfs, { orSingle: true }), '[]', [], 'directories in memory'),
  working_dir: word<string | null>(
    'compose',
    template('an absolute path', { userId: false, test: /^(\/|\{)[^\u0000-\u001f]*$/ }),
    none,
    null,
    'where the command starts',
  ),
  user: word<string | null>(
    'compose',
    template('a user such as 1000, node or 1000:1000', { userId: false, test: /^[^\s:\0]+(:[^\s:\0]+)?$/ }),
    none,
    null,
    'who runs the command',
  ),
  labels: word<Readonly<Record<string, string>>>(
    'compose',
    compose.textMap('labels (`docker-spawner.` is ours)', /^(?!docker-spawner\.)[^=\0]+$/),
    '{}',
    {},
    'labels of the container, beside ours',
  ),
  // Docker itself refuses less than 6 MiB.
  mem_limit: word(
    'compose',
    size(6 * mebibyte, { orZero: true }),
    '512m',
    512 * mebibyte,
    'memory; 0: no limit',
  ),
  cpus: word('compose', compose.cpus, '1', 1, 'processors; 0: no limit'),
  pids_limit: word('compose', compose.pidsLimit, '256', 256, 'processes and threads; -1: no limit'),
  shm_size: word<number | null>('compose', size(1), '64m, as the engine has it', null, 'size of /dev/shm'),
  ulimits: word('compose', compose.ulimits, '{}', [], 'limits of the kernel: a number, or {soft, hard}'),
  read_only: word(
    'compose',
    boolean,
    'false',
    false,
    'whether the file system of the image cannot be written to',
  ),
  cap_add: word(
    'compose',
    list(addedCapability),
    '[]',
    [],
    `capabilities to add to ${defaultCapabilities.join(', ')}; never ALL`,
  ),
  cap_drop: word(
    'compose',
    list(droppedCapability),
    '[]',
    [],
    'capabilities to take away; ALL takes every one',
  ),
  security_opt: word(
    'compose',
    list(securityOption),
    '[no-new-privileges:true]',
    [],
    'options of the engine; no-new-privileges stays unless `no-new-privileges:false` is written',
  ),
  runtime: word<string | null>(
    'compose',
    text('the name of a runtime such as runsc', /^[\w][\w.-]*$/),
    'that of the engine',
    null,
    'the runtime, for example gVisor',
  ),
  init: word<boolean | null>(
    'compose',
    boolean,
    'as the engine has it',
    null,
    'whether a small init is process 1',
  ),
  devices: word('compose', list(compose.device), '[]', [], 'devices of the host'),
  dns: word(
    'compose',
    list(
      scalarType('an IP address', (value) => (isIP(value) > 0 ? value : undefined)),
      { orSingle: true },
    ),
    '[]',
    [],
    'DNS servers',
  ),
  extra_hosts: word('compose', compose.extraHosts, '[]', [], 'lines of /etc/hosts: host:address'),
  stop_signal: word<string | null>(
    'compose',
    compose.stopSignal,
    none,
    null,
    'the signal that asks it to end',
  ),
  stop_grace_period: word<number | null>(
    'compose',
    compose.gracePeriod,
    'it ends at once',
    null,
    'how long it may take to end after its stop signal',
  ),
  pull_policy: word<'always' | 'missing' | 'never'>(
    'compose',
    compose.pullPolicy,
    'missing',
    'missing',
    'when the image is pulled: always, missing or never',
  ),
  platform: word<string | null>(
    'compose',
    text('a platform such as linux/amd64', /^[a-z0-9]+(\/[a-z0-9_]+(\/[a-z0-9_.]+)?)?$/),
    'that of the engine',
    null,
    'the platform of the image',
  ),
  network_mode: word<string | null>(
    'compose',
    compose.networkMode,
    'a network of our own in which containers cannot reach each other',
    null,
    'an existing network instead',
  ),
  logging: word(
    'compose',
    logging,
    '{driver: json-file, options: {max-size: 10m, max-file: 3}}',
    { maxSizeBytes: 10 * mebibyte, maxFiles: 3 },
    'how much of its output is kept',
  ),
  port: word('ours', integer(1, 65_535), '80', 80, 'where its web server listens'),
  ready: word(
    'ours',
    readiness(defaultReady),
    '{path: /, status: 200-599, timeout: 60s}',
    defaultReady,
    'which answer to GET shows that it is ready, and how long that may take',
  ),
  docker_timeout: word<number | null>(
    'ours',
    duration(1000),
    'the setting `docker_timeout`',
    null,
    'its longest life',
  ),
  max_lifetime: word<number | null>(
    'ours',
    duration(1000),
    'the setting `max_lifetime`',
    null,
    'its longest life with all extensions, at least its `docker_timeout`',
  ),
  warn_before: word<number | null>(
    'ours',
    warnBefore,
    'the setting `warn_before`',
    null,
    'how long before its end the event `expiring` warns of it',
  ),
  idle_timeout: word<number | null>(
    'ours',
    idleTimeout,
    'the setting `idle_timeout`',
    null,
    'how long without activity until `on_idle`',
  ),
  on_idle: word<'remove' | 'stop' | 'pause' | null>(
    'ours',
    onIdle,
    'the setting `on_idle`',
    null,
    'what becomes of it when it is idle, and how it sleeps when it is told to',
  ),
  idle_ignores_websockets: word<boolean | null>(
    'ours',
    boolean,
    'the setting `idle_ignores_websockets`',
    null,
    'whether an open WebSocket does not count as activity',
  ),
  max: word<number | null>(
    'ours',
    integer(1, 65_535),
    'no limit but `max_containers`',
    null,
    'containers of this entry at once, warm ones included',
  ),
  warm: word(
    'ours',
    integer(0, 65_535),
    '0',
    0,
    'containers that are kept ready for whoever comes next; without `{user_id}`, `{created_at}`, `{expires_at}`',
  ),
  warm_max_age: word<number | null>(
    'ours',
    duration(1000),
    'the setting `warm_max_age`',
    null,
    'how old a warm container may become before it is replaced',
  ),
  on_claim: word<OnClaimSpec | null>(
    'ours',
    onClaim,
    'nothing is run',
    null,
    'what is run in a warm container when a user gets it, with `values` as JSON on its standard input',
  ),
  allow: word<readonly Allowed[]>(
    'ours',
    list(choice(...allowedWords)),
    '[lifetime, labels]',
    ['lifetime', 'labels'],
    'what callers of the API may decide: more variables, the lifetime up to `max_lifetime`, labels in answers',
  ),
} as const;

export type EntryWord = keyof typeof entryWords;

/** What an entry says, with the defaults filled in. */
export type EntryValues = {
  readonly [Name in EntryWord]:
    | (typeof entryWords)[Name]['value']
    | TypeOf<(typeof entryWords)[Name]['type']>;
};

function word<T>(
  origin: 'compose' | 'ours',
  type: Type<T>,
  written: string,
  value: T,
  description: string,
): Word<T> {
  return { type, written, value, origin, description };
}

function imageName(): Type<string> {
  // The reference grammar is the engine's; here only what would be a slip of the hand, or an option.
  return text('the name of an image such as nginx:alpine', /^[a-zA-Z0-9][\w./:@+-]{0,511}$/);
}

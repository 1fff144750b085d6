import { isIP } from 'node:net';
import { lifecycleSettings } from './lifecycle-settings.ts';
import { listenerSettings } from './listener-settings.ts';
import { proxyLimitSettings } from './proxy-settings.ts';
import { setting } from './setting.ts';
import type { Node } from './source.ts';
import {
  boolean,
  choice,
  integer,
  isHostName,
  type ListenAddress,
  list,
  listenAddress,
  scalarType,
  secret,
  type TypeOf,
  text,
} from './types.ts';
import { webhookSettings } from './webhook-settings.ts';

/**
 * Every setting, declared once: the validation, `--help` and the reference page are made from here. The key is
 * the word in the file and, in capitals, the environment variable. Durations are milliseconds, once read.
 */
export const settings = {
  domain: setting(
    scalarType('a DNS name such as example.com, not an IP address', (value) => {
      const name = value.toLowerCase().replace(/\.$/, '');
      // An id of up to 63 digits and a dot stand before it, and a whole name has 253 characters.
      return isHostName(name) && name.length <= 253 - 64 ? name : undefined;
    }),
    'localhost',
    'localhost',
    'containers live at `ID.domain`; `*.localhost` needs no DNS record',
  ),
  container_images: setting<Node | null>(
    {
      expected: 'a map: key -> the name of an image, or an image entry',
      inEnvironment: 'json',
      read: (node) => node,
    },
    null,
    null,
    'what can be run: key -> the name of an image, or an image entry',
  ),
  port_start: setting(integer(1, 65_535), '9000', 9000, 'the first host port for containers'),
  max_containers: setting(
    integer(1, 65_535),
    '100',
    100,
    'containers at once, each with a host port: `port_start` and those that follow',
  ),
  with_users: setting(
    boolean,
    'true',
    true,
    'couple containers to users; off: `user_id` is not needed and `/get_container_hex` answers 404',
  ),
  user_limit: setting(integer(1, 65_535), '1', 1, 'containers that one user may have at once'),
  on_user_limit: setting<'reject' | 'reuse' | 'replace'>(
    choice('reject', 'reuse', 'replace'),
    'reject',
    'reject',
    'at the limit: `reject` with 409, `reuse` the running one of the same entry, or `replace` the oldest',
  ),
  hex_size: setting(integer(16, 63), '32', 32, 'hexadecimal digits of an id'),
  container_prefix: setting(
    text(
      'a start for container names: a letter or digit, then letters, digits, `_`, `.` or `-`, at most 64',
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/,
    ),
    'spawned__',
    'spawned__',
    'start of the container names in the engine',
  ),
  ...lifecycleSettings,
  proxy_config: setting<null>(
    {
      expected: 'that it is left out: a file for Apache is not written yet',
      read(node, key, reading) {
        const message = 'not supported yet: no file for Apache is written; remove it and use `proxy_listen`';
        reading.report(node.at, key, message);
        return undefined;
      },
    },
    null,
    null,
    'not supported yet, refused when set: the file that Apache includes',
  ),
  data_dir: setting(
    text('a directory', /./),
    './data',
    './data',
    'where the ledger lives; a relative path starts at the working directory',
  ),
  instance: setting(
    text(
      'a name: a letter or digit, then letters, digits, `_`, `.` or `-`, at most 63',
      /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/,
    ),
    'default',
    'default',
    'the name of this installation in labels; two services on one engine need two',
  ),
  api_listen: setting<ListenAddress>(
    listenAddress,
    '127.0.0.1:3000',
    { host: '127.0.0.1', port: 3000 },
    'where the API listens; port 0 takes any free one',
  ),
  public_url: setting<string | null>(
    scalarType('a URL such as https://{id}.example.com, without a path', parsePublicUrl),
    null,
    null,
    'how the URL of a container is built; not set: made from `domain` and `tls_listen` or `proxy_listen`',
  ),
  api_hosts: setting<readonly string[]>(
    list(scalarType('a host name or IP address without port', parseHost)),
    '[]',
    [],
    'host names that the API answers for, beside its own address and `localhost`',
  ),
  api_origins: setting<readonly string[]>(
    list(scalarType('an origin such as https://shop.example.com', parseOrigin)),
    '[]',
    [],
    'origins whose pages may call the API from a browser',
  ),
  api_tokens: setting<readonly string[]>(
    secret(
      list(
        secret(
          text(
            'at least 16 letters, digits or any of - . _ ~ + / (as `openssl rand -hex 32` makes them)',
            /^[A-Za-z0-9._~+/-]{16,512}=*$/,
          ),
        ),
      ),
    ),
    '[]',
    [],
    'secrets, one of which a caller of the API must send as `Authorization: Bearer`; none: anybody may call',
  ),
  api_rate_limit: setting(
    integer(0, 1_000_000),
    '6000',
    6000,
    'calls of the API that each token may make in a minute; 0: no limit',
  ),
  api_open: setting(
    boolean,
    'false',
    false,
    'let the API listen on other than loopback addresses without `api_tokens`: anybody who reaches it may spawn',
  ),
  ...listenerSettings,
  ...proxyLimitSettings,
  ...webhookSettings,
  log_level: setting<'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'>(
    choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    'info',
    'how much is logged',
  ),
} as const;

export type SettingName = keyof typeof settings;

/** The settings as the parts get them. Durations in milliseconds; `data_dir` absolute. */
export type Settings = {
  readonly [Name in Exclude<SettingName, 'container_images' | 'proxy_config'>]: TypeOf<
    (typeof settings)[Name]['type']
  >;
};

/**
 * How the URL of a container is built: `public_url`, or else `https://{id}.DOMAIN` where there is a listener for
 * TLS, or `http://{id}.DOMAIN`, with the port of the listener. The ports are those really listened on, which
 * differ where any free one was asked for.
 */
export function publicUrlOf(
  from: Pick<Settings, 'public_url' | 'domain' | 'proxy_listen' | 'tls_listen'>,
  proxyPort: number = from.proxy_listen.port,
  tlsPort: number | null = from.tls_listen?.port ?? null,
): string {
  if (from.public_url !== null) return from.public_url;
  const [scheme, port, usual] =
    tlsPort === null ? (['http', proxyPort, 80] as const) : (['https', tlsPort, 443] as const);
  return `${scheme}://{id}.${from.domain}${port === usual ? '' : `:${port}`}`;
}

/**
 * The port to which visitors are sent on for https: that of their URLs, which is not the one listened on where a
 * router lies between. null: they are not sent on.
 */
export function redirectPortOf(
  from: Pick<Settings, 'public_url' | 'domain' | 'proxy_listen' | 'tls_listen' | 'http_redirect'>,
  tlsPort: number | null = from.tls_listen?.port ?? null,
): number | null {
  if (!from.http_redirect || tlsPort === null) return null;
  const url = publicUrlOf(from, from.proxy_listen.port, tlsPort);
  return Number(new URL(url.replace('{id}', 'id')).port || 443);
}

function parsePublicUrl(value: string): string | undefined {
  const base = value.trim().replace(/\/$/, '');
  const match = /^(https?):\/\/\{id\}\.([^/?#@{}\s]+)$/i.exec(base);
  if (!match) return undefined;
  const sample = URL.parse(`${match[1]}://id.${match[2]}`);
  if (!sample || !isHostName(sample.hostname)) return undefined;
  return sample.origin.replace('://id.', '://{id}.');
}

function parseHost(value: string): string | undefined {
  const name = value.trim().toLowerCase().replace(/\.$/, '');
  const address = name.replace(/^\[(.*)\]$/, '$1');
  return isHostName(name) || isIP(address) > 0 ? address : undefined;
}

function parseOrigin(value: string): string | undefined {
  const url = URL.parse(value.trim());
  if (!url || !['http:', 'https:'].includes(url.protocol)) return undefined;
  // What is more than an origin (a path, a user) would be ignored, and somebody believes in it.
  return `${url.origin}/` === url.href && !value.includes('*') ? url.origin : undefined;
}

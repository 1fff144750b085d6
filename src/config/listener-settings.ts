import { type CertificateFiles, certificateFiles } from './certificate-files.ts';
import { logFile } from './log-file.ts';
import { setting } from './setting.ts';
import { addressRange, boolean, type ListenAddress, list, listenAddress } from './types.ts';

/** The settings of where the proxy listens, whom it believes, and what it notes. Part of settings.ts. */
export const listenerSettings = {
  proxy_listen: setting<ListenAddress>(
    listenAddress,
    '0.0.0.0:8080',
    { host: '0.0.0.0', port: 8080 },
    "where the proxy listens for the containers' visitors; port 0 takes any free one",
  ),
  tls_listen: setting<ListenAddress | null>(
    listenAddress,
    null,
    null,
    'where the proxy listens for https, with `tls_certificates`; not set: nowhere',
  ),
  tls_certificates: setting<readonly CertificateFiles[]>(
    list(certificateFiles),
    '[]',
    [],
    'PEM files, read again when they change; the first certificate serves names that none of them has',
  ),
  http_redirect: setting(
    boolean,
    'false',
    false,
    'whether visitors of `proxy_listen` are sent on to https; only with `tls_listen`',
  ),
  trusted_proxies: setting<readonly string[]>(
    list(addressRange),
    '[]',
    [],
    'web servers in front of the proxy, whose `Forwarded` and `X-Forwarded-*` fields are believed',
  ),
  proxy_protocol_from: setting<readonly string[]>(
    list(addressRange),
    '[]',
    [],
    'load balancers that begin each connection with a PROXY header (version 1 or 2), and must do so',
  ),
  access_log: setting<string | null>(
    logFile,
    null,
    null,
    'a file to which the proxy adds a line of JSON for each request, or `stdout`',
  ),
} as const;

import { BlockList, isIP } from 'node:net';
import { maxLifetimeProblem } from './lifecycle.ts';
import type { Report } from './problems.ts';
import type { Settings } from './settings.ts';
import type { ListenAddress } from './types.ts';

/** Says of a setting where it was written, or where the problem is to be shown when it was not. */
export type Locate = (name: keyof Settings) => { key: string; at: { file: string; line: number | null } };

/**
 * What is wrong between settings that are right one by one. What depends on one of `wrong`, which were reported
 * and hold their defaults, is not looked at: it would say things that are not so.
 */
export function checkTogether(
  settings: Settings,
  wrong: ReadonlySet<string>,
  locate: Locate,
  report: Report,
): void {
  const right: Right = (...names) => names.every((name) => !wrong.has(name));
  const say: Say = (name, message, expected) => {
    const { key, at } = locate(name);
    report(at, key, message, expected);
  };
  if (right('port_start', 'max_containers')) checkPorts(settings, right, say);
  checkListeners(settings, right, say);
  if (right('api_listen', 'api_tokens', 'api_open')) checkOpenness(settings, say);
  if (right('domain', 'hex_size')) checkApiHosts(settings, say);
  checkTls(settings, right, say);
  const { max_lifetime, docker_timeout } = settings;
  if (max_lifetime !== null && right('max_lifetime', 'docker_timeout')) {
    const problem = maxLifetimeProblem(max_lifetime, docker_timeout);
    if (problem !== null) say('max_lifetime', problem);
  }
}

/** Whether nobody but this machine reaches the address. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

type Say = (name: keyof Settings, message: string, expected?: string) => void;

type Right = (...names: (keyof Settings)[]) => boolean;

const listeners = ['api_listen', 'proxy_listen', 'tls_listen'] as const;

function checkListeners(settings: Settings, right: Right, say: Say): void {
  for (const [i, name] of listeners.entries()) {
    for (const other of listeners.slice(0, i)) {
      const [one, two] = [settings[name], settings[other]];
      if (!one || !two || !right(name, other) || !collide(one, two)) continue;
      say(name, `port ${one.port} is taken by ${other}; choose another one`);
    }
  }
}

function checkTls(settings: Settings, right: Right, say: Say): void {
  const { tls_listen, tls_certificates, http_redirect, public_url } = settings;
  if (!right('tls_listen')) return;
  if (right('tls_certificates')) {
    if (tls_listen && tls_certificates.length === 0) {
      say('tls_listen', 'https needs a certificate; name its files in tls_certificates');
    }
    if (!tls_listen && tls_certificates.length > 0) {
      say('tls_certificates', 'nothing listens for https; set tls_listen, or remove them');
    }
  }
  if (!http_redirect) return;
  if (!tls_listen) say('http_redirect', 'nothing listens for https; set tls_listen, or remove it');
  if (public_url?.startsWith('http:')) {
    say('http_redirect', 'public_url begins with http:, so nobody may be sent on; change one of the two');
  }
}

function checkPorts(settings: Settings, right: Right, say: Say): void {
  const lastPort = settings.port_start + settings.max_containers - 1;
  if (lastPort > 65_535) {
    const room = 65_536 - settings.port_start;
    say(
      'max_containers',
      `${settings.max_containers} ports from ${settings.port_start} on end at ${lastPort}, above 65535; ` +
        `lower it to ${room} or lower port_start`,
      `at most ${room}`,
    );
  }
  for (const name of listeners) {
    const port = settings[name]?.port ?? 0;
    if (!right(name) || port < settings.port_start || port > lastPort) continue;
    const range = `${settings.port_start} to ${lastPort}`;
    say(name, `port ${port} is one of the ports for containers, ${range}; choose one outside of them`);
  }
}

function checkOpenness(settings: Settings, say: Say): void {
  if (!isLoopback(settings.api_listen.host) && settings.api_tokens.length === 0 && !settings.api_open) {
    say(
      'api_listen',
      `the API would listen on ${settings.api_listen.host}, where others reach it, and let anybody spawn containers; ` +
        'set api_tokens, or set api_open: true if that is meant',
    );
  }
}

function checkApiHosts(settings: Settings, say: Say): void {
  const isContainer = new RegExp(`^[0-9a-f]{${settings.hex_size}}\\.`);
  for (const host of settings.api_hosts) {
    if (host.endsWith(`.${settings.domain}`) && isContainer.test(host)) {
      say('api_hosts', `"${host}" is the name of a container; the API never answers for one`);
    }
  }
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function collide(a: ListenAddress, b: ListenAddress): boolean {
  const everywhere = (host: string) => host === '0.0.0.0' || host === '::';
  return a.port !== 0 && a.port === b.port && (a.host === b.host || everywhere(a.host) || everywhere(b.host));
}

import { BlockList, isIP } from 'node:net';
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
  const right = (...names: (keyof Settings)[]) => names.every((name) => !wrong.has(name));
  const say: Say = (name, message, expected) => {
    const { key, at } = locate(name);
    report(at, key, message, expected);
  };
  if (right('port_start', 'max_containers')) checkPorts(settings, right, say);
  if (right('api_listen', 'proxy_listen') && collide(settings.api_listen, settings.proxy_listen)) {
    say('proxy_listen', `port ${settings.proxy_listen.port} is taken by api_listen; choose another one`);
  }
  if (right('api_listen', 'api_tokens', 'api_open')) checkOpenness(settings, say);
  if (right('domain', 'hex_size')) checkApiHosts(settings, say);
}

/** Whether nobody but this machine reaches the address. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

type Say = (name: keyof Settings, message: string, expected?: string) => void;

function checkPorts(settings: Settings, right: (name: keyof Settings) => boolean, say: Say): void {
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
  for (const name of ['api_listen', 'proxy_listen'] as const) {
    const { port } = settings[name];
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

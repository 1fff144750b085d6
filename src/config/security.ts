import { readFileSync } from 'node:fs';
import type { Node } from './source.ts';
import { type Reading, refuse, scalarType, type Type } from './types.ts';

/** What a container may do beyond its own walls: capabilities and security options. */

/**
 * The capabilities that containers keep: what the official images of nginx, Apache, Node and PostgreSQL need
 * to start: to change to another user, own their files, bind port 80 and end their children.
 */
export const defaultCapabilities: readonly string[] = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'],
];

/** A capability of Linux, with or without `CAP_`; gives it in capitals without. */
export const capability: Type<string> = scalarType('a capability of Linux such as NET_RAW', (text) => {
  const name = text.toUpperCase().replace(/^CAP_/, '');
  return kernelCapabilities.has(name) ? name : undefined;
});

/** The same, or `ALL`. */
export const droppedCapability: Type<string> = scalarType(
  'ALL, or a capability of Linux such as CHOWN',
  (text) => {
    const name = text.toUpperCase().replace(/^CAP_/, '');
    return name === 'ALL' || kernelCapabilities.has(name) ? name : undefined;
  },
);

/** As `capability`, with a word on why ALL is not one. */
export const addedCapability: Type<string> = {
  expected: capability.expected,
  read(node, key, reading) {
    const isAll = node.kind === 'scalar' && /^(cap_)?all$/i.test(node.text);
    if (!isAll) return capability.read(node, key, reading);
    const message =
      '`ALL` is never given: it would hand the host to whoever is in the container; name what is needed';
    reading.report(node.at, key, message, capability.expected);
    return undefined;
  },
};

/** The final set: the defaults, less what was dropped, then what was added; sorted, each once. */
export function capabilitiesOf(dropped: readonly string[], added: readonly string[]): string[] {
  const kept = defaultCapabilities.filter((name) => !dropped.includes('ALL') && !dropped.includes(name));
  return [...new Set([...kept, ...added])].sort();
}

/** One of Docker's security options, as it takes them. */
export const securityOption: Type<string> = {
  expected:
    'no-new-privileges:true or :false, seccomp=unconfined, seccomp=/path/of/a/profile.json, apparmor=PROFILE or label=...',
  read(node, key, reading) {
    const option = readOption(node);
    if (typeof option === 'string') return option;
    return option === null
      ? refuse(node, key, this.expected, reading)
      : say(node, key, option.problem, reading);
  },
};

/**
 * The final list: what the entry says, with no-new-privileges always in it: where the entry turns it off that is
 * said too, since an engine can have it on as its own default. Docker warns in its log of `:` instead of `=`.
 */
export function securityOptionsOf(options: readonly string[]): string[] {
  const rest = options.filter((option) => !option.startsWith('no-new-privileges'));
  return [`no-new-privileges=${!options.includes('no-new-privileges=false')}`, ...rest];
}

function readOption(node: Node): string | { readonly problem: string } | null {
  const text = node.kind === 'scalar' && typeof node.value === 'string' ? node.text.trim() : '';
  const [, name, value] = /^([a-z-]+)(?:[:=](.+))?$/.exec(text) ?? [];
  if (name === 'no-new-privileges') {
    if (value === undefined || value === 'true') return 'no-new-privileges=true';
    return value === 'false' ? 'no-new-privileges=false' : null;
  }
  if (value === undefined || /[\s{}]/.test(value)) return null;
  if (name === 'seccomp') return value === 'unconfined' ? 'seccomp=unconfined' : readProfile(value);
  return name === 'apparmor' || name === 'label' ? `${name}=${value}` : null;
}

/** The engine's API takes the profile itself; the path is a convenience of the command line and of Compose. */
function readProfile(path: string): string | { readonly problem: string } | null {
  if (!path.startsWith('/')) return null;
  try {
    const profile: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof profile === 'object' && profile !== null && 'defaultAction' in profile) {
      return `seccomp=${JSON.stringify(profile)}`;
    }
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return {
      problem: `the seccomp profile ${path} ${missing ? 'does not exist' : 'cannot be read as JSON'}`,
    };
  }
  return { problem: `${path} is no seccomp profile: it has no defaultAction` };
}

function say(node: Node, key: string, problem: string, reading: Reading): undefined {
  reading.report(node.at, key, problem);
  return undefined;
}

/** capabilities(7), as of Linux 6.x. */
const kernelCapabilities: ReadonlySet<string> = new Set([
  ...['AUDIT_CONTROL', 'AUDIT_READ', 'AUDIT_WRITE', 'BLOCK_SUSPEND', 'BPF', 'CHECKPOINT_RESTORE', 'CHOWN'],
  ...['DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'IPC_LOCK', 'IPC_OWNER', 'KILL', 'LEASE'],
  ...['LINUX_IMMUTABLE', 'MAC_ADMIN', 'MAC_OVERRIDE', 'MKNOD', 'NET_ADMIN', 'NET_BIND_SERVICE'],
  ...['NET_BROADCAST', 'NET_RAW', 'PERFMON', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYSLOG', 'SYS_ADMIN'],
  ...['SYS_BOOT', 'SYS_CHROOT', 'SYS_MODULE', 'SYS_NICE', 'SYS_PACCT', 'SYS_PTRACE', 'SYS_RAWIO'],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'WAKE_ALARM'],
]);

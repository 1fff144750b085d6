import { realpathSync } from 'node:fs';
import { posix } from 'node:path';
import type { TmpfsSpec, VolumeSpec } from '../core/image-entry.ts';
import { childKey, type MapNode, type Node } from './source.ts';
import { checkPlaceholders, refusePlaceholders } from './templates.ts';
import { boolean, choice, type Reading, refuse, type Type, text } from './types.ts';
import { volumeNameProblem } from './volume-names.ts';

/** Compose's `volumes` items: `NAME:/target`, `/host/path:/target:ro`, `/target`, or the long form. */
export const volume: Type<VolumeSpec> = {
  expected: 'a volume such as home-{user_id}:/home, /srv/data:/data:ro or /cache',
  read(node, key, reading) {
    if (node.kind === 'map') return longForm(node, key, reading);
    if (node.kind !== 'scalar' || typeof node.value !== 'string') {
      return refuse(node, key, this.expected, reading);
    }
    const parts = node.text.split(':');
    if (parts.length > 3 || parts.includes('')) return refuse(node, key, this.expected, reading);
    const [source, target, mode] = parts.length === 1 ? ['', parts[0]!] : [parts[0]!, parts[1]!, parts[2]];
    if (mode !== undefined && mode !== 'ro' && mode !== 'rw') {
      reading.report(node.at, key, `expected the mode ro or rw, got "${mode}"`, 'ro or rw');
      return undefined;
    }
    const type = source.startsWith('/') || /^[.~]/.test(source) ? 'bind' : 'volume';
    return checked({ type, source, target, readOnly: mode === 'ro' }, node, key, reading);
  },
};

/** Compose's `tmpfs` items: `/run`, `/tmp:size=64m,mode=1777`. */
export const tmpfs: Type<TmpfsSpec> = {
  expected: 'a mount such as /tmp or /tmp:size=64m,mode=1777',
  read(node, key, reading) {
    if (node.kind !== 'scalar') return refuse(node, key, this.expected, reading);
    const [, target, options] = /^([^:]+)(?::([\w=,.%-]*))?$/.exec(node.text) ?? [];
    if (target === undefined || !isMountTarget(target)) return refuse(node, key, this.expected, reading);
    if (!checkPlaceholders(target, node, key, false, reading)) return undefined;
    return { target: posix.normalize(target), options: options ?? '' };
  },
};

/** Whether it is an absolute path in the container other than its root. */
export function isMountTarget(path: string): boolean {
  return path.startsWith('/') && !/[\u0000-\u001f:]/.test(path) && normalized(path) !== '/';
}

/** The sockets of container engines on this machine, with the one that DOCKER_HOST names. */
export function engineSockets(dockerHost: string | undefined): string[] {
  const own = /^unix:\/\/(\/.+)$/.exec(dockerHost ?? '')?.[1];
  return [...usualSockets, ...(own === undefined ? [] : [normalized(own)])];
}

const usualSockets = [
  ...['/var/run/docker.sock', '/run/docker.sock', '/run/docker/containerd/containerd.sock'],
  ...['/run/containerd/containerd.sock', '/run/podman/podman.sock', '/run/crio/crio.sock'],
];

const longWords = ['type', 'source', 'target', 'read_only'];

function longForm(node: MapNode, key: string, reading: Reading): VolumeSpec | undefined {
  let sound = true;
  for (const [word, entry] of node.entries) {
    if (longWords.includes(word)) continue;
    sound = false;
    const message = `\`${word}\` is not supported here; there are ${longWords.join(', ')}`;
    reading.report(entry.at, childKey(key, word), message);
  }
  const read = <T>(word: string, type: Type<T>, otherwise: T): T | undefined => {
    const entry = node.entries.get(word);
    return entry ? type.read(entry.value, childKey(key, word), reading) : otherwise;
  };
  const type = read('type', choice('volume', 'bind'), 'volume');
  const source = read('source', text('a name or a path'), '');
  const target = read('target', text('a path in the container'), '');
  const readOnly = read('read_only', boolean, false);
  if (!sound || type === undefined || source === undefined) return undefined;
  if (target === undefined || readOnly === undefined) return undefined;
  return checked({ type, source, target, readOnly }, node, key, reading);
}

function checked(spec: VolumeSpec, node: Node, key: string, reading: Reading): VolumeSpec | undefined {
  const { source, target } = spec;
  if (!isMountTarget(target)) {
    const message = `expected an absolute path in the container, other than /, got "${target}"`;
    reading.report(node.at, key, message, 'an absolute path');
    return undefined;
  }
  if (!refusePlaceholders(target, node, key, reading)) return undefined;
  const problem = spec.type === 'bind' ? bindProblem(source, reading) : null;
  if (problem !== null) {
    reading.report(node.at, key, problem);
    return undefined;
  }
  if (spec.type === 'bind') {
    if (!refusePlaceholders(source, node, key, reading)) return undefined;
    return { ...spec, source: normalized(source), target: normalized(target) };
  }
  if (!checkPlaceholders(source, node, key, true, reading)) return undefined;
  const nameProblem = source === '' ? null : volumeNameProblem(source);
  if (nameProblem === null) return { ...spec, target: normalized(target) };
  reading.report(node.at, key, nameProblem);
  return undefined;
}

function bindProblem(source: string, reading: Reading): string | null {
  if (!source.startsWith('/')) return `expected an absolute path on the host, got "${source}"`;
  const path = normalized(source);
  const open = [path, realPath(path)].some((place) =>
    reading.engineSockets
      .flatMap((socket) => [socket, realPath(socket)])
      .some((socket) => place === '/' || socket === place || socket.startsWith(`${place}/`)),
  );
  if (!open) return null;
  return `"${source}" is, or holds, the socket of the container engine: whoever is in the container would own the host`;
}

/** Without `.`, `..`, double slashes and the one at the end. */
function normalized(path: string): string {
  const short = posix.normalize(path);
  return short.length > 1 ? short.replace(/\/$/, '') : short;
}

/** Where a path leads on this machine, as far as it exists. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = posix.dirname(path);
    return parent === path ? path : posix.join(realPath(parent), posix.basename(path));
  }
}

// Images made on the spot, with no registry: the Node binary of this checkout, the libraries it needs, and a
// small server that needs no packages.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
} from 'node:fs';
import path from 'node:path';
import { engineRequest } from './docker.mjs';
import { nodeBinary } from './packages.mjs';
import { visibly } from './say.mjs';
import { tar } from './tar.mjs';

/** The user that images run as when asked for `user: 'app'`. */
const appUser = { name: 'app', uid: 10001 };

/**
 * Sees to it that the engine has the image, and returns its name, `REPOSITORY:HASH`, where the hash is over
 * all that went into it: it is made once, and made again when something changed. `REPOSITORY:latest` follows.
 *
 * @param {{repository: string, folder: string, port: number, user?: 'root' | 'app',
 *   environment?: Record<string, string>}} image `folder` holds `server.mjs`, which needs no packages, and the
 *   files beside it.
 */
export async function ensureImage(image) {
  const engine = await json({ path: '/version' });
  const plan = runsHere(engine) ? importPlan(image) : buildPlan(image);
  const reference = `${image.repository}:${plan.hash}`;
  if (!(await hasImage(reference))) {
    await visibly(`Making the image ${reference}`, () => plan.make(reference));
    await removeOld(image.repository, reference);
  }
  await json({
    method: 'POST',
    path: `/images/${reference}/tag?${query({ repo: image.repository, tag: 'latest' })}`,
  });
  return reference;
}

/** Whether a program of this machine runs in the engine's containers. */
function runsHere(engine) {
  const arch = { x64: 'amd64', arm64: 'arm64', ppc64: 'ppc64le', s390x: 's390x' }[process.arch];
  return (
    process.platform === 'linux' &&
    engine.Os === 'linux' &&
    engine.Arch === arch &&
    existsSync('/etc/os-release')
  );
}

/** The image as one layer, given to the engine as a tar archive: what `docker import` does. */
function importPlan(image) {
  const binary = realpathSync(nodeBinary());
  const user = image.user ?? 'root';
  const entries = [
    ...['app', 'etc', 'usr', 'usr/bin', 'proc', 'sys', 'dev'].map((name) => ({
      path: name,
      directory: true,
    })),
    { path: 'tmp', directory: true, mode: 0o1777 },
    { path: 'etc/passwd', content: `root:x:0:0::/:\n${appUser.name}:x:${appUser.uid}:${appUser.uid}::/:\n` },
    { path: 'etc/group', content: `root:x:0:\n${appUser.name}:x:${appUser.uid}:\n` },
    ...librariesOf(binary).map((file) => ({ path: file, source: realpathSync(file), mode: 0o755 })),
    { path: 'usr/bin/node', source: binary, mode: 0o755 },
    ...filesOf(image.folder, 'app/'),
  ];
  const changes = [
    'WORKDIR /app',
    'CMD ["/usr/bin/node", "/app/server.mjs"]',
    `EXPOSE ${image.port}`,
    `USER ${user === 'app' ? `${appUser.uid}:${appUser.uid}` : '0:0'}`,
    'ENV PATH=/usr/bin',
    ...Object.entries(image.environment ?? {}).map(([key, value]) => `ENV ${key}=${JSON.stringify(value)}`),
  ];
  return {
    hash: hashOf({ entries: entries.map(fingerprint), changes }),
    make: async (reference) => {
      const [repo, tag] = reference.split(':');
      const parameters = query({ fromSrc: '-', repo, tag, changes });
      const headers = { 'content-type': 'application/x-tar' };
      await stream({ method: 'POST', path: `/images/create?${parameters}`, headers, body: tar(entries) });
    },
  };
}

/** Where this machine's programs do not run in the engine (macOS, Windows): from Node's official image. */
function buildPlan(image) {
  const dockerfile = [
    'FROM node:24-slim',
    'WORKDIR /app',
    'COPY app /app',
    ...Object.entries(image.environment ?? {}).map(([key, value]) => `ENV ${key}=${JSON.stringify(value)}`),
    `EXPOSE ${image.port}`,
    ...(image.user === 'app' ? [`USER ${appUser.uid}:${appUser.uid}`] : []),
    'CMD ["node", "/app/server.mjs"]',
    '',
  ].join('\n');
  const entries = [{ path: 'Dockerfile', content: dockerfile }, ...filesOf(image.folder, 'app/')];
  return {
    hash: hashOf(entries.map(fingerprint)),
    make: async (reference) => {
      const headers = { 'content-type': 'application/x-tar' };
      await stream({
        method: 'POST',
        path: `/build?${query({ t: reference })}`,
        headers,
        body: tar(entries),
      });
    },
  };
}

function filesOf(folder, prefix) {
  const names = readdirSync(folder).sort();
  return names.map((name) => ({ path: prefix + name, content: readFileSync(path.join(folder, name)) }));
}

/** The shared libraries of a program, the dynamic loader among them, at the paths where it looks for them. */
function librariesOf(binary) {
  const named = execFileSync('ldd', [binary], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1])
    .filter((file) => file !== undefined);
  // Before 2.34, glibc loaded the resolving of host names at run time, so ldd does not name it.
  const libc = named.find((file) => path.basename(file).startsWith('libc.so'));
  const late = libc
    ? ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2']
        .map((name) => path.join(path.dirname(libc), name))
        .filter((file) => existsSync(file))
    : [];
  return [...new Set([...named, ...late])];
}

/**
 * What makes two entries the same. Of a file: its size, its beginning and its end; the head of a program holds
 * its build's own hash, and reading all of Node at every start would take half a second.
 */
function fingerprint(entry) {
  if (entry.source === undefined)
    return { ...entry, content: entry.content && hashOf(String(entry.content)) };
  const file = openSync(entry.source, 'r');
  try {
    const sizeBytes = fstatSync(file).size;
    const part = Buffer.alloc(65536);
    const hash = createHash('sha256');
    for (const at of [0, Math.max(0, sizeBytes - part.length)]) {
      hash.update(part.subarray(0, readSync(file, part, 0, part.length, at)));
    }
    return { path: entry.path, mode: entry.mode, sizeBytes, parts: hash.digest('hex') };
  } finally {
    closeSync(file);
  }
}

function hashOf(value) {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

/** Earlier makes of the image; not those of the last day, which another checkout may be about to use. */
async function removeOld(repository, reference) {
  const filters = JSON.stringify({ reference: [repository] });
  const dayAgo = Date.now() / 1000 - 86_400;
  for (const image of await json({ path: `/images/json?${query({ filters })}` })) {
    if (image.Created > dayAgo) continue;
    for (const name of image.RepoTags ?? []) {
      // One that a container still uses is refused by the engine, and stays.
      if (name !== reference) await engineRequest({ method: 'DELETE', path: `/images/${name}` });
    }
  }
}

async function hasImage(reference) {
  const answer = await engineRequest({ path: `/images/${reference}/json` });
  if (answer.status === 404) return false;
  return accepted(answer, `looking for the image ${reference}`) !== null;
}

async function json(call) {
  const text = accepted(await engineRequest(call), `${call.method ?? 'GET'} ${call.path}`);
  return text === '' ? null : JSON.parse(text);
}

/** Calls that report progress answer 200 at once; the failure is in the last line. */
async function stream(call) {
  const text = accepted(await engineRequest(call), 'making the image');
  for (const line of text.split('\n')) {
    const error = line.trim().startsWith('{') ? JSON.parse(line).error : undefined;
    if (error) throw new Error(`the engine could not make the image: ${error}`);
  }
}

function accepted(answer, what) {
  if (answer.status >= 200 && answer.status < 300) return answer.text;
  const message = answer.text.startsWith('{') ? JSON.parse(answer.text).message : answer.text;
  throw new Error(`${what}: the engine answered ${answer.status}: ${message}`);
}

function query(parameters) {
  const pairs = Object.entries(parameters).flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
  return new URLSearchParams(pairs).toString();
}

// The packages of this checkout, and the Node that runs it.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runVisibly, say } from './say.mjs';

/** The folder of the checkout. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

const neededMajor = 24;

/** Installs what the lock file names, unless it is there already. */
export async function ensurePackages() {
  if (packagesAreCurrent(readJson('package-lock.json'), readJson('node_modules/.package-lock.json'))) return;
  // The Node to run with is a development dependency, so those are needed whatever NODE_ENV says.
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  await runVisibly('Installing packages (npm ci)', command, [...first, ...args], { cwd: root });
  if (!existsSync(localNode()) && Number(process.versions.node.split('.')[0]) < neededMajor) {
    throw new Error(
      `Node ${neededMajor} is needed; this is ${process.version}, and the package "node" that brings it was ` +
        `installed without its binary. Allow its install script (npm config get ignore-scripts), or install ` +
        `Node ${neededMajor} from https://nodejs.org.`,
    );
  }
}

/**
 * Whether everything that the lock file asks for is installed in that version. `installed` is the list that npm
 * writes at the end of an installation, so one that was broken off counts as none. Times are not looked at: a
 * checkout, a copy or a cache restores them as it likes.
 */
export function packagesAreCurrent(lock, installed) {
  if (!lock || !installed) return false;
  return Object.entries(lock.packages).every(([name, wanted]) => {
    if (name === '' || wanted.link) return true;
    const found = installed.packages?.[name];
    // Optional packages are for other platforms, or could not be built here.
    if (!found) return Boolean(wanted.optional || wanted.devOptional || wanted.peer);
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

/** The Node that runs the service and the tests: the checkout's own, else a new enough one that runs this. */
export function nodeBinary() {
  return existsSync(localNode()) ? localNode() : process.execPath;
}

/** The environment for what these scripts start: the checkout's programs first, the system's `sbin` last. */
export function childEnvironment(extra = {}) {
  const bin = path.join(root, 'node_modules', '.bin');
  const directories = [bin, process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin'];
  if (process.platform !== 'win32') directories.push('/usr/local/sbin', '/usr/sbin', '/sbin');
  return { ...process.env, ...extra, PATH: directories.join(path.delimiter) };
}

function localNode() {
  return path.join(root, 'node_modules', '.bin', 'node');
}

function readJson(name) {
  try {
    return JSON.parse(readFileSync(path.join(root, name), 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') say(`${name} cannot be read (${error.message}); it is taken as missing.`);
    return null;
  }
}

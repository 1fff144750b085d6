// Sees to it that a Docker Engine answers: `ensureEngine()` for the other scripts, and the verb `stop`, which
// ends an engine that was started here.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { aptInstall, isDebian } from './debian.mjs';
import { defaultDockerHost, NoEngine, ping } from './docker.mjs';
import { dockerdIsInstalled, startEngine, stopEngine, waitForEngine } from './dockerd.mjs';
import { say } from './say.mjs';

/**
 * Resolves when an engine answers; what is started from then on finds it through DOCKER_HOST. On Linux, as root,
 * one is started where none runs, and on Debian and Ubuntu installed where there is none. Anywhere else, throws
 * with what the person has to do.
 */
export async function ensureEngine() {
  if (process.env.DOCKER_HOST) return askGivenHost(process.env.DOCKER_HOST);
  const found = await firstThatAnswers([defaultDockerHost, ...otherHosts()]);
  if (found.host) {
    if (found.host !== defaultDockerHost) {
      process.env.DOCKER_HOST = found.host;
      say(`Using the Docker Engine at ${found.host}.`);
    }
    return;
  }
  if (found.problem.kind === 'denied') throw new Error(howToGetAccess());
  // Something listens there: an engine that is starting, or one that hangs. Another beside it is no help.
  if (found.problem.kind === 'silent' && (await waitForEngine(defaultDockerHost))) return;
  const reason = cannotSetUp();
  if (reason) throw new Error(reason);
  if (!dockerdIsInstalled()) {
    say('There is no Docker Engine on this machine. Installing Debian package docker.io and starting one.');
    await aptInstall(['docker.io', 'iptables']);
  }
  await startEngine(defaultDockerHost);
}

async function askGivenHost(host) {
  try {
    await ping(host);
  } catch (error) {
    if (!(error instanceof NoEngine)) throw error;
    if (error.kind === 'denied') throw new Error(howToGetAccess(host));
    if (error.kind === 'unsupported') throw error;
    throw new Error(
      `DOCKER_HOST is set, but ${error.message}. Start the engine there, correct DOCKER_HOST, or unset it to use the one of this machine.`,
    );
  }
}

/** The first host that answers, else the problem with the first one. */
async function firstThatAnswers(hosts) {
  let problem;
  for (const host of hosts) {
    try {
      await ping(host);
      return { host };
    } catch (error) {
      if (!(error instanceof NoEngine)) throw error;
      problem ??= error;
    }
  }
  return { problem };
}

/** Where else engines of this person may listen: the docker command's current context, rootless, Docker Desktop. */
function otherHosts() {
  const home = os.homedir();
  const sockets = [
    process.env.XDG_RUNTIME_DIR && path.join(process.env.XDG_RUNTIME_DIR, 'docker.sock'),
    path.join(home, '.docker/run/docker.sock'),
  ].filter((file) => file && existsSync(file));
  return [contextHost(path.join(home, '.docker')), ...sockets.map((file) => `unix://${file}`)].filter(
    Boolean,
  );
}

function contextHost(directory) {
  try {
    const { currentContext } = JSON.parse(readFileSync(path.join(directory, 'config.json'), 'utf8'));
    const name = process.env.DOCKER_CONTEXT || currentContext;
    if (!name || name === 'default') return null;
    const folder = createHash('sha256').update(name).digest('hex');
    const meta = JSON.parse(readFileSync(path.join(directory, 'contexts/meta', folder, 'meta.json'), 'utf8'));
    const host = meta.Endpoints?.docker?.Host;
    return /^(unix|tcp):/.test(host) ? host : null;
  } catch {
    // No such file, or not one that this understands: then there is no context to follow.
    return null;
  }
}

function howToGetAccess(host = defaultDockerHost) {
  const user = userName();
  return [
    `A Docker Engine listens at ${host}, but the user ${user} may not use it. Either`,
    `  sudo usermod -aG docker ${user}     (then log in again, or run: newgrp docker)`,
    'or run this command with sudo.',
  ].join('\n');
}

function userName() {
  try {
    return os.userInfo().username;
  } catch {
    // A user id without a name, as some containers have it.
    return String(process.getuid?.() ?? 'USER');
  }
}

/** Why no engine can be set up from here, with what to do instead; null where it can. */
function cannotSetUp() {
  const again = 'Then run this command again.';
  if (process.platform === 'darwin') {
    return `Docker Spawner needs a Docker Engine, and none answers. Install Docker Desktop (https://docs.docker.com/desktop/setup/install/mac-install/) or Colima (brew install colima docker && colima start), and start it. ${again}`;
  }
  if (process.platform === 'win32') {
    return `Docker Spawner needs a Docker Engine on Linux. Install WSL 2 (wsl --install), and work in a checkout inside of it, as root or with Docker Desktop's WSL integration. ${again}`;
  }
  if (process.platform !== 'linux') {
    return `Docker Spawner needs a Docker Engine, and none answers. Point DOCKER_HOST to one. ${again}`;
  }
  if (process.getuid() !== 0) {
    if (dockerdIsInstalled()) {
      return `Docker is installed, but no engine runs. Start it: sudo systemctl start docker (or: sudo service docker start). ${again}`;
    }
    const install = isDebian()
      ? 'sudo apt-get install docker.io iptables'
      : 'see https://docs.docker.com/engine/install/';
    return `Docker Spawner needs a Docker Engine, and none is installed. Install it: ${install}, and then: sudo usermod -aG docker ${userName()} (and log in again). Or run this command as root.`;
  }
  if (!dockerdIsInstalled() && !isDebian()) {
    return `Docker Spawner needs a Docker Engine, and none is installed. Install it: https://docs.docker.com/engine/install/ (on Debian and Ubuntu this command would have done it). ${again}`;
  }
  return null;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    if (process.argv[2] === 'stop') await stopEngine();
    else if (process.argv[2] === undefined) await ensureEngine();
    else throw new Error(`There is no verb "${process.argv[2]}"; there is: stop`);
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}

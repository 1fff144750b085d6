// Starting and stopping the Docker daemon of this machine; needs root.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { isInstalled } from './debian.mjs';
import { ping } from './docker.mjs';
import { childEnvironment } from './packages.mjs';
import { runVisibly, say, visibly } from './say.mjs';

/** What was started here; in /run, which a reboot empties. */
const recordFile = '/run/docker-spawner-engine.json';
const pidFile = '/var/run/docker.pid';
const startTimeoutMs = 120_000;
/** dockerd gives containers 15 s to end when it ends. */
const stopTimeoutMs = 60_000;

export function dockerdIsInstalled() {
  return isInstalled('dockerd');
}

/** Starts the daemon, by systemd where it runs, and resolves when it answers at `host`. */
export async function startEngine(host) {
  // Installing the package may have started it, or another of these scripts; or it is about to end.
  if (runningDockerd() && (await waitForEngine(host))) return;
  if (existsSync('/run/systemd/system') && isInstalled('systemctl')) {
    await runVisibly('Starting the Docker Engine (systemctl start docker)', 'systemctl', ['start', 'docker']);
    if (!(await waitForEngine(host))) throw new Error('The Docker Engine ended; see: journalctl -u docker');
    record({ by: 'systemd', log: 'journalctl -u docker' });
  } else {
    await startInBackground(host);
  }
}

/**
 * Waits for an engine that is there and does not answer yet (systemd holds calls until it has started it).
 * True when it answers, false when its process ended; throws after two minutes.
 */
export function waitForEngine(host) {
  return awaitAnswer(host, () => runningDockerd() !== null);
}

/** Ends the daemon that `startEngine` has started; any other is left alone. */
export async function stopEngine() {
  const started = readRecord();
  if (!started) return say('No Docker Engine was started from here; nothing to stop.');
  if (startTicks(started.pid) !== started.startTicks || programOf(started.pid) !== 'dockerd') {
    rmSync(recordFile, { force: true });
    return say('The Docker Engine that was started from here is not running any more.');
  }
  if (started.by === 'systemd') {
    await runVisibly('Stopping the Docker Engine', 'systemctl', ['stop', 'docker.socket', 'docker.service']);
  } else {
    process.kill(started.pid, 'SIGTERM');
    await visibly('Stopping the Docker Engine and its containers', () =>
      until(
        () => startTicks(started.pid) !== started.startTicks,
        stopTimeoutMs,
        () => {
          throw new Error(`dockerd (pid ${started.pid}) does not end; its log is ${started.log}`);
        },
      ),
    );
  }
  rmSync(recordFile, { force: true });
}

async function startInBackground(host) {
  await removeLeftovers();
  const { file, descriptor } = openLog();
  const child = spawn('dockerd', [], {
    cwd: '/',
    env: childEnvironment(),
    detached: true,
    stdio: ['ignore', descriptor, descriptor],
  });
  closeSync(descriptor);
  let ended = null;
  child.on('error', (error) => {
    ended = error.message;
  });
  child.on('exit', (code, signal) => {
    ended = signal ?? `code ${code}`;
  });
  child.unref();
  say(`Starting a Docker Engine in the background; its log is ${file}. "npm run stop-engine" stops it.`);
  // Where two of these scripts start at once, one daemon gives way to the other, which then answers.
  const lives = () => ended === null || runningDockerd() !== null;
  const answered = await awaitAnswer(host, lives).catch((error) => {
    ended = error.message;
    return false;
  });
  if (!answered) {
    throw new Error(
      `The Docker Engine could not be started (${ended}). The last lines of ${file}:\n${lastLines(file, 20)}`,
    );
  }
  if (ended === null) record({ by: 'script', log: file });
}

/**
 * What an engine that was killed leaves behind and the next one stumbles over: pid files whose number belongs to
 * nobody or to somebody else by now (dockerd refuses to start, or waits for a containerd that is none), and
 * the socket of a containerd that is gone (dockerd prefers it to one of its own). Containers, shims and a
 * containerd that still run are taken over by dockerd itself.
 */
async function removeLeftovers() {
  for (const [file, program] of [
    [pidFile, 'dockerd'],
    ['/var/run/docker/containerd/containerd.pid', 'containerd'],
  ]) {
    const pid = readPid(file);
    if (pid === null || programOf(pid) === program) continue;
    say(`Removing ${file}, left by an engine that was killed.`);
    rmSync(file, { force: true });
  }
  const socket = '/run/containerd/containerd.sock';
  if (existsSync(socket) && !(await accepts(socket))) {
    say(`Removing ${socket}, left by a containerd that was killed.`);
    rmSync(socket, { force: true });
  }
}

function openLog() {
  for (const directory of ['/var/log', os.tmpdir()]) {
    const file = path.join(directory, 'docker-spawner-dockerd.log');
    try {
      return { file, descriptor: openSync(file, 'w', 0o600) };
    } catch (error) {
      say(`${file} cannot be written (${error.code}).`);
    }
  }
  throw new Error('There is no place for the log of the Docker Engine.');
}

/** True when the engine answers, false when it does not live any more; throws after two minutes. */
async function awaitAnswer(host, lives) {
  let answered = false;
  const settled = async () => {
    answered = await ping(host, 5000).then(
      () => true,
      () => false,
    );
    return answered || !lives();
  };
  return visibly('Waiting for the Docker Engine', async () => {
    await until(settled, startTimeoutMs, () => {
      throw new Error(`it did not answer within ${startTimeoutMs / 1000} s`);
    });
    return answered;
  });
}

/** Of a daemon's log, without what its connections to containerd tell each time. */
function lastLines(file, lines) {
  const all = readFileSync(file, 'utf8').trimEnd().split('\n');
  return all
    .filter((line) => !line.includes('module=grpc'))
    .slice(-lines)
    .join('\n');
}

async function until(condition, timeoutMs, onTimeout) {
  const endMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > endMs) return onTimeout();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The pid of a daemon that lives, by the file it writes when it starts; else null. */
function runningDockerd() {
  const pid = readPid(pidFile);
  return pid !== null && programOf(pid) === 'dockerd' ? pid : null;
}

function record({ by, log }) {
  const pid = runningDockerd();
  if (pid === null) return;
  writeFileSync(recordFile, JSON.stringify({ pid, startTicks: startTicks(pid), by, log }));
}

function readRecord() {
  return existsSync(recordFile) ? JSON.parse(readFileSync(recordFile, 'utf8')) : null;
}

function readPid(file) {
  if (!existsSync(file)) return null;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  return pid > 0 ? pid : null;
}

/** The name of the program that runs under a pid; null where none does, or only its zombie is left. */
function programOf(pid) {
  const stat = processStat(pid);
  return stat === null || stat.state === 'Z' ? null : stat.program;
}

/** When a process started, in clock ticks since boot: tells it from a later one with its number. */
function startTicks(pid) {
  const stat = processStat(pid);
  return stat === null || stat.state === 'Z' ? null : stat.startTicks;
}

/** proc(5): `PID (PROGRAM) STATE ...`, and the start time as the 22nd field. */
function processStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = text.lastIndexOf(')');
    const fields = text.slice(end + 2).split(' ');
    return { program: text.slice(text.indexOf('(') + 1, end), state: fields[0], startTicks: fields[19] };
  } catch {
    return null;
  }
}

function accepts(socketPath) {
  return new Promise((resolve) => {
    const socket = net.connect(socketPath);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      resolve(true);
      socket.destroy();
    });
  });
}

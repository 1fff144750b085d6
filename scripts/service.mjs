// Runs the command line of this checkout, in place of the script that calls it as far as Node allows.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { childEnvironment, nodeBinary, root } from './packages.mjs';

const parentCheckMs = 500;

/** Runs `docker-spawner ARGS`, passes signals on to it, and resolves with its exit code. */
export function runService(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(nodeBinary(), [path.join(root, 'src', 'cli', 'main.ts'), ...args], {
      env: childEnvironment(),
      stdio: 'inherit',
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    if (process.env.npm_lifecycle_event) onceParentIsGone(() => child.kill('SIGTERM'));
    child.on('error', (error) => reject(new Error(`Node could not be started: ${error.message}`)));
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/**
 * npm passes SIGTERM on to the shell between it and this, and some shells end of it without passing it on: the
 * service would live on by itself, with nobody who knows of it. So would it when npm is killed.
 */
function onceParentIsGone(act) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    act();
  }, parentCheckMs);
  timer.unref();
}

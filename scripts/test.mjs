// `npm test`: sees to packages, an engine and the programs that tests use; then types, lint and all tests. The
// last line on standard output is `N passed, N failed`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { aptInstall, isDebian, isInstalled } from './debian.mjs';
import { ensureEngine } from './engine.mjs';
import { childEnvironment, ensurePackages, root } from './packages.mjs';
import { say } from './say.mjs';
import { count } from './test-count.mjs';

/** Programs that tests start, and the Debian packages that have them. */
const neededPrograms = { chromium: 'chromium', promtool: 'prometheus' };

const failedChecks = [];
let report = null;
let vitestCode = null;
try {
  await ensurePackages();
  await ensureEngine();
  await ensurePrograms();
  if ((await run('Types', 'tsc', ['--noEmit'])) !== 0) failedChecks.push('types');
  if ((await run('Lint', 'biome', ['check', '.'])) !== 0) failedChecks.push('lint');
  ({ report, vitestCode } = await runTests());
} catch (error) {
  say(error.message);
  failedChecks.push(error.message.split('\n')[0]);
}
const { passed, failed, reasons } = count({ report, vitestCode, failedChecks });
for (const reason of reasons) say(`Failed: ${reason}`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

async function ensurePrograms() {
  const missing = Object.keys(neededPrograms).filter((program) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = missing.map((program) => neededPrograms[program]);
  if (isDebian() && process.getuid() === 0) return aptInstall(packages);
  const how = isDebian() ? `sudo apt-get install ${packages.join(' ')}` : 'see your system for how';
  throw new Error(`The tests need ${missing.join(', ')}. Install: ${how}. Then run "npm test" again.`);
}

async function runTests() {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'docker-spawner-test-'));
  const file = path.join(directory, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const code = await run('Tests', 'vitest', ['run', ...reporters]);
    return { report: readReport(file), vitestCode: code };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** null where Vitest ended before it could write one. */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** Runs a program of the checkout with its output shown; resolves with its exit code. */
function run(title, program, args) {
  say(`\n${title}: ${program} ${args.slice(0, 2).join(' ')}`);
  const startedMs = Date.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env: childEnvironment(),
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => reject(new Error(`${program} could not be started: ${error.message}`)));
    child.on('exit', (code, signal) => {
      if (signal) return reject(new Error(`${title} was broken off by ${signal}.`));
      say(`${title}: ${code === 0 ? 'passed' : 'FAILED'} (${Math.round((Date.now() - startedMs) / 1000)} s)`);
      resolve(code);
    });
  });
}

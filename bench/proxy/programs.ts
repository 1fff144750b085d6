import { type ChildProcess, type ForkOptions, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { eventually } from '../../test/support/eventually.ts';

/** Programs that a measurement starts, and ends with itself. */

const repository = join(import.meta.dirname, '../..');
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

/** Where an installed program is: among the checkout's packages, on the PATH, or where Debian puts daemons. */
export function findProgram(name: string): string | null {
  const folders = [
    join(repository, 'node_modules/.bin'),
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
  ];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** Starts a program and waits until it accepts connections on the port. Throws what it said where it ends first. */
export async function startProgram(
  path: string,
  args: readonly string[],
  port: number,
  env: NodeJS.ProcessEnv = {},
): Promise<ChildProcess> {
  const child = spawn(path, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  keep(child);
  let said = '';
  const listen = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  };
  child.stdout.on('data', listen);
  child.stderr.on('data', listen);
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${path} ended: ${said}`);
  });
  await Promise.race([eventually(() => accepts(port), 15_000), ended]);
  ended.catch(() => {});
  return child;
}

/** Runs a program to its end and gives its standard output. */
export async function runProgram(path: string, args: readonly string[]): Promise<string> {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  keep(child);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${path} ended with ${code}: ${output}`);
  return output;
}

/** A module of the bench in a process of its own, which answers each message with one. */
export class Helper<Ask extends { readonly do: string }> {
  readonly child: ChildProcess;
  #next = 0;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();

  constructor(module: string, settings: unknown, options: ForkOptions = {}) {
    this.child = fork(join(import.meta.dirname, module), [JSON.stringify(settings)], options);
    keep(this.child);
    this.child.on('message', ({ ask, value, error }: Reply) => {
      const waiting = this.#waiting.get(ask);
      this.#waiting.delete(ask);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(`${module}: ${error}`));
    });
    this.child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`${module} ended: ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  ask<T>(message: Ask): Promise<T> {
    const ask = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(ask, { resolve: (value) => resolve(value as T), reject });
      this.child.send({ ask, message });
    });
  }
}

interface Reply {
  readonly ask: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** In the process of a Helper: answers what it is asked. */
export function answerAsks<Ask>(answer: (message: Ask) => unknown): void {
  process.on('message', async ({ ask, message }: { ask: number; message: Ask }) => {
    try {
      process.send!({ ask, value: await answer(message) });
    } catch (error) {
      process.send!({ ask, error: String((error as Error).stack ?? error) });
    }
  });
  process.on('disconnect', () => process.exit(0));
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(timer);
}

function keep(child: ChildProcess): void {
  running.add(child);
  child.on('exit', () => running.delete(child));
}

function accepts(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}

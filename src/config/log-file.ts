import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { refuse, type Type, text } from './types.ts';

/**
 * A file that lines are added to; gives the absolute path. Also `stdout`, or `-`, which YAML only takes in quotes:
 * gives `-`.
 */
export const logFile: Type<string> = {
  expected: 'a file, or stdout',
  read(node, key, reading) {
    const written = text(this.expected, /./).read(node, key, reading);
    if (written === undefined) return undefined;
    if (written === 'stdout' || written === '-') return '-';
    if (written.endsWith('/')) return refuse(node, key, this.expected, reading);
    const path = resolve(reading.cwd, written);
    const problem = problemWith(path);
    if (problem === null) return path;
    reading.report(node.at, key, problem, this.expected);
    return undefined;
  },
};

/** Found now, and not when the first visitor comes. Nothing is made or written yet. */
function problemWith(path: string): string | null {
  const directory = dirname(path);
  try {
    if (!existsSync(directory)) return `there is no directory ${directory}; make it first`;
    if (!statSync(directory).isDirectory()) return `${directory} is no directory; name another one`;
    if (existsSync(path) && statSync(path).isDirectory()) return `${path} is a directory; name a file`;
    accessSync(existsSync(path) ? path : directory, constants.W_OK);
    return null;
  } catch {
    return `this user may not write to ${path}`;
  }
}

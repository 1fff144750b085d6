// What the scripts tell the person who started them: always on standard error, since standard output belongs to
// what they start.
import { spawn } from 'node:child_process';
import process from 'node:process';

const onTerminal = Boolean(process.stderr.isTTY) && !process.env.CI;
/** How often a sign of life appears: on a terminal one line changes, a log gets another line. */
const beatMs = onTerminal ? 1000 : 10_000;

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * Says what is being done until it is done, and how long it took where that was noticeable.
 * `work` gets a function that tells how far it is; it fails by throwing, or by resolving with false.
 */
export async function visibly(title, work) {
  const startedMs = Date.now();
  let detail = '';
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  if (!onTerminal) say(`${title} ...`);
  const beat = setInterval(() => show(`${title} ... ${seconds()} s  ${detail}`), beatMs);
  if (onTerminal) show(`${title} ...`);
  try {
    const result = await work((text) => {
      detail = text;
    });
    finish(`${title}: ${result === false ? 'failed' : 'done'}${seconds() >= 1 ? ` (${seconds()} s)` : ''}`);
    return result;
  } catch (error) {
    finish(`${title}: failed`);
    throw error;
  } finally {
    clearInterval(beat);
  }
}

/** Runs a program to its end, with its last line of output as progress; throws with its last lines. */
export function runVisibly(title, command, args, { cwd, env = process.env } = {}) {
  return visibly(title, (progress) => {
    return new Promise((resolve, reject) => {
      const lines = [];
      const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8');
        let part = '';
        stream.on('data', (text) => {
          const pieces = (part + text).split(/[\r\n]+/);
          part = pieces.pop();
          for (const line of pieces.filter((piece) => piece.trim() !== '')) {
            lines.push(line);
            progress(line.trim());
          }
          lines.splice(0, lines.length - 40);
        });
        stream.on('end', () => part.trim() !== '' && lines.push(part));
      }
      child.on('error', (error) => reject(new Error(`${command} could not be started: ${error.message}`)));
      child.on('close', (code, signal) => {
        if (code === 0) return resolve();
        const end = signal ? `was ended by ${signal}` : `failed with code ${code}`;
        reject(new Error(`${[command, ...args].join(' ')} ${end}:\n${lines.slice(-20).join('\n')}`));
      });
    });
  });
}

function show(text) {
  if (!onTerminal) return say(text.trimEnd());
  const width = (process.stderr.columns || 80) - 1;
  process.stderr.write(`\r\x1b[2K${text.slice(0, width)}`);
}

function finish(text) {
  process.stderr.write(onTerminal ? `\r\x1b[2K${text}\n` : `${text}\n`);
}

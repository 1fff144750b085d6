import type { Duplex } from 'node:stream';
import { EngineError, type ExecResult } from '../core/engine.ts';
import { abortError, pauseFor } from './abort.ts';
import { pathOf } from './docker-calls.ts';
import type { DockerClient } from './docker-client.ts';
import { createLogReader } from './docker-logs.ts';

/**
 * Runs a command in a container, with `input` on its standard input, and resolves when it has ended; a command
 * that cannot be run has exit code 126 or 127. When the signal fires the call ends; the command does not.
 */
export async function exec(
  client: DockerClient,
  ref: string,
  { command, input }: { readonly command: readonly string[]; readonly input: string },
  signal: AbortSignal,
): Promise<ExecResult> {
  const streams = { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: false };
  const doing = 'run a command in a container';
  const { Id } = await client.json<{ Id: string }>(
    { method: 'POST', path: pathOf(ref, 'exec'), body: { ...streams, Cmd: [...command] }, doing },
    signal,
  );
  const connection = await client.hijack(
    { method: 'POST', path: `/exec/${Id}/start`, body: { Detach: false, Tty: false }, doing },
    signal,
  );
  const output = createLogReader(maxOutputBytes);
  const tookAll = await converse(connection, input, output.push, signal);
  const exitCode = await exitCodeOf(client, Id, signal);
  // It can have done its work on a part of the input without knowing.
  if (!tookAll && exitCode === 0) {
    throw new EngineError('failed', 'The command in the container ended before it had read all of its input');
  }
  return { exitCode, output: output.text() };
}

/** The most that is kept of a command's output, in bytes as they were written. */
const maxOutputBytes = 4 * 1024;

/**
 * Sends the input and its end, and reads until the engine closes the connection, which it does when the command
 * has ended. Resolves with whether the engine took all of the input. A connection that breaks is not an error
 * here: it does so too where a command ends without reading, and what became of the command is asked for next.
 */
function converse(
  connection: Duplex,
  input: string,
  onChunk: (chunk: Buffer) => void,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise<boolean>((resolve, reject) => {
    const onAbort = () => {
      reject(abortError(signal));
      connection.destroy();
    };
    connection.on('data', onChunk);
    connection.on('error', () => {});
    connection.on('close', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(connection.writableFinished);
    });
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    // The end of the input is a half-close: the output still comes.
    connection.end(input);
  });
}

/** The output can end a moment before the engine knows the exit code. */
async function exitCodeOf(client: DockerClient, id: string, signal: AbortSignal): Promise<number> {
  const request = { method: 'GET', path: `/exec/${id}/json`, doing: 'tell how a command ended' } as const;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 250)) {
    const { Running, ExitCode } = await client.json<DockerExec>(request, signal);
    if (!Running && ExitCode !== null) return ExitCode;
    await pauseFor(pauseMs, signal);
  }
}

/** What is read of `GET /exec/{id}/json`. */
interface DockerExec {
  readonly Running: boolean;
  readonly ExitCode: number | null;
}

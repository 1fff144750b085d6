import {
  type CreateRequest,
  type EngineContainer,
  EngineError,
  type EngineErrorKind,
} from '../core/engine.ts';
import type { Log } from '../core/log.ts';
import { pauseFor } from './abort.ts';
import type { DockerClient } from './docker-client.ts';
import { type DockerInspected, fromInspected } from './docker-containers.ts';
import { createLineSplitter } from './docker-events.ts';
import { createPullProgress, pullFailed, pullQuery } from './docker-pull.ts';

/** The path of a container, or of something about it. */
export function pathOf(ref: string, about?: string): string {
  const base = `/containers/${encodeURIComponent(ref)}`;
  return about === undefined ? base : `${base}/${about}`;
}

export async function inspect(
  client: DockerClient,
  ref: string,
  signal: AbortSignal,
): Promise<EngineContainer> {
  const request = { method: 'GET', path: pathOf(ref, 'json'), doing: 'inspect a container' } as const;
  return fromInspected(await client.json<DockerInspected>(request, signal));
}

export async function start(client: DockerClient, ref: string, signal: AbortSignal): Promise<void> {
  await client.send({ method: 'POST', path: pathOf(ref, 'start'), doing: 'start a container' }, signal);
}

export async function unpause(client: DockerClient, ref: string, signal: AbortSignal): Promise<void> {
  await client.send({ method: 'POST', path: pathOf(ref, 'unpause'), doing: 'continue a container' }, signal);
}

/** One that is paused already, or does not run, is no error. */
export async function pause(client: DockerClient, ref: string, signal: AbortSignal): Promise<void> {
  const request = { method: 'POST', path: pathOf(ref, 'pause'), doing: 'pause a container' } as const;
  await client.send(request, signal).catch((error: unknown) => {
    if (!isKind(error, 'failed') || !/is already paused|is not running/i.test(error.message)) throw error;
  });
}

/**
 * Resolves when it has ended, by itself or by force after `graceMs` (null: the time that it was created with,
 * else 10 seconds). One that has ended already is no error, and a paused one is continued by the engine so that
 * it sees the signal.
 */
export async function stop(
  client: DockerClient,
  ref: string,
  graceMs: number | null,
  signal: AbortSignal,
): Promise<void> {
  const query = { t: graceMs === null ? undefined : String(Math.ceil(graceMs / 1000)) };
  await client.send({ method: 'POST', path: pathOf(ref, 'stop'), query, doing: 'stop a container' }, signal);
}

/** One that has the name already is no error. */
export async function rename(
  client: DockerClient,
  ref: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const request = {
    method: 'POST',
    path: pathOf(ref, 'rename'),
    query: { name },
    doing: `give a container the name ${name}`,
  } as const;
  await client.send(request, signal).catch((error: unknown) => {
    if (!isKind(error, 'failed') || !/same name as its current name/i.test(error.message)) throw error;
  });
}

/**
 * Kills and removes it with its anonymous volumes, and asks again until the engine does not know it any more.
 * So a removal that somebody else has begun (409) is waited for, and taken over should it fail.
 */
export async function removeByForce(client: DockerClient, ref: string, signal: AbortSignal): Promise<void> {
  const query = { force: '1', v: '1' };
  const request = { method: 'DELETE', path: pathOf(ref), query, doing: 'remove a container' } as const;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 250)) {
    try {
      await client.send(request, signal);
    } catch (error) {
      if (isKind(error, 'not_found')) return;
      if (!isKind(error, 'failed') || !/already in progress/.test(error.message)) throw error;
      await pauseFor(pauseMs, signal);
    }
  }
}

/** After a failed start. Where the caller has gone, it goes on without holding anybody up. */
export async function discard(
  client: DockerClient,
  ref: string,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  const removal = removeByForce(client, ref, AbortSignal.timeout(30_000)).catch((err: unknown) =>
    log.warn({ err, ref }, 'A container that failed to start could not be removed yet'),
  );
  if (!signal.aborted) await removal;
}

/** Fails with `image_missing`, in the engine's words, where the image could not be pulled. */
export async function pull(client: DockerClient, request: CreateRequest, signal: AbortSignal): Promise<void> {
  const { image, platform } = request.specification.spec;
  const lines = createLineSplitter();
  const progress = createPullProgress(image);
  const tell = (line: string) => {
    if (line === '') return;
    const bytes = progress.push(line);
    if (bytes) request.onProgress?.({ step: 'pulling', ...bytes });
  };
  const onChunk = (chunk: Buffer) => lines.push(chunk).forEach(tell);
  const query = pullQuery(image, platform);
  request.onProgress?.({ step: 'pulling', currentBytes: 0, totalBytes: 0 });
  try {
    await client.stream(
      { method: 'POST', path: '/images/create', query, doing: 'pull it' },
      { onChunk },
      signal,
    );
    tell(lines.rest());
  } catch (error) {
    if (isKind(error, 'failed', 'not_found')) throw pullFailed(image, error.message);
    throw error;
  }
}

export function isKind(error: unknown, ...kinds: readonly EngineErrorKind[]): error is EngineError {
  return error instanceof EngineError && kinds.includes(error.kind);
}

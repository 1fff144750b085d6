import type { ContainerCreateOptions } from 'dockerode';
import { type CreateRequest, type Engine, type EngineContainer, EngineError } from '../core/engine.ts';
import { labels } from '../core/labels.ts';
import type { Log } from '../core/log.ts';
import { containerName, warmContainerName } from '../core/names.ts';
import { untilAborted } from './abort.ts';
import {
  discard,
  inspect,
  isKind,
  pathOf,
  pause,
  pull,
  removeByForce,
  rename,
  start,
  stop,
  unpause,
} from './docker-calls.ts';
import { createDockerClient, type DockerClient } from './docker-client.ts';
import { dockerConnection } from './docker-connection.ts';
import { type DockerListed, fromListed, needsInspection, upstreamOf } from './docker-containers.ts';
import { createBody } from './docker-create-body.ts';
import { fromTransport, isNetworkMissing, redacted } from './docker-errors.ts';
import { createLineSplitter, eventFilters, readEvent } from './docker-events.ts';
import { exec } from './docker-exec.ts';
import { createLogDecoder } from './docker-logs.ts';
import { createInstanceNetwork } from './docker-network.ts';
import { type DockerStats, fromStats } from './docker-stats.ts';

export interface DockerEngineOptions {
  /** `identity` is the ledger's UUID; it is asked for whenever a label is written. */
  readonly owner: { readonly instance: string; identity(): string };
  readonly containerPrefix: string;
  /** DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH are read from it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
}

/**
 * The engine `docker`: a Docker Engine from 20.10 on, on this machine. Throws an Error for a person where
 * DOCKER_HOST cannot be used; whether an engine answers there is not asked yet.
 */
export function createDockerEngine(options: DockerEngineOptions): Engine {
  const { owner, containerPrefix, env, log } = options;
  const connection = dockerConnection(env);
  const client = createDockerClient(connection);
  const currentOwner = () => ({ instance: owner.instance, ledger: owner.identity() });
  const network = createInstanceNetwork(client, currentOwner);

  const createContainer = async (
    request: CreateRequest,
    body: ContainerCreateOptions,
    signal: AbortSignal,
  ): Promise<EngineContainer> => {
    const { specification, warm, beforeCreate, onProgress } = request;
    const { image, platform, networkMode } = specification.spec;
    const name = (warm ? warmContainerName : containerName)(containerPrefix, specification.id);
    if (beforeCreate) await untilAborted(signal, beforeCreate());
    if (networkMode === null) await network.ensure(signal);
    onProgress?.({ step: 'creating' });
    const { Id } = await client.json<{ Id: string }>(
      {
        method: 'POST',
        path: '/containers/create',
        query: { name, platform: platform ?? undefined },
        body,
        doing: `create the container ${name}`,
      },
      signal,
    );
    onProgress?.({ step: 'starting' });
    try {
      await start(client, Id, signal);
    } catch (error) {
      await discard(client, Id, signal, log);
      throw error;
    }
    return running({ ref: Id, name, image, labels: body.Labels ?? {} });
  };

  const startAgain = async (ref: string, signal: AbortSignal) => {
    try {
      await start(client, ref, signal);
    } catch (error) {
      // `docker network prune` takes a network away whose containers are all asleep.
      if (!isNetworkMissing(error) || !(await network.rejoin(ref, signal))) throw error;
      await start(client, ref, signal);
    }
  };

  return {
    async check(signal) {
      // Not /version: engines run other programs to answer that.
      const { headers } = await client.send({ method: 'GET', path: '/_ping', doing: 'answer' }, signal);
      const version = /^\w+\/(\S+)/.exec(String(headers.server))?.[1];
      return { name: 'docker', version: version ?? `API ${headers['api-version'] ?? 'unknown'}` };
    },

    async list(filter, signal) {
      const label = [`${labels.instance.name}=${owner.instance}`];
      if (filter.id !== undefined) label.push(`${labels.id.name}=${filter.id}`);
      const query = { all: '1', filters: JSON.stringify({ label }) };
      const listed = await client.jsonArray(
        { method: 'GET', path: '/containers/json', query, doing: 'list its containers' },
        (element) => fromListed(element as DockerListed),
        signal,
      );
      return completed(client, listed, signal);
    },

    async watch(onEvent, signal) {
      const lines = createLineSplitter();
      const request = {
        method: 'GET',
        path: '/events',
        query: { filters: eventFilters(owner.instance) },
        doing: 'tell its events',
      } as const;
      const onOpen = () => onEvent({ kind: 'open' });
      const onChunk = (chunk: Buffer) => {
        for (const line of lines.push(chunk)) {
          const event = readEvent(line);
          if (event) onEvent(event);
        }
      };
      try {
        await client.stream(request, { onOpen, onChunk }, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      throw fromTransport(new Error('the stream of events ended'), connection.place);
    },

    async create(request, signal) {
      const { specification } = request;
      const { spec } = specification;
      const body = createBody(currentOwner(), specification, network.name);
      const attempt = () => createContainer(request, body, signal);
      try {
        if (spec.pullPolicy === 'always') await pull(client, request, signal);
        return await attempt().catch(async (error) => {
          if (isNetworkMissing(error) && spec.networkMode === null) network.forget();
          else if (isKind(error, 'image_missing') && spec.pullPolicy === 'missing') {
            await pull(client, request, signal);
          } else throw error;
          return attempt();
        });
      } catch (error) {
        throw error instanceof EngineError ? redacted(error, spec.environment) : error;
      }
    },

    async remove(ref, { graceMs }, signal) {
      if (graceMs !== null) {
        await stop(client, ref, graceMs, signal).catch((error) => {
          // What does not end when it is asked to is ended by force.
          if (!isKind(error, 'failed', 'not_found')) throw error;
        });
      }
      await removeByForce(client, ref, signal);
    },

    async sleep(ref, { mode, graceMs }, signal) {
      if (mode === 'pause') await pause(client, ref, signal);
      else await stop(client, ref, graceMs, signal);
    },

    async wake(ref, signal) {
      const container = await inspect(client, ref, signal);
      if (container.state === 'running') return container;
      try {
        if (container.state === 'paused') await unpause(client, ref, signal);
        else await startAgain(ref, signal);
      } catch (error) {
        // Somebody else may have woken it meanwhile.
        if (!isKind(error, 'failed')) throw error;
        const now = await inspect(client, ref, signal);
        if (now.state !== 'running') throw error;
        return now;
      }
      return running(container);
    },

    exec: (ref, command, signal) => exec(client, ref, command, signal),

    rename: (ref, id, signal) => rename(client, ref, containerName(containerPrefix, id), signal),

    async logs(ref, { tailLines, sinceMs, follow }, onText, signal) {
      const decoder = createLogDecoder();
      const query = {
        stdout: '1',
        stderr: '1',
        tail: tailLines === null ? 'all' : String(tailLines),
        since: sinceMs === null ? undefined : (sinceMs / 1000).toFixed(3),
        follow: follow ? '1' : undefined,
      };
      const onChunk = (chunk: Buffer) => {
        const text = decoder.push(chunk);
        return text === '' ? undefined : onText(text);
      };
      const request = { method: 'GET', path: pathOf(ref, 'logs'), query, doing: 'read the logs' } as const;
      await client.stream(request, { onChunk }, signal);
      const rest = decoder.rest();
      if (rest !== '') await onText(rest);
    },

    async stats(ref, signal) {
      // One look: without it the engine takes a second, to have two of them.
      const query = { stream: '0', 'one-shot': '1' };
      const request = { method: 'GET', path: pathOf(ref, 'stats'), query, doing: 'tell its use' } as const;
      return fromStats(await client.json<DockerStats>(request, signal));
    },
  };
}

/** What is known without asking once the engine has said that it runs. */
function running(container: Pick<EngineContainer, 'ref' | 'name' | 'image' | 'labels'>): EngineContainer {
  const { ref, name, image, labels } = container;
  return { ref, name, image, labels, state: 'running', exit: null, upstream: upstreamOf(labels) };
}

/** The same containers, in order, with the exits that the list does not tell; without those that have gone since. */
async function completed(
  client: DockerClient,
  containers: readonly EngineContainer[],
  signal: AbortSignal,
): Promise<EngineContainer[]> {
  const known = new Map<string, EngineContainer>(containers.map((container) => [container.ref, container]));
  const queue = containers.filter(needsInspection).values();
  const work = async () => {
    for (const { ref, image } of queue) {
      try {
        known.set(ref, { ...(await inspect(client, ref, signal)), image });
      } catch (error) {
        if (!isKind(error, 'not_found')) throw error;
        known.delete(ref);
      }
    }
  };
  await Promise.all(Array.from({ length: inspectionsAtOnce }, work));
  return [...known.values()];
}

const inspectionsAtOnce = 16;

import type { Upstream } from '../core/container.ts';
import type { EngineContainer, EngineState } from '../core/engine.ts';
import { decodeLabels } from '../core/labels.ts';

/** What is read of an element of `GET /containers/json`. */
export interface DockerListed {
  readonly Id: string;
  readonly Names: readonly string[] | null;
  readonly Image: string;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly State: string;
}

/** What is read of `GET /containers/{id}/json`. */
export interface DockerInspected {
  readonly Id: string;
  readonly Name: string;
  readonly Config: { readonly Image: string; readonly Labels: Readonly<Record<string, string>> | null };
  readonly State: { readonly Status: string; readonly ExitCode: number; readonly OOMKilled: boolean };
}

/** A listed container; one that is not running may have to be inspected for its exit, see `needsInspection`. */
export function fromListed({ Id, Names, Image, Labels, State }: DockerListed): EngineContainer {
  const state = stateOf(State);
  const all = Labels ?? {};
  const upstream = state === 'running' ? upstreamOf(all) : null;
  const name = bareName(Names?.[0] ?? '');
  return { ref: Id, name, image: Image, labels: all, state, exit: null, upstream };
}

/** The list says that a container ended, but not how. */
export function needsInspection(container: EngineContainer): boolean {
  return container.state === 'exited';
}

/** Its image is the one it was created from: only a list tells whether that name has another meaning now. */
export function fromInspected({ Id, Name, Config, State }: DockerInspected): EngineContainer {
  const state = stateOf(State.Status);
  const all = Config.Labels ?? {};
  const exit = state === 'exited' ? { code: State.ExitCode, outOfMemory: State.OOMKilled } : null;
  const upstream = state === 'running' ? upstreamOf(all) : null;
  return { ref: Id, name: bareName(Name), image: Config.Image, labels: all, state, exit, upstream };
}

/** The birth labels say it, so nothing has to be asked. */
export function upstreamOf(all: Readonly<Record<string, string>>): Upstream | null {
  const port = decodeLabels(all)?.birth.ports[0]?.hostPort;
  return port === undefined ? null : { address: '127.0.0.1', port };
}

/**
 * `dead` is what the engine calls a container whose removal failed half way: for us it has ended, so that its
 * removal is tried again. `restarting` cannot last: our containers have no restart policy.
 */
function stateOf(status: string): EngineState {
  switch (status) {
    case 'created':
    case 'running':
    case 'paused':
    case 'removing':
      return status;
    case 'restarting':
      return 'running';
    default:
      return 'exited';
  }
}

function bareName(name: string): string {
  return name.replace(/^\//, '');
}

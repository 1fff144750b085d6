import { EngineError } from '../core/engine.ts';
import { labels, type Owner } from '../core/labels.ts';
import { networkName } from '../core/names.ts';
import { untilAborted } from './abort.ts';
import { pathOf } from './docker-calls.ts';
import type { DockerClient } from './docker-client.ts';

/** The instance's own network, in which containers cannot reach each other. */
export interface InstanceNetwork {
  readonly name: string;
  /** Resolves when it is there. It is looked up or made once, however many callers there are at once. */
  ensure(signal: AbortSignal): Promise<void>;
  /**
   * Puts a stopped container into it again after the network was removed: the container holds to the id of the
   * one that it was created in. False, and nothing done, where it was created in another network than ours.
   */
  rejoin(ref: string, signal: AbortSignal): Promise<boolean>;
  /** It was removed behind our back: the next `ensure` makes it again. */
  forget(): void;
}

export function createInstanceNetwork(client: DockerClient, owner: () => Owner): InstanceNetwork {
  const name = networkName(owner().instance);
  let ready: Promise<void> | null = null;
  let isMaking = false;
  const make = async () => {
    // A deadline of its own: whoever asked first may go away while others wait for it.
    const signal = AbortSignal.timeout(10_000);
    if (await isThere(client, name, owner(), signal)) return;
    try {
      await client.json({ ...createRequest, body: networkBody(name, owner()) }, signal);
    } catch (error) {
      // A second service of this name was faster.
      if (!(await isThere(client, name, owner(), signal))) throw error;
    }
  };
  const ensure = (signal: AbortSignal) => {
    if (!ready) {
      isMaking = true;
      ready = make().finally(() => {
        isMaking = false;
      });
      ready.catch(() => {
        ready = null;
      });
    }
    return untilAborted(signal, ready);
  };
  // Whoever finds it gone while it is being made was just slower: a second one of that name must not be made.
  const forget = () => {
    if (!isMaking) ready = null;
  };
  return {
    name,
    ensure,
    async rejoin(ref, signal) {
      const { HostConfig } = await client.json<{ HostConfig: { NetworkMode: string } }>(
        { method: 'GET', path: pathOf(ref, 'json'), doing: 'inspect a container' },
        signal,
      );
      if (HostConfig.NetworkMode !== name) return false;
      forget();
      await ensure(signal);
      const request = { method: 'POST', doing: `put a container into the network ${name}` } as const;
      const path = `/networks/${encodeURIComponent(name)}`;
      const leave = { ...request, path: `${path}/disconnect`, body: { Container: ref, Force: true } };
      await client.send(leave, signal);
      await client.send({ ...request, path: `${path}/connect`, body: { Container: ref } }, signal);
      return true;
    },
    forget,
  };
}

const createRequest = {
  method: 'POST',
  path: '/networks/create',
  doing: 'create the network for containers',
} as const;

function networkBody(name: string, owner: Owner): object {
  return {
    Name: name,
    Driver: 'bridge',
    CheckDuplicate: true,
    Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    Labels: { [labels.instance.name]: owner.instance, [labels.ledger.name]: owner.ledger },
  };
}

async function isThere(
  client: DockerClient,
  name: string,
  owner: Owner,
  signal: AbortSignal,
): Promise<boolean> {
  // The engine's filter matches parts of names too.
  const query = { filters: JSON.stringify({ name: [name] }) };
  const found = await client.json<DockerNetwork[]>(
    { method: 'GET', path: '/networks', query, doing: 'list its networks' },
    signal,
  );
  const network = found.find((candidate) => candidate.Name === name);
  if (!network) return false;
  if (network.Labels?.[labels.instance.name] === owner.instance) return true;
  throw new EngineError(
    'failed',
    `There is a network ${name} that this service has not made: remove it, or choose another instance name`,
  );
}

interface DockerNetwork {
  readonly Name: string;
  readonly Labels: Readonly<Record<string, string>> | null;
}

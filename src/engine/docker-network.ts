import { EngineError } from '../core/engine.ts';
import { labels, type Owner } from '../core/labels.ts';
import { networkName } from '../core/names.ts';
import { untilAborted } from './abort.ts';
import type { DockerClient } from './docker-client.ts';

/** The instance's own network, in which containers cannot reach each other. */
export interface InstanceNetwork {
  readonly name: string;
  /** Resolves when it is there. It is looked up or made once, however many callers there are at once. */
  ensure(signal: AbortSignal): Promise<void>;
  /** It was removed behind our back: the next `ensure` makes it again. */
  forget(): void;
}

export function createInstanceNetwork(client: DockerClient, owner: () => Owner): InstanceNetwork {
  const name = networkName(owner().instance);
  let ready: Promise<void> | null = null;
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
  return {
    name,
    ensure(signal) {
      if (!ready) {
        const attempt = make();
        ready = attempt;
        attempt.catch(() => {
          if (ready === attempt) ready = null;
        });
      }
      return untilAborted(signal, ready);
    },
    forget() {
      ready = null;
    },
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

import Docker from 'dockerode';
import { labels } from '../../src/core/labels.ts';
import { createDockerEngine } from '../../src/engine/docker.ts';
import { describeEngine } from '../support/engine-suite.ts';
import { testImage } from '../support/images.ts';

const docker = new Docker();
const quiet = () => {};
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

describeEngine('the Docker engine', async () => {
  const image = await testImage();
  const lines = 'for (let i = 1; i <= 5; i++) console.log("line " + i); process.exitCode = 3;';
  return {
    engine: ({ instance, ledger }) =>
      createDockerEngine({
        owner: { instance, identity: () => ledger },
        containerPrefix: 'spawned__',
        env: process.env,
        log,
      }),
    web: { image },
    exits: { image, command: ['node', '-e', lines] },
    pause: (ref) => docker.getContainer(ref).pause(),
    cleanUp,
  };
});

/** Removes the containers, networks and volumes of all instances whose name begins so. */
async function cleanUp(prefix: string): Promise<void> {
  const filters = { label: [labels.instance.name] };
  const isOurs = ({ Labels }: { Labels?: Record<string, string> }) =>
    Labels?.[labels.instance.name]?.startsWith(prefix) === true;
  for (const { Id } of (await docker.listContainers({ all: true, filters })).filter(isOurs)) {
    await docker.getContainer(Id).remove({ force: true, v: true });
  }
  for (const { Id } of (await docker.listNetworks({ filters })).filter(isOurs)) {
    await docker.getNetwork(Id).remove();
  }
  for (const { Name } of (await docker.listVolumes({ filters: JSON.stringify(filters) })).Volumes.filter(
    isOurs,
  )) {
    await docker.getVolume(Name).remove();
  }
}

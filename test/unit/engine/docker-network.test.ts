import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDockerClient } from '../../../src/engine/docker-client.ts';
import { dockerConnection } from '../../../src/engine/docker-connection.ts';
import { createInstanceNetwork, type InstanceNetwork } from '../../../src/engine/docker-network.ts';
import { eventually } from '../../support/eventually.ts';
import { json, type ScriptedDocker, startScriptedDocker } from '../../support/scripted-docker.ts';

const owner = { instance: 'net', ledger: 'ledger-1' };
const name = 'docker-spawner-net';
const soon = () => AbortSignal.timeout(10_000);

let docker: ScriptedDocker;
let network: InstanceNetwork;
const count = (name: string) => docker.calls.filter(({ call }) => call === name).length;

beforeEach(async () => {
  docker = await startScriptedDocker();
  network = createInstanceNetwork(createDockerClient(dockerConnection(docker.env)), () => owner);
});
afterEach(() => docker.close());

describe("the instance's network", () => {
  test('is made once also where many find at once that it is gone', async () => {
    docker.answers.set('GET /networks', json(200, []));
    let answerCreate = () => {};
    docker.answers.set('POST /networks/create', (response, call) => {
      answerCreate = () => json(201, { Id: 'n' })(response, call);
    });
    const first = network.ensure(soon());
    await eventually(() => expect(count('POST /networks/create')).toBe(1));
    network.forget();
    const second = network.ensure(soon());
    answerCreate();
    await Promise.all([first, second]);
    expect(count('POST /networks/create')).toBe(1);
    network.forget();
    void network.ensure(soon()).catch(() => {});
    await eventually(() => expect(count('POST /networks/create')).toBe(2));
  });

  test('is not joined by a container that was made in another one', async () => {
    docker.answers.set('GET /containers/c/json', json(200, { HostConfig: { NetworkMode: 'other' } }));
    expect(await network.rejoin('c', soon())).toBe(false);
    expect(docker.calls).toHaveLength(1);
  });

  test('is joined again by a container that was made in one of that name', async () => {
    const labels = { 'docker-spawner.instance': owner.instance };
    docker.answers
      .set('GET /containers/c/json', json(200, { HostConfig: { NetworkMode: name } }))
      .set('GET /networks', json(200, [{ Name: name, Labels: labels }]))
      .set(`POST /networks/${name}/disconnect`, json(200, {}))
      .set(`POST /networks/${name}/connect`, json(200, {}));
    expect(await network.rejoin('c', soon())).toBe(true);
    expect(docker.calls.slice(2).map(({ call, body }) => [call, body])).toEqual([
      [`POST /networks/${name}/disconnect`, { Container: 'c', Force: true }],
      [`POST /networks/${name}/connect`, { Container: 'c' }],
    ]);
  });
});

import { expect, test } from 'vitest';
import { answering, ok, rawClient, rig } from './support/rig.ts';

test('the proxy counts the answers that it makes itself by status, and no answer of a container', async () => {
  const proxy = await rig();
  const container = await answering(ok);
  proxy.route('c.test', container.port);
  const ask = (host: string) => proxy.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  expect(await ask('c.test')).toContain('200 OK');
  expect(await ask('nobody.test')).toContain('404');
  expect(await ask('nobody.test')).toContain('404');
  expect(await proxy.ask('GET / HTTP/1.1\r\n\r\n')).toContain('400');
  expect(await proxy.ask('nonsense\r\n\r\n')).toContain('400');
  expect([...proxy.proxy.ownAnswers()].sort()).toEqual([
    [400, 2],
    [404, 2],
  ]);
});

test('a client that finds all connections taken is counted too', async () => {
  const proxy = await rig({ limits: { clientConnections: 1 } });
  await proxy.client();
  const second = await rawClient(proxy.port);
  await second.closed();
  expect(second.text()).toContain('503');
  expect([...proxy.proxy.ownAnswers()]).toEqual([[503, 1]]);
});

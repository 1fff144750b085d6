import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Outlet } from '../../../src/proxy/outlet.ts';
import { eventually } from '../../support/eventually.ts';

/** Two ends of a connection; the far one does not read yet. */
async function ends(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket];
  await eventually(() => expect(near.connecting).toBe(false));
  near.on('error', () => {});
  far.on('error', () => {});
  onTestFinished(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return { near, far };
}

/** Numbered texts until the socket wants a pause; returns all of them. */
function fillUp(outlet: Outlet): string {
  const texts: string[] = [];
  do texts.push(`${texts.length}:${'\xe9'.repeat(5000)}\n`);
  while (outlet.writeText(texts.at(-1)!));
  return texts.join('');
}

test('texts arrive whole and in their order when they wait for a reader', async () => {
  const { near, far } = await ends();
  const outlet = new Outlet(near);
  let expected = fillUp(outlet);
  expect(outlet.unsentBytes).toBeGreaterThan(near.writableLength);
  let seen = '';
  far.on('data', (chunk) => {
    seen += chunk.toString('latin1');
  });
  far.resume();
  await once(near, 'drain');
  await eventually(() => expect(outlet.unsentBytes).toBe(0));
  expected += fillUp(outlet);
  outlet.writeText('the end');
  near.end();
  await once(far, 'end');
  expect(seen === `${expected}the end`).toBe(true);
});

test('the end of the connection waits for a text that waits', async () => {
  const { near, far } = await ends();
  const outlet = new Outlet(near);
  let bytes = 0;
  while (outlet.unsentBytes === 0) {
    outlet.writeText('x'.repeat(5000));
    bytes += 5000;
  }
  near.end();
  far.resume();
  await once(far, 'end');
  expect(far.bytesRead).toBe(bytes);
});

test('a reset while a text waits closes the socket as failed, and so does a write after it', async () => {
  const { near, far } = await ends();
  const outlet = new Outlet(near);
  while (outlet.unsentBytes === 0) outlet.writeText('x'.repeat(5000));
  const closed = new Promise<boolean>((resolve) => near.once('close', resolve));
  far.resetAndDestroy();
  expect(await closed).toBe(true);
  expect(outlet.writeText('late')).toBe(false);
});

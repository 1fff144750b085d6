import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { abort } from '../../../src/proxy/sockets.ts';

test('a connection whose end is under way can still be aborted, and says that it is closed', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as { port: number }).port, allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  const closed = new Promise((resolve) => socket.on('close', () => resolve('closed')));
  socket.end();
  abort(socket);
  expect(await closed).toBe('closed');
  server.close();
});

import { request } from 'node:http';
import { createServer } from 'node:net';
import type { Reach } from '../core/reach.ts';

/** How this host reaches containers that are published on its loopback address. */
export function createLoopbackReach(): Reach {
  return { portIsFree, httpStatus };
}

function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

const httpStatus: Reach['httpStatus'] = ({ address, port }, host, path, signal) =>
  new Promise((resolve) => {
    const probe = request({
      host: address,
      port,
      path,
      signal,
      agent: false,
      headers: { host, 'user-agent': 'docker-spawner-readiness', connection: 'close' },
      // A container is a stranger: what it answers is read as far as the status, and no further.
      maxHeaderSize: 64 * 1024,
    });
    probe.on('response', (response) => {
      response.on('error', () => {});
      resolve(response.statusCode ?? null);
      response.destroy();
    });
    // 101 makes the request an upgrade; without a listener Node closes it, which counts as no answer.
    probe.on('error', () => resolve(null));
    probe.on('close', () => resolve(null));
    probe.end();
  });

import { fileURLToPath } from 'node:url';
import { ensureImage } from '../../scripts/image.mjs';

/**
 * The image that tests run containers of: a server whose behaviour comes from its environment (see
 * test-image/server.mjs). It listens on port 80, as root, so that what a container may do is limited by the
 * service alone. Made on the first call; returns `docker-spawner-test:HASH`.
 */
export function testImage(): Promise<string> {
  made ??= ensureImage({
    repository: 'docker-spawner-test',
    folder: fileURLToPath(new URL('./test-image', import.meta.url)),
    port: 80,
  });
  return made;
}

let made: Promise<string> | undefined;

// The demo: what runs when there is no configuration.
import path from 'node:path';
import { ensureImage } from './image.mjs';
import { root } from './packages.mjs';

export const demoConfiguration = path.join(root, 'demo', 'docker-spawner.yaml');

/** Sees to it that the engine has the image `docker-spawner-demo:latest`, and returns its name by hash. */
export function ensureDemoImage() {
  return ensureImage({
    repository: 'docker-spawner-demo',
    folder: path.join(root, 'demo', 'app'),
    port: 80,
    user: 'app',
  });
}

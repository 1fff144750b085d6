import { engineRequest } from '../../scripts/docker.mjs';
import { testImage } from './images.ts';

/** Before the tests of the project `engine`: an engine answers, and has the image that they use. */
export default async function setup(): Promise<void> {
  try {
    await engineRequest({ path: '/_ping', timeoutMs: 5000 });
  } catch (error) {
    throw new Error(`These tests need a Docker Engine; "npm test" sees to one. ${(error as Error).message}`);
  }
  await testImage();
}

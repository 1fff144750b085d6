import { EngineError } from '../core/engine.ts';

/** The query of `POST /images/create`. Without a tag the engine would pull every tag there is. */
export function pullQuery(image: string, platform: string | null): Record<string, string | undefined> {
  const isTagged = /:[\w.-]+$|@/.test(image.slice(image.lastIndexOf('/') + 1));
  return { fromImage: image, tag: isTagged ? undefined : 'latest', platform: platform ?? undefined };
}

/**
 * Follows the lines of a pull. `push` gives the bytes of all layers seen so far, or null where a line changes
 * nothing; it throws `image_missing` where the engine reports that it failed.
 */
export function createPullProgress(image: string): {
  push(line: string): { currentBytes: number; totalBytes: number } | null;
} {
  const layers = new Map<string, { currentBytes: number; totalBytes: number }>();
  return {
    push(line) {
      const { id, status, progressDetail, error } = JSON.parse(line) as PullLine;
      if (error !== undefined) throw pullFailed(image, error);
      if (id === undefined) return null;
      const layer = layers.get(id) ?? { currentBytes: 0, totalBytes: 0 };
      if (status === 'Downloading' && progressDetail?.total) {
        layers.set(id, { currentBytes: progressDetail.current ?? 0, totalBytes: progressDetail.total });
      } else if (status === 'Download complete' || status === 'Pull complete') {
        layers.set(id, { ...layer, currentBytes: layer.totalBytes });
      } else {
        return null;
      }
      const sum = { currentBytes: 0, totalBytes: 0 };
      for (const { currentBytes, totalBytes } of layers.values()) {
        sum.currentBytes += currentBytes;
        sum.totalBytes += totalBytes;
      }
      return sum;
    },
  };
}

/** `reason` is the registry's or the engine's own sentence. */
export function pullFailed(image: string, reason: string): EngineError {
  return new EngineError('image_missing', `The image ${image} could not be pulled: ${reason}`);
}

interface PullLine {
  readonly id?: string;
  readonly status?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly error?: string;
}

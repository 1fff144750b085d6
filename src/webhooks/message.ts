import type { SpawnerEvent } from '../core/events.ts';

/** What is said of the service in every message. */
export interface Sender {
  readonly instance: string;
  /** The address of a container as a browser reaches it. */
  readonly urlOf: (id: string) => string;
}

/** The body of a request that tells of an event: JSON, the same at every attempt. */
export function messageOf(event: SpawnerEvent, { instance, urlOf }: Sender): string {
  const { id, kind, atMs, containerId, imageKey, user, data } = event;
  return JSON.stringify({
    id,
    type: kind,
    at: new Date(atMs).toISOString(),
    instance,
    container: { id: containerId, image: imageKey, user, url: urlOf(containerId) },
    data,
  });
}

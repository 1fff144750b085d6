import type { Container } from '../../core/container.ts';
import type { HistoryEntry, SpawnerEvent } from '../../core/events.ts';
import type { Token } from '../../core/tokens.ts';
import type { ImageView } from '../../core/views.ts';
import type { ContainerAnswer } from './container-schemas.ts';
import type { V1Parts } from './operation.ts';
import type { TokenAnswer } from './token-schemas.ts';
import type { EventAnswer, HistoryAnswer, ImageAnswer } from './view-schemas.ts';

/** What the core holds, in the words of the API. */
export function presentContainer(container: Container, parts: V1Parts): ContainerAnswer {
  const { id, phase } = container;
  const place = phase === 'queued' ? parts.commands.queuePlace(id) : null;
  const idleAtMs = parts.views.idleAtMs(container);
  return {
    id,
    image: container.imageKey,
    user: container.user,
    // What is gone is never in the registry, from which containers come.
    phase: phase === 'gone' ? 'stopping' : phase,
    reason: container.reason,
    waking: container.moving === 'waking',
    url: parts.urlOf(id),
    ports: container.ports.map(({ name, port, protocol }, index) => ({
      name,
      port,
      protocol,
      url: parts.urlOf(index === 0 ? id : `${name}-${id}`),
    })),
    engine: parts.engineName,
    created_at: isoTime(container.createdAtMs),
    ready_at: isoTimeOrNull(container.readyAtMs),
    expires_at: isoTime(container.expiresAtMs),
    idle_at: isoTimeOrNull(idleAtMs),
    labels: container.labels,
    queue: place && { position: place.position, estimated_ms: place.estimatedMs },
  };
}

export function presentEvent(event: SpawnerEvent): EventAnswer {
  return {
    id: event.id,
    at: isoTime(event.atMs),
    container: event.containerId,
    image: event.imageKey,
    user: event.user,
    kind: event.kind,
    data: event.data,
  };
}

export function presentImage({ entry, warmReady }: ImageView): ImageAnswer {
  const { lifecycle } = entry;
  return {
    key: entry.key,
    image: entry.spec.image,
    ports: entry.ports.map(({ name, port, protocol }) => ({ name, port, protocol })),
    lifetime: entry.lifetimeMs / 1000,
    max_lifetime: lifecycle.maxLifetimeMs / 1000,
    idle_timeout: lifecycle.idleMs === null ? null : lifecycle.idleMs / 1000,
    on_idle: lifecycle.onIdle,
    max: entry.max,
    warm: { count: entry.warm.count, ready: warmReady },
    allow: [...entry.allow],
  };
}

export function presentHistory(entry: HistoryEntry): HistoryAnswer {
  return {
    id: entry.id,
    image: entry.imageKey,
    user: entry.user,
    created_at: isoTime(entry.createdAtMs),
    ready_at: isoTimeOrNull(entry.readyAtMs),
    ended_at: isoTime(entry.endedAtMs),
    reason: entry.reason,
  };
}

export function presentToken(token: Token): TokenAnswer {
  return {
    id: token.id,
    name: token.name,
    scopes: [...token.scopes],
    users: token.users && [...token.users],
    created_at: isoTime(token.createdAtMs),
    expires_at: isoTimeOrNull(token.expiresAtMs),
    last_used_at: isoTimeOrNull(token.lastUsedAtMs),
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}

import { Type } from 'typebox';
import type { Container } from '../../core/container.ts';
import { SpawnerError } from '../../core/errors.ts';
import { type Caller, mayTouch } from '../../core/tokens.ts';
import { checkUser } from '../fields.ts';
import { closed, imageKey, user } from './basic-schemas.ts';
import { container, containerChange, containerPage, phase, spawnRequest } from './container-schemas.ts';
import { operation, type V1Parts } from './operation.ts';
import { decodeCursor, encodeCursor, pageOf } from './pages.ts';
import { presentContainer } from './present.ts';

/** The container of a call's path. */
export const idParams = closed({
  id: Type.String({ minLength: 1, maxLength: 100, description: 'the id of a container' }),
});

export const limit = Type.Integer({
  minimum: 1,
  maximum: 1000,
  default: 100,
  description: 'items of a page',
});
export const cursor = Type.String({ minLength: 1, maxLength: 500, description: '`next_cursor` of a page' });

/**
 * The container that the caller may see and touch. Another user's is as unknown as one that never was: whoever
 * asks must not learn which ids exist.
 */
export function touchable(id: string, caller: Caller, parts: V1Parts): Container {
  const found = parts.commands.get(id);
  if (!found || !mayTouch(caller, found.user)) {
    throw new SpawnerError('unknown_container', 'there is no container with this id');
  }
  return found;
}

/** For whom a caller asks: what the token is bound to decides where nothing is said. */
export function userOf(wanted: string | undefined, caller: Caller, withUsers: boolean): string | null {
  if (!withUsers) return null;
  const [only, ...others] = caller.users ?? [];
  const chosen = wanted ?? (others.length === 0 ? only : undefined);
  if (chosen === undefined) throw new SpawnerError('field_missing', 'The field user is missing');
  if (!mayTouch(caller, chosen)) {
    throw new SpawnerError('forbidden', 'The token is bound to other users');
  }
  return checkUser('user', chosen);
}

const one = (description: string) => ({ 200: { description, schema: container } });

export const containerOperations = [
  operation({
    id: 'spawnContainer',
    method: 'POST',
    path: '/v1/containers',
    tag: 'containers',
    summary: 'Give a user a container',
    description:
      'Answers when the container is ready, or with `wait=none` as soon as it has a place; `Location` then says where to look, and the place is kept over a restart of the service. The same `Idempotency-Key` gives the same container for a day.',
    scope: 'spawn',
    query: closed({
      wait: Type.Optional(
        Type.Enum(['ready', 'none'] as const, { default: 'ready', description: 'what to wait for' }),
      ),
    }),
    body: spawnRequest,
    headers: ['Idempotency-Key'],
    answers: {
      201: { description: 'It is ready.', schema: container, location: true },
      202: { description: 'It has a place, and is on its way.', schema: container, location: true },
    },
    errors: [
      'field_missing',
      'not_allowed',
      'unknown_image',
      'no_place',
      'user_limit',
      'container_gone',
      'body_too_large',
      'unsupported_media_type',
      'key_reused',
      'queue_full',
      'on_claim_failed',
      'engine_failed',
      'image_missing',
      'exited_early',
      'stopped_early',
      'ledger_failed',
      'engine_unavailable',
      'not_ready',
    ],
    async handle({ body, query, caller, idempotencyKey }, parts) {
      const early = query.wait === 'none';
      const { environment, labels, lifetime } = body;
      const given = await parts.commands.request({
        imageKey: body.image,
        user: userOf(body.user, caller, parts.withUsers),
        wishes: {
          ...(environment && { environment }),
          ...(labels && { labels }),
          ...(lifetime !== undefined && { lifetimeMs: lifetime * 1000 }),
        },
        early,
        ...(idempotencyKey !== null && { idempotencyKey }),
      });
      return {
        status: early ? 202 : 201,
        location: `/v1/containers/${given.container.id}`,
        body: presentContainer(given.container, parts),
      };
    },
  }),

  operation({
    id: 'listContainers',
    method: 'GET',
    path: '/v1/containers',
    tag: 'containers',
    summary: 'List the containers that live, newest first',
    scope: 'read',
    query: closed({
      image: Type.Optional(imageKey),
      user: Type.Optional(user),
      phase: Type.Optional(phase),
      limit: Type.Optional(limit),
      cursor: Type.Optional(cursor),
    }),
    answers: { 200: { description: 'A page of them.', schema: containerPage } },
    errors: ['field_missing'],
    handle({ query, caller }, parts) {
      const from = query.user === undefined ? parts.commands.all() : parts.views.ofUser(query.user);
      const matching = [...from].filter(
        (c) =>
          mayTouch(caller, c.user) &&
          (query.image === undefined || c.imageKey === query.image) &&
          (query.phase === undefined || c.phase === query.phase),
      );
      const { items, next } = pageOf(matching, (c) => c.createdAtMs, {
        cursor: query.cursor === undefined ? null : decodeCursor(query.cursor),
        limit: query.limit ?? 100,
      });
      return {
        status: 200,
        body: {
          items: items.map((c) => presentContainer(c, parts)),
          next_cursor: next && encodeCursor(next),
        },
      };
    },
  }),

  operation({
    id: 'getContainer',
    method: 'GET',
    path: '/v1/containers/{id}',
    tag: 'containers',
    summary: 'Look at a container',
    scope: 'read',
    params: idParams,
    answers: one('The container.'),
    errors: ['unknown_container'],
    handle({ params, caller }, parts) {
      return { status: 200, body: presentContainer(touchable(params.id, caller, parts), parts) };
    },
  }),

  operation({
    id: 'changeContainer',
    method: 'PATCH',
    path: '/v1/containers/{id}',
    tag: 'containers',
    summary: 'Extend a container’s life, or change its labels',
    scope: 'spawn',
    params: idParams,
    body: containerChange,
    answers: one('The container as it is now.'),
    errors: [
      'not_allowed',
      'unknown_container',
      'not_extendable',
      'body_too_large',
      'unsupported_media_type',
      'ledger_failed',
    ],
    handle({ params, body, caller }, parts) {
      const before = touchable(params.id, caller, parts);
      const { expires_at: expiresAt, extend_by: extendBy, labels } = body;
      if (expiresAt !== undefined && extendBy !== undefined) {
        throw new SpawnerError('field_invalid', 'Send expires_at or extend_by, not both');
      }
      parts.commands.change(before.id, {
        ...(expiresAt !== undefined && { expiresAtMs: Date.parse(expiresAt) }),
        ...(extendBy !== undefined && { expiresAtMs: before.expiresAtMs + extendBy * 1000 }),
        ...(labels && { labels }),
      });
      return { status: 200, body: presentContainer(touchable(params.id, caller, parts), parts) };
    },
  }),

  operation({
    id: 'stopContainer',
    method: 'DELETE',
    path: '/v1/containers/{id}',
    tag: 'containers',
    summary: 'End a container',
    description: 'Answers when the engine has confirmed that it is gone.',
    scope: 'spawn',
    params: idParams,
    answers: { 204: { description: 'It is gone.' } },
    errors: ['unknown_container', 'engine_failed', 'engine_unavailable'],
    async handle({ params, caller }, parts) {
      await parts.commands.stop(touchable(params.id, caller, parts).id);
      return { status: 204 };
    },
  }),

  operation({
    id: 'wakeContainer',
    method: 'POST',
    path: '/v1/containers/{id}/wake',
    tag: 'containers',
    summary: 'Wake a container',
    description:
      'Answers when it is ready: at once where it was awake, after its start where it is starting.',
    scope: 'spawn',
    params: idParams,
    answers: one('The container, ready.'),
    errors: [
      'unknown_container',
      'engine_failed',
      'stopped_early',
      'port_lost',
      'engine_unavailable',
      'not_ready',
    ],
    async handle({ params, caller }, parts) {
      const awake = await parts.commands.wake(touchable(params.id, caller, parts).id);
      return { status: 200, body: presentContainer(awake, parts) };
    },
  }),

  operation({
    id: 'putContainerToSleep',
    method: 'POST',
    path: '/v1/containers/{id}/sleep',
    tag: 'containers',
    summary: 'Put a container to sleep',
    description: 'Stopped or paused, as its entry’s `on_idle` says. The next request to it wakes it.',
    scope: 'spawn',
    params: idParams,
    answers: one('The container, asleep.'),
    errors: ['unknown_container', 'wrong_phase', 'engine_failed', 'engine_unavailable', 'ledger_failed'],
    async handle({ params, caller }, parts) {
      const { id } = touchable(params.id, caller, parts);
      await parts.commands.sleep(id);
      return { status: 200, body: presentContainer(touchable(id, caller, parts), parts) };
    },
  }),

  operation({
    id: 'touchContainer',
    method: 'POST',
    path: '/v1/containers/{id}/heartbeat',
    tag: 'containers',
    summary: 'Say that a container is in use',
    description: 'Its idle time begins anew, as after a request to it. One that sleeps sleeps on.',
    scope: 'spawn',
    params: idParams,
    answers: one('The container.'),
    errors: ['unknown_container'],
    handle({ params, caller }, parts) {
      const touched = parts.commands.heartbeat(touchable(params.id, caller, parts).id);
      return { status: 200, body: presentContainer(touched, parts) };
    },
  }),
];

import { Type } from 'typebox';
import { SpawnerError } from '../../core/errors.ts';
import { mayTouch } from '../../core/tokens.ts';
import type { QueueView } from '../../core/views.ts';
import { checkUser } from '../fields.ts';
import { closed, imageKey, user } from './basic-schemas.ts';
import { cursor, limit } from './containers.ts';
import { operation } from './operation.ts';
import { decodeCursor, encodeCursor } from './pages.ts';
import { presentContainer, presentHistory, presentImage } from './present.ts';
import { historyPage, imageList, type QueueAnswer, queue, userAnswer } from './view-schemas.ts';

export const overviewOperations = [
  operation({
    id: 'listImages',
    method: 'GET',
    path: '/v1/images',
    tag: 'overview',
    summary: 'List what can be run',
    scope: 'read',
    answers: { 200: { description: 'The image entries.', schema: imageList } },
    errors: [],
    handle: (_call, { views }) => ({
      status: 200,
      body: { items: [...views.images()].map(presentImage) },
    }),
  }),

  operation({
    id: 'getUser',
    method: 'GET',
    path: '/v1/users/{user}',
    tag: 'overview',
    summary: 'See what a user has',
    description: 'Any text is a user: one that nobody has heard of has no containers.',
    scope: 'read',
    params: closed({ user }),
    answers: { 200: { description: 'The user.', schema: userAnswer } },
    errors: ['users_off', 'no_container'],
    handle({ params, caller }, parts) {
      if (!parts.withUsers) {
        throw new SpawnerError('users_off', 'Containers are not coupled to users here');
      }
      const name = checkUser('user', params.user);
      if (!mayTouch(caller, name)) throw new SpawnerError('no_container', 'The user has no container');
      const containers = parts.views.ofUser(name).map((c) => presentContainer(c, parts));
      return { status: 200, body: { user: name, limit: parts.userLimit, containers } };
    },
  }),

  operation({
    id: 'listHistory',
    method: 'GET',
    path: '/v1/history',
    tag: 'overview',
    summary: 'List the containers that have ended, newest first',
    description: 'For as long as `history_days` says.',
    scope: 'read',
    query: closed({
      image: Type.Optional(imageKey),
      user: Type.Optional(user),
      limit: Type.Optional(limit),
      cursor: Type.Optional(cursor),
    }),
    answers: { 200: { description: 'A page of them.', schema: historyPage } },
    errors: ['field_missing'],
    handle({ query, caller }, { views }) {
      const after = query.cursor === undefined ? null : decodeCursor(query.cursor);
      const count = query.limit ?? 100;
      const users = usersAmong(query.user, caller.users);
      const found = views.history({
        ...(users && { users }),
        ...(query.image !== undefined && { imageKey: query.image }),
        ...(after && { after: { endedAtMs: after.atMs, id: after.id } }),
        // One more tells whether there is another page.
        limit: count + 1,
      });
      const items = found.slice(0, count);
      const last = items.at(-1);
      const next = last && found.length > count ? { atMs: last.endedAtMs, id: last.id } : null;
      return {
        status: 200,
        body: { items: items.map(presentHistory), next_cursor: next && encodeCursor(next) },
      };
    },
  }),

  operation({
    id: 'getQueue',
    method: 'GET',
    path: '/v1/queue',
    tag: 'overview',
    summary: 'See what waits for the engine',
    scope: 'read',
    answers: { 200: { description: 'The queue.', schema: queue } },
    errors: [],
    handle: ({ caller }, { views }) => {
      const view = views.queue();
      const body: QueueAnswer = {
        running: view.running,
        waiting: view.waiting,
        items: firstOf(view, ({ container }) => mayTouch(caller, container.user)),
      };
      return { status: 200, body };
    },
  }),
];

/** null: everybody's. */
function usersAmong(wanted: string | undefined, bound: ReadonlySet<string> | null): string[] | null {
  if (wanted === undefined) return bound && [...bound];
  return bound === null || bound.has(wanted) ? [wanted] : [];
}

const shownPlaces = 100;

type Place = ReturnType<QueueView['order']> extends Iterable<infer T> ? T : never;

function firstOf(view: QueueView, isShown: (place: Place) => boolean): QueueAnswer['items'] {
  const items: QueueAnswer['items'] = [];
  for (const place of view.order()) {
    if (items.length === shownPlaces) break;
    if (!isShown(place)) continue;
    const { container, position, estimatedMs } = place;
    const { id, imageKey: image, user } = container;
    items.push({ id, image, user, position, estimated_ms: estimatedMs });
  }
  return items;
}

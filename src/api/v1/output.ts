import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { SpawnerError } from '../../core/errors.ts';
import { mayTouch } from '../../core/tokens.ts';
import { closed } from './basic-schemas.ts';
import { idParams, touchable } from './containers.ts';
import { operation, type V1Call, type V1Parts } from './operation.ts';
import { presentEvent } from './present.ts';
import { sampler } from './sampler.ts';
import { type EventSelection, replayedEvents, sseEvent, streamEvents } from './streams.ts';
import { event, stats } from './view-schemas.ts';

const after = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'the same as `Last-Event-ID`, for those who cannot send it',
});

const resumption = `The last ${replayedEvents.toLocaleString('en')} events are kept: whoever sends \`Last-Event-ID\` gets those after it first, 0 for all, and then what comes. A reader that is too slow is dropped, and can come back.`;

export const outputOperations = [
  operation({
    id: 'readLogs',
    method: 'GET',
    path: '/v1/containers/{id}/logs',
    tag: 'output',
    summary: 'Read what a container writes',
    description:
      'Standard output and error, as text; unprintable characters are replaced. With `follow` it goes on until the container stops.',
    scope: 'read',
    params: idParams,
    query: closed({
      tail: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 1_000_000,
          description: 'only the last lines of what is there; left out: all',
        }),
      ),
      since: Type.Optional(Type.String({ format: 'date-time', description: 'only what was written later' })),
      follow: Type.Optional(Type.Boolean({ default: false, description: 'go on with what is written' })),
    }),
    answers: { 200: { description: 'The text.', contentType: 'text/plain' } },
    errors: ['field_missing', 'unknown_container', 'wrong_phase', 'engine_failed', 'engine_unavailable'],
    handle({ params, query, caller, signal }, parts) {
      const { id } = touchable(params.id, caller, parts);
      const { tail, since, follow = false } = query;
      const what = {
        tailLines: tail ?? null,
        sinceMs: since === undefined ? null : Date.parse(since),
        follow,
      };
      return { status: 200, stream: (write) => parts.views.logs(id, what, write, signal) };
    },
  }),

  operation({
    id: 'readStats',
    method: 'GET',
    path: '/v1/containers/{id}/stats',
    tag: 'output',
    summary: 'See what a container uses',
    description: 'Once, or with `stream` as server-sent events, one a second.',
    scope: 'read',
    params: idParams,
    query: closed({ stream: Type.Optional(Type.Boolean({ default: false, description: 'go on' })) }),
    answers: { 200: { description: 'What it uses.', schema: stats, orStream: true } },
    errors: ['field_missing', 'unknown_container', 'wrong_phase', 'engine_failed', 'engine_unavailable'],
    async handle({ params, query, caller, signal }, parts) {
      const { id } = touchable(params.id, caller, parts);
      const sample = sampler(() => parts.views.stats(id, signal));
      if (query.stream) return { status: 200, stream: (write) => streamStats(sample, write, signal) };
      await sample();
      await pause(betweenLooksMs, signal);
      return { status: 200, body: await sample() };
    },
  }),

  operation({
    id: 'watchEvents',
    method: 'GET',
    path: '/v1/events',
    tag: 'output',
    summary: 'Follow what happens to all containers',
    description: `Server-sent events. ${resumption}`,
    scope: 'read',
    query: closed({ after: Type.Optional(after) }),
    headers: ['Last-Event-ID'],
    answers: { 200: { description: 'The events.', schema: event, contentType: 'text/event-stream' } },
    errors: ['field_missing'],
    handle: (call, parts) => eventAnswer(call, parts, { wants: () => true, until: 'never' }),
  }),

  operation({
    id: 'watchContainerEvents',
    method: 'GET',
    path: '/v1/containers/{id}/events',
    tag: 'output',
    summary: 'Follow what happens to one container',
    description: `Server-sent events, to the end of the container. Those of one that has ended can be read for as long as they are kept. ${resumption}`,
    scope: 'read',
    params: idParams,
    query: closed({ after: Type.Optional(after) }),
    headers: ['Last-Event-ID'],
    answers: { 200: { description: 'The events.', schema: event, contentType: 'text/event-stream' } },
    errors: ['field_missing', 'unknown_container'],
    handle(call, parts) {
      const { id } = call.params;
      const ended = parts.commands.get(id) ? null : parts.views.ended(id);
      if (!ended || !mayTouch(call.caller, ended.user)) touchable(id, call.caller, parts);
      return eventAnswer(call, parts, {
        wants: (e) => e.containerId === id,
        until: ended ? 'now' : 'gone',
      });
    },
  }),
];

type EventCall = V1Call<unknown, { after?: number }, unknown>;

function eventAnswer(
  call: EventCall,
  parts: V1Parts,
  { wants, until }: Pick<EventSelection, 'wants' | 'until'>,
) {
  const { caller, signal, query } = call;
  // Of one that has ended nothing new comes: it is all that is kept, if nobody asks for less.
  const afterId = lastEventId(call.lastEventId) ?? query.after ?? (until === 'now' ? 0 : null);
  return {
    status: 200 as const,
    stream: (write: (text: string) => Promise<void>) =>
      streamEvents(write, {
        views: parts.views,
        wants: (e) => wants(e) && mayTouch(caller, e.user),
        afterId,
        format: (e) => sseEvent(presentEvent(e), e.id),
        heartbeatMs: parts.heartbeatMs,
        signal,
        until,
      }),
  };
}

function lastEventId(text: string | null): number | null {
  if (text === null || text === '') return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new SpawnerError('field_invalid', 'Last-Event-ID must be the id of an event, a number');
}

async function streamStats(
  sample: ReturnType<typeof sampler>,
  write: (text: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    while (!signal.aborted) {
      await write(sseEvent(await sample()));
      await pause(streamEveryMs, signal);
    }
  } catch (error) {
    // With the container the stream ends.
    const isOver = error instanceof SpawnerError && error.code === 'unknown_container';
    if (!isOver || !sample.taken()) throw error;
  }
}

/** Between the two looks of which the use of processors is made. */
const betweenLooksMs = 200;
const streamEveryMs = 1000;

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

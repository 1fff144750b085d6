import { type Static, Type } from 'typebox';
import { type EventKind, eventKinds } from '../../core/events.ts';
import { allowedWords } from '../../core/image-entry.ts';
import {
  closed,
  exampleId,
  examplesOf,
  exampleTime,
  imageKey,
  list,
  orNull,
  page,
  reason,
  time,
} from './basic-schemas.ts';
import { container } from './container-schemas.ts';

export const stats = closed(
  {
    at: time('when it was looked'),
    cpus: orNull(Type.Number(), 'processors in use since the look before; null: it was just started'),
    cpu_seconds: Type.Number({ description: 'processor time since it was started' }),
    memory_bytes: Type.Integer(),
    memory_limit_bytes: orNull(Type.Integer(), 'null: no limit but the machine’s'),
    received_bytes: Type.Integer(),
    sent_bytes: Type.Integer(),
    pids: Type.Integer({ description: 'processes and threads' }),
  },
  {
    description: 'What a container uses.',
    examples: [
      {
        at: exampleTime,
        cpus: 0.25,
        cpu_seconds: 1.5,
        memory_bytes: 20_971_520,
        memory_limit_bytes: 536_870_912,
        received_bytes: 1024,
        sent_bytes: 4096,
        pids: 3,
      },
    ],
  },
);
export type StatsAnswer = Static<typeof stats>;

export const event = closed(
  {
    id: orNull(Type.Integer(), 'goes up with every event; null: told, but not kept'),
    at: time('when it happened'),
    container: Type.String({ description: 'the id of the container' }),
    image: imageKey,
    user: orNull(Type.String(), 'null: users are off, or it is warm and nobody’s yet'),
    kind: Type.Enum(Object.keys(eventKinds) as EventKind[]),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  {
    description: 'Something that happened to a container.',
    examples: [
      {
        id: 42,
        at: exampleTime,
        container: exampleId,
        image: 'web',
        user: 'alice',
        kind: 'gone',
        data: { reason: 'asked' },
      },
    ],
  },
);
export type EventAnswer = Static<typeof event>;

export const image = closed(
  {
    key: imageKey,
    image: Type.String({ description: 'what the engine runs' }),
    ports: Type.Array(
      closed({ name: Type.String(), port: Type.Integer(), protocol: Type.Enum(['http'] as const) }),
    ),
    lifetime: Type.Number({ description: 'seconds that a container lives unless the caller says otherwise' }),
    max_lifetime: Type.Number({ description: 'seconds, with all extensions' }),
    idle_timeout: orNull(Type.Number(), 'seconds without use until `on_idle`; null: it does not matter'),
    on_idle: Type.Enum(['remove', 'stop', 'pause'] as const),
    max: orNull(Type.Integer(), 'containers of it at once; null: only the other limits hold'),
    warm: closed({
      count: Type.Integer({ description: 'how many are to be ready before anybody asks' }),
      ready: Type.Integer({ description: 'how many are' }),
    }),
    allow: Type.Array(Type.Enum([...allowedWords]), { description: 'what callers may decide' }),
  },
  {
    description: 'An image entry: something that can be run.',
    examples: [
      {
        key: 'web',
        image: 'nginx:alpine',
        ports: [{ name: 'web', port: 80, protocol: 'http' }],
        lifetime: 3600,
        max_lifetime: 3600,
        idle_timeout: null,
        on_idle: 'remove',
        max: null,
        warm: { count: 0, ready: 0 },
        allow: ['lifetime', 'labels'],
      },
    ],
  },
);
export type ImageAnswer = Static<typeof image>;
export const imageList = list(image);

export const userAnswer = closed(
  {
    user: Type.String(),
    limit: Type.Integer({ description: 'containers that one user may have at once' }),
    containers: Type.Array(container),
  },
  {
    description: 'A user, and what they have.',
    examples: [{ user: 'alice', limit: 1, containers: examplesOf(container) }],
  },
);
export type UserAnswer = Static<typeof userAnswer>;

export const historyEntry = closed(
  {
    id: Type.String(),
    image: imageKey,
    user: orNull(Type.String(), 'null: users were off'),
    created_at: time('when it was asked for'),
    ready_at: orNull(Type.String({ format: 'date-time' }), 'null: it never was ready'),
    ended_at: time('when the engine confirmed its end'),
    reason,
  },
  {
    description: 'A container that has ended.',
    examples: [
      {
        id: exampleId,
        image: 'web',
        user: 'alice',
        created_at: exampleTime,
        ready_at: '2026-05-04T12:00:00.400Z',
        ended_at: '2026-05-04T13:00:00.000Z',
        reason: 'expired',
      },
    ],
  },
);
export type HistoryAnswer = Static<typeof historyEntry>;
export const historyPage = page(historyEntry);

export const queue = closed(
  {
    running: Type.Integer({ description: 'starts that have the engine’s attention' }),
    waiting: Type.Integer({ description: 'starts that wait for it' }),
    items: Type.Array(
      closed({
        id: Type.String(),
        image: imageKey,
        user: orNull(Type.String(), 'null: users are off'),
        position: Type.Integer({ description: '1 is next' }),
        estimated_ms: orNull(Type.Integer(), 'until its turn; null: not known yet'),
      }),
      { description: 'the first hundred that the caller may see, in the order of their turns' },
    ),
  },
  {
    description: 'What waits for the engine.',
    examples: [
      {
        running: 4,
        waiting: 1,
        items: [{ id: exampleId, image: 'web', user: 'alice', position: 1, estimated_ms: 900 }],
      },
    ],
  },
);
export type QueueAnswer = Static<typeof queue>;

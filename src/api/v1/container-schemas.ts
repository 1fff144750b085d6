import { type Static, Type } from 'typebox';
import { maxLabels } from '../../core/wishes.ts';
import {
  closed,
  exampleId,
  exampleTime,
  imageKey,
  orNull,
  page,
  reason,
  time,
  user,
} from './basic-schemas.ts';

const labelName = '^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,62}$';
const labelText = Type.String({ maxLength: 256, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' });

export const phase = Type.Enum(['queued', 'creating', 'starting', 'ready', 'asleep', 'stopping'] as const, {
  description: 'where the container is in its life',
});

const labels = Type.Record(Type.String({ pattern: labelName }), labelText, {
  additionalProperties: false,
  maxProperties: maxLabels,
  description: 'what callers noted on the container',
  examples: [{ team: 'red' }],
});

export const container = closed(
  {
    id: Type.String({ description: 'its public name, and the first label of its host name' }),
    image: imageKey,
    user: orNull(Type.String(), 'null: users are off'),
    phase,
    reason: orNull(reason, 'why it is going away; null: it is not'),
    waking: Type.Boolean({ description: 'whether it is asleep and being woken' }),
    url: Type.String({ description: 'where a browser reaches it' }),
    ports: Type.Array(
      closed({
        name: Type.String(),
        port: Type.Integer({ description: 'inside the container' }),
        protocol: Type.Enum(['http'] as const),
        url: Type.String(),
      }),
    ),
    engine: Type.String({ description: 'what runs it' }),
    created_at: time('when it was asked for'),
    ready_at: orNull(Type.String({ format: 'date-time' }), 'when its web server first answered'),
    expires_at: time('its deadline'),
    idle_at: orNull(
      Type.String({ format: 'date-time' }),
      'when it will count as idle; null: not as it is used now',
    ),
    labels,
    queue: orNull(
      closed({
        position: Type.Integer({ description: '1 is next' }),
        estimated_ms: orNull(Type.Integer(), 'until its turn; null: not known yet'),
      }),
      'where it stands, while it waits for the engine',
    ),
  },
  {
    description: 'One running instance of an image entry.',
    examples: [
      {
        id: exampleId,
        image: 'web',
        user: 'alice',
        phase: 'ready',
        reason: null,
        waking: false,
        url: `http://${exampleId}.example.com`,
        ports: [{ name: 'web', port: 80, protocol: 'http', url: `http://${exampleId}.example.com` }],
        engine: 'docker',
        created_at: exampleTime,
        ready_at: '2026-05-04T12:00:00.400Z',
        expires_at: '2026-05-04T13:00:00.000Z',
        idle_at: null,
        labels: { team: 'red' },
        queue: null,
      },
    ],
  },
);
export type ContainerAnswer = Static<typeof container>;

export const containerPage = page(container);

const lifetime = Type.Integer({
  minimum: 1,
  maximum: 3_153_600_000,
  description: 'in seconds, up to `max_lifetime` of the entry',
  examples: [7200],
});

export const spawnRequest = closed(
  {
    image: imageKey,
    user: Type.Optional(user),
    environment: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }),
        Type.String({ maxLength: 8192, pattern: '^[^\\u0000]*$' }),
        {
          additionalProperties: false,
          maxProperties: 64,
          description: 'variables beside those of the entry; where it allows `environment`',
        },
      ),
    ),
    lifetime: Type.Optional(lifetime),
    labels: Type.Optional(labels),
  },
  {
    description:
      'What to run, and for whom: `user` is needed where users are on, unless the token is bound to one.',
    examples: [
      { image: 'web', user: 'alice' },
      { image: 'web', user: 'alice', lifetime: 1800, labels: { team: 'red' } },
    ],
  },
);
export type SpawnRequestBody = Static<typeof spawnRequest>;

export const containerChange = closed(
  {
    expires_at: Type.Optional(time('a later deadline, up to `max_lifetime` of the entry')),
    extend_by: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 3_153_600_000, description: 'seconds to add to the deadline' }),
    ),
    labels: Type.Optional(
      Type.Record(Type.String({ pattern: labelName }), Type.Union([labelText, Type.Null()]), {
        additionalProperties: false,
        maxProperties: maxLabels,
        description: 'labels to set; null takes one away',
      }),
    ),
  },
  {
    minProperties: 1,
    description: 'What to change: the deadline by one of its two fields, labels, or both.',
    examples: [{ extend_by: 1800 }, { labels: { team: 'blue', note: null } }],
  },
);
export type ContainerChangeBody = Static<typeof containerChange>;

import { health } from './basic-schemas.ts';
import { operation } from './operation.ts';

const ok = { status: 200, body: { status: 'ok' } } as const;

export const serviceOperations = [
  operation({
    id: 'checkHealth',
    method: 'GET',
    path: '/healthz',
    tag: 'service',
    summary: 'Whether the service is alive',
    description: 'Needs no token, and says nothing but that.',
    scope: null,
    answers: { 200: { description: 'It is.', schema: health } },
    errors: [],
    handle: () => ok,
  }),

  operation({
    id: 'checkReadiness',
    method: 'GET',
    path: '/readyz',
    tag: 'service',
    summary: 'Whether the service can do its work',
    description:
      'It has found its containers again, which it does before it answers at all, and the engine answers. Needs no token.',
    scope: null,
    answers: { 200: { description: 'It can.', schema: health } },
    errors: ['engine_unavailable'],
    async handle(_call, { views }) {
      await views.engine();
      return ok;
    },
  }),
];

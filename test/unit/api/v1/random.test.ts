import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { expect, test } from 'vitest';
import type { Operation } from '../../../../src/api/v1/operation.ts';
import { operations } from '../../../../src/api/v1/operations.ts';
import { exchange } from '../support.ts';
import { startV1, type V1Rig } from './rig.ts';

/** The words of JSON Schema that the schemas of the API use. */
interface Words {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly TSchema[];
  readonly items?: TSchema;
  readonly minItems?: number;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly patternProperties?: Readonly<Record<string, TSchema>>;
}

const odd = fc.oneof(
  fc.jsonValue(),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.constantFrom(
    '',
    '\u0000',
    '\ud800',
    '__proto__',
    '../..',
    "' OR 1=1 --",
    'a'.repeat(5000),
    -1,
    1e308,
    2 ** 53,
  ),
);

/** Values of a schema, or near it. */
function nearlyOf(schema: TSchema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 9, arbitrary: soundOf(schema) }, { weight: 1, arbitrary: odd });
}

function soundOf(schema: TSchema): fc.Arbitrary<unknown> {
  const words = schema as Words;
  if (words.enum) return fc.constantFrom(...words.enum);
  if (words.anyOf) return fc.oneof(...words.anyOf.map(soundOf));
  if (words.properties) return objectOf(words);
  if (words.patternProperties) {
    const [value] = Object.values(words.patternProperties);
    return fc.dictionary(
      fc.oneof(fc.stringMatching(/^[a-zA-Z][a-z0-9]{0,9}$/), fc.string()),
      nearlyOf(value!),
      {
        maxKeys: 5,
      },
    );
  }
  switch (words.type) {
    case 'array':
      return fc.array(nearlyOf(words.items!), { minLength: words.minItems ?? 0, maxLength: 4 });
    case 'integer':
      return fc.integer({ min: words.minimum ?? -100, max: Math.min(words.maximum ?? 100, 2 ** 31 - 1) });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return words.format === 'date-time'
        ? fc
            .date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true })
            .map((date) => date.toISOString())
        : fc.oneof(
            fc.constantFrom('web', 'plain', 'alice', 'bob'),
            fc.string({ maxLength: 40, unit: 'grapheme' }),
          );
  }
}

function objectOf({ properties = {}, required = [] }: Words): fc.Arbitrary<object> {
  const known = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, nearlyOf(schema)]),
  );
  const sound = fc.record(known, { requiredKeys: [...required] });
  const withMore = fc.tuple(sound, fc.dictionary(fc.string(), odd, { maxKeys: 2 }));
  return fc.oneof(
    { weight: 8, arbitrary: sound },
    { weight: 1, arbitrary: withMore.map(([object, more]) => ({ ...object, ...more })) },
    { weight: 1, arbitrary: fc.record(known, { requiredKeys: [] }) },
  );
}

interface RandomRequest {
  readonly operation: Operation;
  readonly params: readonly unknown[];
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

const request: fc.Arbitrary<RandomRequest> = fc.constantFrom(...operations).chain((operation) =>
  fc.record({
    operation: fc.constant(operation),
    params: fc.array(
      fc.oneof(fc.constant('KNOWN'), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 })),
      {
        minLength: 1,
        maxLength: 1,
      },
    ),
    query: operation.query
      ? (objectOf(operation.query as Words) as fc.Arbitrary<Record<string, unknown>>)
      : fc.constant({}),
    body: operation.body ? nearlyOf(operation.body) : fc.constantFrom(undefined, {}, { a: 1 }),
  }),
);

async function send(
  rig: V1Rig,
  known: string,
  { operation, params, query, body }: RandomRequest,
): Promise<number> {
  const param = params[0] === 'KNOWN' ? known : String(params[0]);
  const path = operation.path.replace(/\{\w+\}/, encodeURIComponent(param.toWellFormed()));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) search.set(name, String(value).toWellFormed());
  const over = AbortSignal.timeout(10_000);
  const hasBody = body !== undefined && operation.method !== 'GET';
  const response = await fetch(`${rig.url}${path}${search.size === 0 ? '' : `?${search}`}`, {
    method: operation.method,
    signal: over,
    ...(hasBody && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  // The streams have no end.
  await response.body?.cancel();
  return response.status;
}

test('random requests, valid and not, never give a 5xx but where a container does not start', async () => {
  const rig = await startV1({ core: { userLimit: 3 } });
  const known = await rig.spawn('keeper');
  await fc.assert(
    fc.asyncProperty(request, async (random) => {
      // A token would close the door, and the others need the known container.
      const { id } = random.operation;
      if (id === 'createToken' || (id === 'stopContainer' && random.params[0] === 'KNOWN')) return;
      const status = await send(rig, known, random);
      expect(status, `${random.operation.id}: ${JSON.stringify(random)}`).toBeLessThan(500);
      // Their places are for the next ones.
      const spawned = [...rig.core.commands.all()].filter((c) => c.user !== 'keeper' && c.phase === 'ready');
      if (spawned.length > 10) await Promise.all(spawned.map((c) => rig.core.commands.stop(c.id)));
    }),
    { numRuns: 600 },
  );
}, 120_000);

test('random tokens are made or refused, and never give a 5xx', async () => {
  const admin = 'the-secret-of-an-administrator';
  const rig = await startV1({ administrators: [admin] });
  const operation = operations.find((o) => o.id === 'createToken')!;
  await fc.assert(
    fc.asyncProperty(nearlyOf(operation.body!), async (body) => {
      const answer = await rig.call('POST', '/v1/tokens', { body: JSON.stringify(body) ?? '', token: admin });
      expect([201, 400, 415]).toContain(answer.status);
    }),
    { numRuns: 200 },
  );
}, 60_000);

test('random bytes as path and body never give a 5xx', async () => {
  const rig = await startV1();
  const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array).toString('latin1'));
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PATCH'), bytes, bytes, async (method, path, body) => {
      const target = `/v1/${path.replace(/[\r\n ]/g, '')}`;
      const head = [
        `${method} ${target} HTTP/1.1`,
        `Host: 127.0.0.1:${rig.port}`,
        'Connection: close',
        'Content-Type: application/json',
        `Content-Length: ${body.length}`,
      ];
      const answer = await exchange(rig.port, `${head.join('\r\n')}\r\n\r\n${body}`);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    }),
    { numRuns: 200 },
  );
}, 60_000);

import { readFileSync } from 'node:fs';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { problemStatus } from '../../../../src/api/problems.ts';
import { exampleId, problem } from '../../../../src/api/v1/basic-schemas.ts';
import { namedSchemas, openApiDocument } from '../../../../src/api/v1/openapi.ts';
import { errorsOf, type Operation } from '../../../../src/api/v1/operation.ts';
import { operations } from '../../../../src/api/v1/operations.ts';
import { referencePage } from '../../../../src/api/v1/reference.ts';
import { type ErrorCode, errorTable } from '../../../../src/core/errors.ts';
import { eventually } from '../../../support/eventually.ts';
import { produce } from './produce.ts';
import { openStream, startV1, type V1Rig } from './rig.ts';

const admin = 'the-secret-of-an-administrator';

// biome-ignore lint/suspicious/noExplicitAny: the document is read as a client reads it.
type Json = any;
const document: Json = openApiDocument(operations);
const described = (operation: Operation): Json =>
  document.paths[operation.path][operation.method.toLowerCase()];
const isProblem = Compile(problem);

/** The ids and names of the examples, made real. */
async function prepared(rig: V1Rig, operation: Operation): Promise<(path: string) => string> {
  const id = operation.path.includes('{id}') ? await rig.spawn('alice') : exampleId;
  const token = operation.path.includes('{token}') ? rig.token({}).split('_')[1]! : '';
  return (path) => path.replace('{id}', id).replace('{user}', 'alice').replace('{token}', token);
}

describe('the document', () => {
  test('is what /openapi.json answers, and what docs/api.md was made from', async () => {
    const rig = await startV1();
    expect((await rig.call('GET', '/openapi.json')).json).toEqual(JSON.parse(JSON.stringify(document)));
    const page = readFileSync(new URL('../../../../docs/api.md', import.meta.url), 'utf8');
    expect(page, 'node src/api/v1/reference.ts --write makes it so').toBe(referencePage());
  });

  test('refers to nothing that is not in it, and has an own id for every operation', () => {
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
      expect(document.components.schemas).toHaveProperty(name!);
    }
    expect(new Set(operations.map((o) => o.id)).size).toBe(operations.length);
    expect(text).not.toContain('~kind');
  });

  test.each(Object.keys(namedSchemas))('has examples of %s that are of its schema', (name) => {
    const check = Compile(namedSchemas[name]!);
    const { examples = [] } = namedSchemas[name] as { examples?: unknown[] };
    for (const example of examples) {
      expect(check.Errors(example)).toEqual([]);
    }
  });

  test('has problems as examples that are of their schema', () => {
    for (const operation of operations) {
      for (const response of Object.values<Json>(described(operation).responses)) {
        const content = response.content?.['application/problem+json'];
        for (const { value } of Object.values<Json>(content?.examples ?? {})) {
          expect(isProblem.Errors(value)).toEqual([]);
        }
      }
    }
  });
});

describe('every example is answered as documented', () => {
  test.each(operations.map((o) => [`${o.method} ${o.path}`, o] as const))('%s', async (_, operation) => {
    const examples = Object.values<Json>(
      described(operation).requestBody?.content['application/json'].examples ?? { none: {} },
    );
    for (const example of examples) {
      const rig = await startV1({ administrators: [admin] });
      const fill = await prepared(rig, operation);
      const headers = Object.fromEntries(
        (described(operation).parameters ?? [])
          .filter((p: Json) => p.in === 'header')
          .map((p: Json) => [p.name, p.example]),
      );
      const answer = answers(operation);
      if (answer.contentType === 'text/event-stream') {
        const stream = await openStream(rig.url + fill(operation.path), {
          ...headers,
          authorization: `Bearer ${admin}`,
        });
        expect(stream.response.status).toBe(200);
        expect(stream.response.headers.get('content-type')).toBe('text/event-stream');
        await rig.spawn('bob');
        const check = Compile(answer.schema!);
        await eventually(() => expect(stream.events().length).toBeGreaterThan(3));
        for (const event of stream.events()) expect(check.Errors(event)).toEqual([]);
        continue;
      }
      const isExtension = operation.id === 'changeContainer' && 'extend_by' in example.value;
      const path = fill(operation.path);
      // Extending needs room: the entry's container lives as long as it may.
      if (isExtension) await rig.core.commands.stop(path.split('/').at(-1)!);
      const target = isExtension
        ? `/v1/containers/${await rig.spawn('alice', { wishes: { lifetimeMs: 60_000 } })}`
        : path;
      const response = await rig.call(operation.method, target, {
        body: example.value,
        headers,
        token: admin,
      });
      const documented = operation.answers[response.status as 200];
      expect(documented, `${response.status}: ${response.text}`).toBeDefined();
      if (documented!.location) expect(response.headers.get('location')).toMatch(/^\/v1\//);
      if (documented!.schema) expect(Compile(documented!.schema).Errors(response.json)).toEqual([]);
      else if (documented!.contentType !== 'text/plain') expect(response.text).toBe('');
    }
  });

  function answers(operation: Operation) {
    return Object.values(operation.answers)[0]!;
  }

  test('and every documented success can be had', async () => {
    const rig = await startV1({ core: { userLimit: 2 } });
    const body = { image: 'web', user: 'alice' };
    expect((await rig.call('POST', '/v1/containers', { body })).status).toBe(201);
    expect((await rig.call('POST', '/v1/containers?wait=none', { body })).status).toBe(202);
    await eventually(() => expect([...rig.core.commands.all()].every((c) => c.phase === 'ready')).toBe(true));
  });
});

describe('every documented error is produced', () => {
  const cases = operations.flatMap((operation) =>
    errorsOf(operation).map((code) => [operation.method, operation.path, code, operation] as const),
  );

  test.each(cases)('%s %s: %s', async (_method, _path, code, operation) => {
    const answer = await produce(operation, code);
    expect(answer.status, answer.text).toBe(problemStatus(code));
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(isProblem.Errors(answer.json)).toEqual([]);
    expect(answer.json).toMatchObject({ code, status: answer.status, title: errorTable[code].title });
    expect(answer.json.request_id).toBe(answer.headers.get('x-request-id'));
    const responses = described(operation).responses;
    expect(responses[answer.status].content['application/problem+json'].examples).toHaveProperty(code);
  });

  test('and every code of the table is documented, but for those of the original and of no address', () => {
    const documented = new Set(operations.flatMap(errorsOf));
    const missing = (Object.keys(errorTable) as ErrorCode[]).filter((code) => !documented.has(code));
    expect(missing.sort()).toEqual(['method_not_allowed', 'not_found']);
  });
});

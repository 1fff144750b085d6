import { expect, test } from 'vitest';
import { startV1 } from './rig.ts';

test('the reference page brings all that it needs, and lets nothing else in', async () => {
  const rig = await startV1();
  const page = await rig.call('GET', '/docs');
  expect(page.headers.get('content-type')).toContain('text/html');
  const policy = page.headers.get('content-security-policy')!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self';");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(page.text).not.toMatch(/https?:/);
  // No inline script, which the policy would stop.
  expect(page.text).not.toMatch(/<script>|onload=/);
  const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
  expect(sources).toContain('/docs/scalar.js');
  for (const path of sources) {
    const { status, headers, text } = await rig.call('GET', path);
    expect(status, path).toBe(200);
    expect(text.length).toBeGreaterThan(100);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
});

test('the document lets answers have more fields, and requests none', async () => {
  const rig = await startV1();
  const { schemas } = (await rig.call('GET', '/openapi.json')).json.components;
  expect(schemas.ContainerRequest.additionalProperties).toBe(false);
  expect(schemas.Container.additionalProperties).toBeUndefined();
  expect(schemas.Container.properties.queue.anyOf[0].additionalProperties).toBeUndefined();
  expect(schemas.ContainerPage.properties.items.items).toEqual({ $ref: '#/components/schemas/Container' });
});

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { metricsPage } from '../../../src/metrics/page.ts';
import { type MetricDeclaration, metricTable } from '../../../src/metrics/table.ts';

const declarations: readonly MetricDeclaration[] = Object.values(metricTable);
const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

test('docs/metrics.md is what the table says (node src/metrics/page.ts --write makes it so)', () => {
  expect(read('docs/metrics.md')).toBe(metricsPage());
});

test.each(declarations)('$name keeps to the rules of Prometheus', ({ name, type, help, buckets }) => {
  // What every program has goes by the name that it has everywhere.
  expect(name).toMatch(/^(docker_spawner|process)(_[a-z]+)+$/);
  expect(name.endsWith('_total')).toBe(type === 'counter');
  expect(name).not.toMatch(/_(ms|milliseconds|minutes|kilobytes|mb|percent)(_|$)/);
  expect(name).not.toMatch(/_(count|sum|bucket|gauge|counter|histogram)$/);
  expect(help).not.toMatch(/\.$/);
  expect(buckets !== undefined).toBe(type === 'histogram');
  expect([...(buckets ?? [])].sort((a, b) => a - b)).toEqual(buckets ?? []);
});

test('no label holds a user or an id', () => {
  const labels = new Set(declarations.flatMap((declaration) => Object.keys(declaration.labels)));
  expect([...labels].sort()).toEqual(
    [
      'from',
      'image',
      'kind',
      'node',
      'phase',
      'reason',
      'result',
      'status',
      'target',
      'verb',
      'version',
    ].sort(),
  );
});

/** The metrics that an expression names, each with the labels that it asks for. */
function metricsIn(expression: string): { name: string; labels: string[] }[] {
  const by = [...expression.matchAll(/\b(?:by|without) \(([^)]*)\)/g)].flatMap(([, list]) =>
    list!.split(/,\s*/),
  );
  return [...expression.matchAll(/\b((?:docker_spawner|process)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name, matchers]) => ({
      name: name!,
      labels: [
        ...[...(matchers ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
        ...by,
      ],
    }),
  );
}

function expectKnown(expression: string): void {
  const used = metricsIn(expression);
  expect(used.length, expression).toBeGreaterThan(0);
  for (const { name, labels } of used) {
    const declaration = declarations.find((d) =>
      d.type === 'histogram'
        ? ['_bucket', '_sum', '_count'].some((suffix) => name === d.name + suffix)
        : name === d.name,
    );
    expect(declaration, `${name} in ${expression}`).toBeDefined();
    const known = [...Object.keys(declaration!.labels), 'le', 'job', 'instance'];
    expect(known, `${name} in ${expression}`).toEqual(expect.arrayContaining(labels));
  }
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(read('deploy/grafana/docker-spawner.json')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
};

test('the dashboard asks only for metrics that there are, by labels that they have', () => {
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(expressions.length).toBeGreaterThan(15);
  for (const expression of expressions) expectKnown(expression);
});

test('the dashboard shows something of every kind of metric, and no panel lies over another', () => {
  const all = JSON.stringify(dashboard);
  for (const { name } of declarations) {
    if (name === 'docker_spawner_starts_running' || name === 'docker_spawner_proxy_upstream_connections')
      continue;
    expect(all).toContain(name);
  }
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
});

test('the alarms on the page ask only for metrics that there are', () => {
  const [, alarms] = metricsPage().split('## Worth an alarm');
  const expressions = [...alarms!.matchAll(/\| `(.*)` \|$/gm)].map(([, expression]) => expression!);
  expect(expressions.length).toBeGreaterThan(4);
  for (const expression of expressions) expectKnown(expression);
});

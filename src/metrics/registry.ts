import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type MetricDeclaration, type MetricKey, metricTable } from './table.ts';

type Table = typeof metricTable;
type LabelsOf<K extends MetricKey> = Extract<keyof Table[K]['labels'], string>;

/** The metrics of the table, each of the class that its type names. */
export type Instruments = {
  readonly [K in MetricKey]: Table[K]['type'] extends 'counter'
    ? Counter<LabelsOf<K>>
    : Table[K]['type'] extends 'gauge'
      ? Gauge<LabelsOf<K>>
      : Histogram<LabelsOf<K>>;
};

/** Makes all metrics of the table in a registry of their own. */
export function createInstruments(): { readonly registry: Registry; readonly instruments: Instruments } {
  const registry = new Registry();
  const made = Object.entries(metricTable).map(([key, declaration]) => [key, make(declaration, registry)]);
  return { registry, instruments: Object.fromEntries(made) };
}

function make({ name, type, help, labels, buckets }: MetricDeclaration, registry: Registry) {
  const common = { name, help, labelNames: Object.keys(labels), registers: [registry] };
  switch (type) {
    case 'counter':
      return new Counter(common);
    case 'gauge':
      return new Gauge(common);
    case 'histogram':
      return new Histogram({ ...common, buckets: [...(buckets ?? [])] });
  }
}

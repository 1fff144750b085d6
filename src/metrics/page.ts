import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type MetricDeclaration, metricTable } from './table.ts';

/** The reference page, docs/metrics.md, in Markdown: made from the table. */
export function metricsPage(): string {
  const rows = Object.values<MetricDeclaration>(metricTable).map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labelsCell(labels)} | ${help} |`,
  );
  return [
    intro,
    '| metric | type | labels | meaning |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    notes,
  ].join('\n');
}

function labelsCell(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([label, values]) => `\`${label}\`: ${values === 'key' ? 'a key of `container_images`' : values}`)
    .join('; ');
}

const intro = `<!-- Made from src/metrics/table.ts by \`node src/metrics/page.ts --write\`. Do not edit. -->

# Metrics

\`GET /metrics\` on the API's listener answers in Prometheus' text format. Where the API needs a token, so does
this; a scrape configuration with one:

\`\`\`yaml
scrape_configs:
  - job_name: docker-spawner
    authorization: {credentials_file: /etc/prometheus/docker-spawner.token}
    static_configs:
      - targets: ["127.0.0.1:3000"]
\`\`\`

Durations are seconds, sizes bytes. No label ever holds a user or the id of a container: their values come from
the lists below and from the configuration, so the number of series has a bound. Containers whose entry the
configuration no longer has are counted under the image \`other\`. Counters start at 0 with the process.

A dashboard for Grafana is in [deploy/grafana](../deploy/grafana/docker-spawner.json): import it, and choose the
data source.
`;

const notes = `## Worth an alarm

| what | expression |
| --- | --- |
| The engine does not answer | \`rate(docker_spawner_engine_errors_total{kind="unreachable"}[5m]) > 0\` |
| Spawns fail | \`sum(rate(docker_spawner_spawns_total{result="failed"}[10m])) / sum(rate(docker_spawner_spawns_total[10m])) > 0.1\` |
| Places run out | \`sum(docker_spawner_containers) / scalar(docker_spawner_places_limit) > 0.9\` |
| Containers do not answer visitors | \`sum(rate(docker_spawner_proxy_own_answers_total{status=~"50[24]"}[5m])) > 1\` |
| A webhook takes no events | \`docker_spawner_webhook_waiting > 100\` |
| The event loop is blocked | \`histogram_quantile(0.99, rate(docker_spawner_event_loop_delay_seconds_bucket[5m])) > 0.1\` |
`;

if (import.meta.main && process.argv.includes('--write')) {
  writeFileSync(fileURLToPath(new URL('../../docs/metrics.md', import.meta.url)), metricsPage());
}

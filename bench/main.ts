import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { proxyBench } from './proxy.ts';
import { spawnBench } from './spawn/main.ts';

/** `npm run bench -- NAME`: runs one set of measurements, prints it, and keeps it in bench/results/. */
export interface Report {
  /** What a person reads. */
  readonly lines: readonly string[];
  /** Every number, for comparison with a later run. */
  readonly data: unknown;
}

const benches: Record<string, () => Promise<Report>> = { spawn: spawnBench, proxy: proxyBench };

const name = process.argv[2] ?? '';
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
if (!bench) {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join(' | ')}`);
  process.exit(2);
}
const { lines, data } = await bench();
const heading = `${name}, ${new Date().toISOString()}, Node ${process.version}, ${cpus().length} cores`;
const folder = join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, `${name}.txt`), `${heading}\n\n${lines.join('\n')}\n`);
writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(data, null, 1)}\n`);
console.log(`\n${heading}\n\n${lines.join('\n')}`);

import type { Report } from '../main.ts';
import { burst, warmSpawn } from './bursts.ts';
import { coldSpawn } from './cold.ts';
import { cost, start } from './many.ts';

/** The rows of `npm run bench -- spawn`; with names after it only those. */
const rows: Record<string, () => Promise<Report>> = { cost, start, cold: coldSpawn, warm: warmSpawn, burst };

export async function spawnBench(): Promise<Report> {
  const named = process.argv.slice(3).filter((word) => !word.startsWith('-'));
  const unknown = named.find((name) => !Object.hasOwn(rows, name));
  if (unknown) throw new Error(`there is no row ${unknown}; there are ${Object.keys(rows).join(', ')}`);
  const lines: string[] = [];
  const data: Record<string, unknown> = {};
  for (const name of named.length > 0 ? named : Object.keys(rows)) {
    process.stderr.write(`${name} ...\n`);
    const report = await rows[name]!();
    lines.push(...report.lines, '');
    data[name] = report.data;
  }
  return { lines, data };
}

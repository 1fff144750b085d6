// The model in its nightly form: node test/model/main.ts [--runs N] [--seed S] [--steps N]
// One scenario again, as a failure has printed it: node test/model/main.ts --replay JSON
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { runScenario } from './run.ts';
import { scenarios } from './steps.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string' },
    steps: { type: 'string', default: '60' },
    replay: { type: 'string' },
  },
});

if (values.replay !== undefined) {
  const problems = await runScenario(JSON.parse(values.replay), (trace) => say(trace.join('\n')));
  say(problems.length === 0 ? 'every rule held' : problems.join('\n'));
  process.exitCode = problems.length === 0 ? 0 : 1;
} else {
  const numRuns = Number(values.runs);
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  say(`seed ${seed}, ${numRuns} runs`);
  process.exitCode = (await explore(numRuns, seed)) ? 0 : 1;
}

/** Resolves with whether every rule held. */
async function explore(numRuns: number, seed: number): Promise<boolean> {
  const startedMs = performance.now();
  let runs = 0;
  const property = fc.asyncProperty(scenarios(Number(values.steps)), async (scenario) => {
    if (++runs % 1000 === 0) say(`${runs} runs`);
    const problems = await runScenario(scenario);
    if (problems.length > 0) throw new Error(problems.join('\n'));
  });
  const details = await fc.check(property, { seed, numRuns });
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  if (!details.failed) {
    say(`${details.numRuns} runs in ${seconds} s: every rule held`);
    return true;
  }
  const reason = details.errorInstance instanceof Error ? details.errorInstance.message : '';
  say(`seed ${seed}: run ${details.numRuns} broke a rule (made simpler ${details.numShrinks} times)`);
  say(reason);
  say(`again: node test/model/main.ts --replay '${JSON.stringify(details.counterexample?.[0])}'`);
  return false;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Where something was written. The line is null for the environment, and where a file has none to name. */
export interface Location {
  readonly file: string;
  readonly line: number | null;
}

/** One thing that is wrong with the configuration, in words for the person who wrote it. */
export interface Problem extends Location {
  /** The path of the key, for example `container_images.web.mem_limit`; '' for the file as a whole. */
  readonly key: string;
  /** What is wrong and what to do about it. Never holds a secret. */
  readonly message: string;
  /** What would have been right, where that can be said in a phrase. */
  readonly expected: string | null;
}

/** Takes problems as they are found; reading goes on, so that a person sees all of them at once. */
export type Report = (at: Location, key: string, message: string, expected?: string) => void;

/** More than this nobody reads at once. */
const maxLines = 100;

/** The configuration cannot be used. The message lists the problems, one a line. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const rest = problems.length - maxLines;
    const lines = problems.slice(0, maxLines).map(formatProblem);
    super([...lines, ...(rest > 0 ? [`and ${rest} more`] : [])].join('\n'));
    this.problems = problems;
  }
}

/** `docker-spawner.yaml:12: container_images.web.mem_limit: expected a size such as 512m, got "lots"` */
export function formatProblem(problem: Problem): string {
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}`;
  return [place, ...(problem.key === '' ? [] : [problem.key]), problem.message].join(': ');
}

/** Collects problems, and gives them in the order of the file, then those of the environment. */
export class Problems {
  readonly #list: Problem[] = [];

  readonly report: Report = (at, key, message, expected) => {
    this.#list.push({ key, file: at.file, line: at.line, message, expected: expected ?? null });
  };

  /** Does nothing where there are none. */
  throwAny(): void {
    if (this.#list.length === 0) return;
    throw new ConfigurationError(this.#list.toSorted((a, b) => order(a) - order(b)));
  }

  get count(): number {
    return this.#list.length;
  }
}

function order(problem: Problem): number {
  return problem.line ?? Number.MAX_SAFE_INTEGER;
}

/** The known word that was probably meant, as the end of a sentence; '' where none comes near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const written = word.toLowerCase().replaceAll(/[-. ]/g, '_');
  let best: string | null = null;
  // A third of the letters may be wrong: more than that suggests words that nobody meant.
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(written.slice(0, 64), candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best === null ? '' : `; did you mean \`${best}\`?`;
}

/** Levenshtein's distance, with a swap of neighbours counted as one. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      row.push(cost);
    }
    [before, above] = [above, row];
  }
  return above[b.length]!;
}

import { delay } from './clock.ts';
import type { EngineContainer } from './engine.ts';
import { deadline, engineDeadlinesMs } from './engine-calls.ts';
import { labels } from './labels.ts';
import type { Parts } from './parts.ts';

/** All containers of this instance as the engine has them, and when it was asked, on the monotonic clock. */
export interface FullList {
  readonly containers: readonly EngineContainer[];
  readonly askedAtMonoMs: number;
}

/**
 * The engine's full list. Several containers that are all gone at once are more than an engine loses by itself: it
 * is asked again before that is believed (rule 3). `expected`: ids of containers that it had. Rejects with
 * EngineError.
 */
export async function fullList(parts: Parts, expected: ReadonlySet<string>): Promise<FullList> {
  const { clock, log, closing } = parts;
  const first = await ask(parts);
  const isLossOfAll = expected.size > 1 && !first.containers.some((c) => expected.has(idOf(c)));
  if (!isLossOfAll) return first;
  log.warn(
    { missing: expected.size },
    'the engine has none of the containers that are known; asking it again before that is believed',
  );
  await delay(clock, doubtMs, closing);
  return ask(parts);
}

async function ask({ engine, clock, closing }: Parts): Promise<FullList> {
  const askedAtMonoMs = clock.monoMs();
  const containers = await engine.list({}, deadline(clock, engineDeadlinesMs.list, closing));
  return { containers, askedAtMonoMs };
}

function idOf(container: EngineContainer): string {
  return container.labels[labels.id.name] ?? '';
}

const doubtMs = 2000;

import { deadline, engineDeadlinesMs } from './engine-calls.ts';
import { belongsTo } from './labels.ts';
import type { Parts } from './parts.ts';

/**
 * What the engine has under the id of a container whose `ref` is not known: a call that created it has lost its
 * caller. By labels and by name, since an image that was committed from one of ours carries our labels into what
 * others run from it. Rejects with EngineError.
 */
export async function refsOf(parts: Parts, id: string): Promise<string[]> {
  const { engine, ledger, clock, closing } = parts;
  const found = await engine.list({ id }, deadline(clock, engineDeadlinesMs.list, closing));
  return found
    .filter((c) => belongsTo(c.labels, ledger.identities()) && c.name.endsWith(id))
    .map((c) => c.ref);
}

/** Removes them, and resolves with whether there were any. Rejects with EngineError. */
export async function removeLeftovers(parts: Parts, id: string): Promise<boolean> {
  const { engine, log, clock, closing } = parts;
  const refs = await refsOf(parts, id);
  for (const ref of refs) {
    log.warn({ id, ref }, 'removing what an earlier attempt to create the container has left');
    await engine.remove(ref, { graceMs: null }, deadline(clock, engineDeadlinesMs.remove, closing));
  }
  return refs.length > 0;
}

import type { Engine, LogQuery } from '../../src/core/engine.ts';

/** All that the engine tells of a container's output, as one text. */
export async function logsOf(
  engine: Engine,
  ref: string,
  query: Partial<LogQuery>,
  signal: AbortSignal,
): Promise<string> {
  let text = '';
  const onText = (piece: string) => {
    text += piece;
  };
  await engine.logs(ref, { tailLines: null, sinceMs: null, follow: false, ...query }, onText, signal);
  return text;
}

import type { Container } from './container.ts';
import { deadline } from './engine-calls.ts';
import type { ImageEntry } from './image-entry.ts';
import type { Parts } from './parts.ts';
import { fillText, placeholderValues } from './placeholders.ts';
import { quote } from './quote.ts';

/** `on_claim` did not end as it should; the message says how. */
export class OnClaimFailed extends Error {
  override readonly name = 'OnClaimFailed';
}

/**
 * Delivers what differs for this container's user: runs the entry's `on_claim` inside, its values as one JSON
 * object on standard input. Before a container is acknowledged, whether it was warm or just started. Rejects with
 * OnClaimFailed or EngineError.
 */
export async function runOnClaim(parts: Parts, container: Container, entry: ImageEntry): Promise<void> {
  const { onClaim } = entry.warm;
  if (!onClaim) return;
  const where = { domain: parts.domain, url: parts.urlOf(container.id) };
  const known = { ...placeholderValues(container, where), user_id: container.user ?? '' };
  const values = Object.fromEntries(
    Object.entries(onClaim.values).map(([name, template]) => [name, fillText(template, known)]),
  );
  const { exitCode, output } = await parts.engine.exec(
    container.ref!,
    { command: onClaim.command, input: `${JSON.stringify(values)}\n` },
    deadline(parts.clock, onClaim.timeoutMs, parts.closing),
  );
  if (exitCode === 0) return;
  // A command that echoes its input must not carry the values into an error.
  const said = quote(output, Object.values(values), 300);
  throw new OnClaimFailed(`on_claim ended with exit code ${exitCode}${said === '' ? '' : `: ${said}`}`);
}

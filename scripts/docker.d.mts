/** Types of docker.mjs, for the tests. */
export function dockerHost(): string;

export function engineRequest(call: {
  readonly method?: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | AsyncIterable<Buffer>;
  readonly timeoutMs?: number;
}): Promise<{ readonly status: number; readonly text: string }>;

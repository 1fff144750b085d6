/** Types of tar.mjs, for the tests. */
export function tar(
  entries: readonly {
    readonly path: string;
    readonly mode?: number;
    readonly directory?: true;
    readonly content?: string | Buffer;
    readonly source?: string;
  }[],
): AsyncGenerator<Buffer>;

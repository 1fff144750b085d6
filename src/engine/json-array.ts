/**
 * Cuts the text of a JSON array into its elements while it comes in, wherever its chunks end. A list of ten
 * thousand containers is 14 MB: parsed at once it would hold the event loop up for longer than 50 ms (rule 10).
 * Elements must be objects or arrays, as in all lists of the engine. `push` gives those that a chunk completes,
 * as JSON; `end` throws SyntaxError unless the array was complete.
 */
export function createArraySplitter(): { push(chunk: Buffer): string[]; end(): void } {
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  let isComplete = false;
  let pending: Buffer[] = [];

  return {
    push(chunk) {
      const elements: string[] = [];
      // Where the open element begins in this chunk; -1 between elements.
      let from = depth > 1 ? 0 : -1;
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at]!;
        if (inString) {
          if (isEscaped) isEscaped = false;
          else if (byte === backslash) isEscaped = true;
          else if (byte === quote) inString = false;
        } else if (byte === quote) {
          inString = true;
        } else if (byte === openBrace || byte === openBracket) {
          if (isComplete || (depth === 0 && byte === openBrace)) throw new SyntaxError('not one JSON array');
          if (++depth === 2) from = at;
        } else if (byte === closeBrace || byte === closeBracket) {
          if (--depth === 1) {
            pending.push(chunk.subarray(from, at + 1));
            elements.push(Buffer.concat(pending).toString());
            pending = [];
            from = -1;
          }
          isComplete = depth === 0;
        }
      }
      if (from !== -1) pending.push(chunk.subarray(from));
      return elements;
    },
    end() {
      if (!isComplete) throw new SyntaxError('the JSON array is not complete');
    },
  };
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** The most that is kept of a container's output, in bytes as they were written. */
export const maxLogBytes = 64 * 1024;

/**
 * Reads the engine's stream of a container's output: frames with a head of eight bytes (1: which stream, 3: zero,
 * 4: length), or plain bytes where the container has a terminal. Keeps the last `maxBytes`.
 */
export function createLogReader(maxBytes = maxLogBytes): { push(chunk: Buffer): void; text(): string } {
  let pending: Buffer = Buffer.alloc(0);
  let frameBytesLeft = 0;
  let isPlain = false;
  let kept: Buffer[] = [];
  let keptBytes = 0;

  const keep = (bytes: Buffer) => {
    kept.push(bytes);
    keptBytes += bytes.length;
    if (keptBytes <= 2 * maxBytes) return;
    kept = [Buffer.concat(kept).subarray(-maxBytes)];
    keptBytes = maxBytes;
  };

  return {
    push(chunk) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (pending.length > 0) {
        if (frameBytesLeft === 0 && !isPlain) {
          if (pending.length < headBytes) break;
          isPlain = !isFrameHead(pending);
          if (isPlain) continue;
          frameBytesLeft = pending.readUInt32BE(4);
          pending = pending.subarray(headBytes);
          continue;
        }
        const bytes = isPlain ? pending : pending.subarray(0, frameBytesLeft);
        keep(bytes);
        frameBytesLeft -= isPlain ? 0 : bytes.length;
        pending = pending.subarray(bytes.length);
      }
    },
    text() {
      // Fewer bytes than a head, and no frame open: the whole of a short plain stream.
      const all = Buffer.concat(frameBytesLeft === 0 ? [...kept, pending] : kept);
      return printable(all.subarray(-maxBytes).toString());
    },
  };
}

const headBytes = 8;

function isFrameHead(bytes: Buffer): boolean {
  return bytes[0]! <= 2 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0;
}

/** Control, format and unassigned characters could deceive whoever reads the text, or the terminal that shows it. */
function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(/(?![\n\t])\p{C}/gu, '\uFFFD');
}

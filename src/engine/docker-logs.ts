import { StringDecoder } from 'node:string_decoder';

/** The most that is kept of a container's output, in bytes as they were written. */
export const maxLogBytes = 64 * 1024;

/** Reads the engine's stream of a container's output, and keeps the last `maxBytes`. */
export function createLogReader(maxBytes = maxLogBytes): { push(chunk: Buffer): void; text(): string } {
  let kept: Buffer[] = [];
  let keptBytes = 0;
  const frames = createFrameReader((_stream, bytes) => {
    kept.push(bytes);
    keptBytes += bytes.length;
    if (keptBytes <= 2 * maxBytes) return;
    kept = [Buffer.concat(kept).subarray(-maxBytes)];
    keptBytes = maxBytes;
  });

  return {
    push: frames.push,
    text() {
      const all = Buffer.concat([...kept, frames.rest()]);
      return printable(all.subarray(-maxBytes).toString());
    },
  };
}

/** Reads the same stream, and gives its text as it comes. */
export function createLogDecoder(): { push(chunk: Buffer): string; rest(): string } {
  // A character of either stream may be cut in two, with a piece of the other one between.
  const streams = new Map<number, { readonly decoder: StringDecoder; held: string }>();
  let text = '';
  const frames = createFrameReader((stream, bytes) => {
    const state = streams.get(stream) ?? { decoder: new StringDecoder('utf8'), held: '' };
    streams.set(stream, state);
    const decoded = state.held + state.decoder.write(bytes);
    // Its line feed may come with the next piece.
    state.held = decoded.endsWith('\r') ? '\r' : '';
    text += printable(state.held === '' ? decoded : decoded.slice(0, -1));
  });
  const taken = () => {
    const all = text;
    text = '';
    return all;
  };

  return {
    push(chunk) {
      frames.push(chunk);
      return taken();
    },
    rest() {
      text += printable(frames.rest().toString());
      for (const { decoder, held } of streams.values()) text += printable(held + decoder.end());
      return taken();
    },
  };
}

/**
 * Splits the stream into frames with a head of eight bytes (1: which stream, 3: zero, 4: length); of a container
 * with a terminal it is plain bytes, of stream 0.
 */
function createFrameReader(onBytes: (stream: number, bytes: Buffer) => void) {
  let pending: Buffer = Buffer.alloc(0);
  let stream = 0;
  let frameBytesLeft = 0;
  let isPlain = false;

  return {
    push(chunk: Buffer): void {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      while (pending.length > 0) {
        if (frameBytesLeft === 0 && !isPlain) {
          if (pending.length < headBytes) break;
          isPlain = !isFrameHead(pending);
          if (isPlain) continue;
          stream = pending[0]!;
          frameBytesLeft = pending.readUInt32BE(4);
          pending = pending.subarray(headBytes);
          continue;
        }
        const bytes = isPlain ? pending : pending.subarray(0, frameBytesLeft);
        onBytes(stream, bytes);
        frameBytesLeft -= isPlain ? 0 : bytes.length;
        pending = pending.subarray(bytes.length);
      }
    },
    /** Fewer bytes than a head, and no frame open: the whole of a short plain stream. */
    rest: (): Buffer => (frameBytesLeft === 0 ? pending : Buffer.alloc(0)),
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

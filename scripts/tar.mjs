// A writer of tar archives (POSIX ustar), enough for the few files of an image.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

const blockBytes = 512;

/**
 * Yields a tar archive as Buffers. An entry is {path, mode?, directory?: true} with either `content` (text or
 * Buffer) or `source` (a file's path). Times and owners are fixed, so equal entries give equal archives.
 */
export async function* tar(entries) {
  for (const entry of entries) {
    if (entry.directory) {
      yield header({ ...entry, type: '5', sizeBytes: 0, mode: entry.mode ?? 0o755 });
      continue;
    }
    const content = entry.content === undefined ? null : Buffer.from(entry.content);
    const sizeBytes = content ? content.length : (await stat(entry.source)).size;
    yield header({ ...entry, type: '0', sizeBytes, mode: entry.mode ?? 0o644 });
    if (content) yield content;
    else yield* exactly(entry.source, sizeBytes);
    const rest = sizeBytes % blockBytes;
    if (rest > 0) yield Buffer.alloc(blockBytes - rest);
  }
  yield Buffer.alloc(2 * blockBytes);
}

function header({ path, mode, type, sizeBytes }) {
  const block = Buffer.alloc(blockBytes);
  const { name, prefix } = splitName(type === '5' ? `${path}/` : path);
  const octal = (value, at, length) => block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  block.write(name, 0, 'utf8');
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(0, 136, 12);
  block.write(type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(prefix, 345, 'utf8');
  // The checksum counts its own field as spaces.
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\x00 `, 148, 'latin1');
  return block;
}

/** ustar has 100 bytes for the name and 155 for the folders before it, split at a slash. */
function splitName(path) {
  const full = path.replace(/^\/+/, '');
  if (Buffer.byteLength(full) <= 100) return { name: full, prefix: '' };
  for (let at = full.indexOf('/'); at > 0; at = full.indexOf('/', at + 1)) {
    const [prefix, name] = [full.slice(0, at), full.slice(at + 1)];
    if (name && Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { name, prefix };
  }
  throw new Error(`the path is too long for a tar archive: ${path}`);
}

/** A file that changes its size while it is read would shift everything after it. */
async function* exactly(source, sizeBytes) {
  let read = 0;
  for await (const chunk of createReadStream(source, { highWaterMark: 1 << 20 })) {
    read += chunk.length;
    yield chunk;
  }
  if (read !== sizeBytes) throw new Error(`${source} changed while it was packed`);
}

import type { Socket } from 'node:net';
import type { Slices } from './body-reader.ts';

/** Up to here, copying head and data into one write costs less than a second write. */
const copyBytes = 16 * 1024;

/** Whether a piece belongs to whoever writes it, or must be copied since its buffer is read into again. */
export type Ownership = 'owned' | 'shared';

/**
 * Writes a head that waits ('' for none) and the slices of `bytes`, in as few writes as it goes; with `chunked`
 * the slices as one chunk, and with `last` what ends the body. Returns false when the socket wants a pause.
 */
export function writeBody(
  socket: Socket,
  head: string,
  chunked: boolean,
  bytes: Buffer,
  slices: Slices,
  last: boolean,
  ownership: Ownership,
): boolean {
  let before = head;
  let after = '';
  if (chunked) {
    if (slices.bytes > 0) {
      before += `${slices.bytes.toString(16)}\r\n`;
      after = last ? '\r\n0\r\n\r\n' : '\r\n';
    } else if (last) {
      before += '0\r\n\r\n';
    }
  }
  if (slices.count === 0) return before === '' || socket.write(before, 'latin1');
  if (slices.count === 1) {
    const start = slices.start(0);
    const end = slices.end(0);
    if (before === '' && ownership === 'owned') return socket.write(bytes.subarray(start, end));
    if (slices.bytes <= copyBytes)
      return socket.write(before + bytes.toString('latin1', start, end) + after, 'latin1');
    const piece = bytes.subarray(start, end);
    socket.cork();
    if (before !== '') socket.write(before, 'latin1');
    let more = socket.write(ownership === 'owned' ? piece : Buffer.from(piece));
    if (after !== '') more = socket.write(after, 'latin1');
    socket.uncork();
    return more;
  }
  // Many small pieces (a peer that sends tiny chunks): gathered, so that the other side gets one.
  const gathered = Buffer.allocUnsafe(before.length + slices.bytes + after.length);
  let at = gathered.write(before, 0, 'latin1');
  for (let slice = 0; slice < slices.count; slice++) {
    at += bytes.copy(gathered, at, slices.start(slice), slices.end(slice));
  }
  gathered.write(after, at, 'latin1');
  return socket.write(gathered);
}

import type { Socket } from 'node:net';

/** What became of a text: the stream has to write it, the system has all of it, or has the rest soon. */
export const notTaken = 0;
export const sent = 1;
export const waits = 2;

/** Node tries to send a text at once, and without a request of its own, up to this size. */
const maxCharacters = 16 * 1024;

/**
 * Hands a latin1 text to the socket's handle, past the stream, where nothing waits in the stream. A stream's
 * write makes a request object and a tick of its own for each piece; without them a small proxied request
 * costs about 4 % less CPU in all, 6 % outside the kernel (bench/PROXY-CPU.md). `onSent` is called for a text that waits, with 0 or the
 * system's negative error number; until then, what follows belongs to the stream, which keeps the order.
 * Not for TLS, whose handle is another. Where Node is not of the version whose inside is known, all is left to
 * the stream.
 */
export function writeDirectly(socket: Socket, text: string, onSent: (status: number) => void): number {
  if (internals === null || text.length > maxCharacters || text.length === 0) return notTaken;
  if (socket.connecting || socket.writableLength > 0 || !socket.writable) return notTaken;
  const handle = (socket as unknown as { readonly _handle: Handle | null })._handle;
  if (handle === null) return notTaken;
  const request = spare;
  const error = handle.writeLatin1String(request!, text);
  // Sent at once, the request object was not touched and serves the next text.
  if (error === 0 && internals.streamBaseState[internals.kLastWriteWasAsync] === 0) return sent;
  spare = new internals.WriteWrap();
  // The stream meets the error again, and reports it in its way.
  if (error !== 0) return notTaken;
  request!.oncomplete = onSent;
  return waits;
}

interface Handle {
  writeLatin1String(request: Request, text: string): number;
}

interface Request {
  oncomplete?: (status: number) => void;
}

interface Internals {
  readonly WriteWrap: new () => Request;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

/** Null where they are not as we know them; a wrong guess would end the process. */
const internals = findInternals();
let spare: Request | null = internals === null ? null : new internals.WriteWrap();

function findInternals(): Internals | null {
  if (!process.versions.node.startsWith('24.')) return null;
  try {
    const { binding } = process as unknown as { binding(name: string): Partial<Internals> };
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding.call(process, 'stream_wrap');
    const known =
      typeof WriteWrap === 'function' &&
      streamBaseState instanceof Int32Array &&
      typeof kLastWriteWasAsync === 'number';
    return known ? { WriteWrap, streamBaseState, kLastWriteWasAsync } : null;
  } catch {
    return null;
  }
}

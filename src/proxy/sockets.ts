import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * Ends a connection so that the peer cannot take what it got for the whole: a reset, or for TLS an end without
 * close_notify.
 */
export function abort(socket: Socket): void {
  if (socket.destroyed) return;
  // Before it is connected there is nobody to reset, and a TLS socket has no handle of its own to reset. While an
  // end is under way Node fails a reset with EINVAL, and the socket never says that it is closed.
  const ending = socket.writableEnded && !socket.writableFinished;
  if (socket instanceof TLSSocket || socket.connecting || ending) socket.destroy();
  else socket.resetAndDestroy();
}

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Answers bytes that are no request, and requests that did not arrive in time, then closes the connection. Two
 * listeners for one server. Where an earlier request of the connection is still being answered, or this one's
 * answer has begun, the connection is closed without a word: a text would be taken for that answer.
 */
export function answerBrokenRequests() {
  const unanswered = new WeakMap<Socket, Set<ServerResponse>>();
  return {
    onRequest(request: IncomingMessage, response: ServerResponse): void {
      const responses = unanswered.get(request.socket) ?? new Set();
      unanswered.set(request.socket, responses.add(response));
      response.once('close', () => responses.delete(response));
    },

    onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
      const responses = [...(unanswered.get(socket) ?? [])];
      const isSpeaking = responses.some((response) => response.req.complete || response.headersSent);
      if (!socket.writable || error.code === 'ECONNRESET' || isSpeaking) {
        socket.destroy();
        return;
      }
      const [status, text] = answers.get(error.code ?? '') ?? [400, 'This is not an HTTP/1.1 request'];
      const head = [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        'Content-Type: text/plain; charset=utf-8',
        `Content-Length: ${text.length}`,
        'Connection: close',
      ];
      socket.end(`${head.join('\r\n')}\r\n\r\n${text}`, () => socket.destroy());
    },
  };
}

const answers: ReadonlyMap<string, readonly [status: number, text: string]> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', [408, 'The request did not arrive in time']],
  ['HPE_INVALID_URL', [400, 'The address has characters that must be percent-encoded']],
  ['HPE_HEADER_OVERFLOW', [431, 'The request head is too large']],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'The chunk extensions are too large']],
]);

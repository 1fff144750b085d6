import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** How a request to a receiver went. */
export type Outcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** In words for the operator, without the address and without anything that the receiver wrote. */
      readonly error: string;
      /** What the receiver asked for; null where it asked for nothing. */
      readonly retryAfterMs: number | null;
    };

/** How much of an answer's body is read, so that a receiver can end it in peace. Nothing is made of it. */
const readBytes = 64 * 1024;

/**
 * Posts a body once, on a connection of its own: none that the receiver may just have closed. A status from 200
 * to 299 is a success, everything else a failure, redirects included, which are never followed. `signal` ends the
 * attempt; where its reason is a TimeoutError, the receiver was too slow. Never rejects.
 */
export function post(
  url: string,
  message: { readonly body: string; readonly fields: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const fail = (error: string, retryAfterMs: number | null = null) =>
      resolve({ ok: false, error, retryAfterMs });
    const request = url.startsWith('https:') ? requestHttps : requestHttp;
    const body = Buffer.from(message.body);
    const outgoing = request(
      url,
      {
        method: 'POST',
        agent: false,
        signal,
        headers: {
          ...message.fields,
          'Content-Type': 'application/json',
          'Content-Length': body.length,
          Connection: 'close',
        },
      },
      (response) => {
        const status = response.statusCode!;
        if (status >= 200 && status < 300) resolve({ ok: true });
        else if (status >= 300 && status < 400) fail(`it answered ${status}, and redirects are not followed`);
        else fail(`it answered ${status}`, retryAfterMsOf(response.headers['retry-after']));
        let leftBytes = readBytes;
        response.on('data', (chunk: Buffer) => {
          leftBytes -= chunk.length;
          if (leftBytes < 0) response.destroy();
        });
        response.on('error', () => {});
      },
    );
    outgoing.on('error', (error) => fail(signal.aborted ? reasonOf(signal) : explain(error)));
    // Node ends a 101 in its own way, without an error.
    outgoing.on('upgrade', (_response, socket) => {
      socket.destroy();
      fail('it answered 101');
    });
    // Whatever comes: the place of this attempt is free again.
    outgoing.on('close', () => fail('it closed the connection without an answer'));
    outgoing.end(body);
  });
}

/** Only the form in seconds: a date depends on a clock that is not ours. */
function retryAfterMsOf(field: string | undefined): number | null {
  return field !== undefined && /^\d{1,9}$/.test(field) ? Number(field) * 1000 : null;
}

function reasonOf(signal: AbortSignal): string {
  const timedOut = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  return timedOut ? 'it did not answer in time' : 'the service was stopped before it answered';
}

function explain(error: NodeJS.ErrnoException): string {
  const known = new Map([
    ['ECONNREFUSED', 'nothing listens there'],
    ['ECONNRESET', 'it closed the connection without an answer'],
    ['ENOTFOUND', 'its host name is not known'],
    ['EAI_AGAIN', 'its host name could not be looked up'],
    ['EHOSTUNREACH', 'there is no way to its host'],
    ['ENETUNREACH', 'there is no way to its network'],
    ['CERT_HAS_EXPIRED', 'its certificate has expired'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is signed by itself'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for another host name'],
  ]);
  const code = error.code ?? '';
  if (code.startsWith('HPE_')) return `its answer is not valid HTTP (${code})`;
  const text = known.get(code) ?? 'it could not be reached';
  return code === '' ? text : `${text} (${code})`;
}

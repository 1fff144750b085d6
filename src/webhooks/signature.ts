import { createHmac } from 'node:crypto';

/** The header field that carries the signature. */
export const signatureField = 'Docker-Spawner-Signature';

/**
 * `t=SECONDS,v1=HEX`: the HMAC-SHA256, with the target's secret, of the time, a full stop and the body. The time
 * is part of what is signed, so that a recorded request cannot be sent again later. docs/webhooks.md shows how
 * it is verified.
 */
export function signatureOf(secret: string, body: string, atMs: number): string {
  const seconds = Math.floor(atMs / 1000);
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}

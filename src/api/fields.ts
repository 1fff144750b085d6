import { SpawnerError } from '../core/errors.ts';

const maxImageKeyLength = 128;
const maxUserBytes = 256;

/** C0, DEL and C1: they have no place in a name, and would forge lines in logs and terminals. */
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;

/** The key of an image entry, from the field `name`. Throws SpawnerError `field_invalid`. */
export function checkImageKey(name: string, text: string): string {
  if ([...text].length > maxImageKeyLength) {
    throw new SpawnerError('field_invalid', `${name} is longer than ${maxImageKeyLength} characters`);
  }
  return withoutControls(name, text);
}

/**
 * A user, from the field `name`. No normalising and no folding of case: ids that differ in a byte are different
 * users. Throws SpawnerError `field_invalid`.
 */
export function checkUser(name: string, text: string): string {
  if (Buffer.byteLength(text) > maxUserBytes) {
    throw new SpawnerError('field_invalid', `${name} is longer than ${maxUserBytes} bytes`);
  }
  return withoutControls(name, text);
}

/** The same key gives the same container, for a day. null: there is none. Throws SpawnerError `field_invalid`. */
export function checkIdempotencyKey(key: string | string[] | undefined): string | null {
  if (key === undefined) return null;
  // Node joins repeated fields of this name with a comma; a key has none, so that one is not taken for two.
  if (typeof key !== 'string' || !/^[!-+\--~]{1,255}$/.test(key)) {
    throw new SpawnerError(
      'field_invalid',
      'Idempotency-Key must be 1 to 255 printable ASCII characters, no comma or space',
    );
  }
  return key;
}

function withoutControls(name: string, text: string): string {
  if (controlCharacter.test(text)) {
    throw new SpawnerError('field_invalid', `${name} holds a control character`);
  }
  return text;
}

/** Character classes of RFC 9110 and 9112 as lookup tables: 1 where the byte belongs to the class. */

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;

/** `tchar` (RFC 9110, 5.6.2). */
export const isTokenByte = table(
  "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
);

/** What may stand nowhere in a head, CR and LF included: control bytes but HTAB. Obs-text (128 to 255) may. */
export const isControlByte = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  if ((byte < 32 && byte !== HTAB) || byte === 127) isControlByte[byte] = 1;
}

/** Value of a hexadecimal digit, or 255. */
export const hexValue = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  const char = digit.toString(16);
  hexValue[char.charCodeAt(0)] = digit;
  hexValue[char.toUpperCase().charCodeAt(0)] = digit;
}

/** Whether a text is one token. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (isTokenByte[text.charCodeAt(i)] !== 1) return false;
  }
  return text.length > 0;
}

function table(characters: string): Uint8Array {
  const bytes = new Uint8Array(256);
  for (const char of characters) bytes[char.charCodeAt(0)] = 1;
  return bytes;
}

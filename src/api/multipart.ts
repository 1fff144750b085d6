import { SpawnerError } from '../core/errors.ts';

/** One part of a multipart/form-data body; texts are byte by byte (latin1). */
export interface Part {
  readonly name: string;
  /** A part with a file name is a file, as in the original. */
  readonly isFile: boolean;
  readonly contentType: string | null;
  readonly transferEncoding: string | null;
  readonly bytes: Buffer;
}

/**
 * Splits a whole multipart/form-data body (RFC 7578, on the syntax of RFC 2046, section 5.1.1) into its parts.
 * A body is at most 64 KiB and in memory, so this is a plain function: it cannot hang, emit an error to
 * nobody, or lose a part, as the parsers for streamed uploads can. Throws body_invalid for whatever is not to
 * the letter: bare line feeds, a missing end, a part without a name.
 */
export function parseMultipart(boundary: string, body: Buffer): Part[] {
  if (boundary === '' || boundary.length > maxBoundaryLength) {
    throw broken(`the Content-Type needs a boundary of 1 to ${maxBoundaryLength} characters`);
  }
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  const parts: Part[] = [];
  let position = afterFirstDelimiter(body, delimiter);
  while (!startsWith(body, position, '--')) {
    // RFC 2046 lets blanks stand between the boundary and the end of its line.
    while (body[position] === 0x20 || body[position] === 0x09) position++;
    if (!startsWith(body, position, '\r\n')) throw broken('a line begins with the boundary but goes on');
    // From the line break on, so that a part without any header is seen as one.
    const headEnd = body.indexOf('\r\n\r\n', position, 'latin1');
    const contentStart = headEnd + 4;
    const contentEnd = headEnd === -1 ? -1 : body.indexOf(delimiter, contentStart);
    if (contentEnd === -1) throw broken('it ends before the closing boundary');
    const head = body.toString('latin1', Math.min(position + 2, headEnd), headEnd);
    parts.push({ ...parseHead(head), bytes: body.subarray(contentStart, contentEnd) });
    position = contentEnd + delimiter.length;
  }
  return parts;
}

const maxBoundaryLength = 70;

/** The delimiter at the very start has no line break before it; otherwise what precedes it is a preamble. */
function afterFirstDelimiter(body: Buffer, delimiter: Buffer): number {
  const bare = delimiter.subarray(2);
  if (body.subarray(0, bare.length).equals(bare)) return bare.length;
  const start = body.indexOf(delimiter);
  if (start === -1) throw broken('the boundary does not occur in it');
  return start + delimiter.length;
}

function startsWith(body: Buffer, position: number, text: string): boolean {
  return body.toString('latin1', position, position + text.length) === text;
}

function parseHead(head: string): Omit<Part, 'bytes'> {
  const fields = new Map<string, string>();
  for (const line of head.split('\r\n')) {
    // No blanks of its own after the colon: they could be matched in two ways, and take the square of the time.
    const match = /^([!#$%&'*+.^_`|~0-9a-z-]+):([^\r\n\0]*)$/i.exec(line);
    if (!match) throw broken('a part has a header line that cannot be read');
    const name = match[1]!.toLowerCase();
    if (fields.has(name)) throw broken(`a part has two ${name} headers`);
    fields.set(name, match[2]!.trim());
  }
  const parameters = parseDisposition(fields.get('content-disposition') ?? '');
  const name = parameters?.get('name');
  if (parameters === null || name === undefined) {
    throw broken('a part has no Content-Disposition header like: form-data; name="FIELD"');
  }
  return {
    name,
    isFile: parameters.has('filename') || parameters.has('filename*'),
    contentType: fields.get('content-type') ?? null,
    transferEncoding: fields.get('content-transfer-encoding') ?? null,
  };
}

/** The parameters of a `form-data` disposition; null where it is none, or a parameter is repeated or broken. */
function parseDisposition(text: string): Map<string, string> | null {
  const type = /^form-data[ \t]*(?=;|$)/i.exec(text);
  if (!type) return null;
  const parameters = new Map<string, string>();
  const parameter = /;[ \t]*([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))[ \t]*/giy;
  let end = type[0].length;
  while (end < text.length && !/^;[ \t]*$/.test(text.slice(end))) {
    parameter.lastIndex = end;
    const match = parameter.exec(text);
    const name = match?.[1]?.toLowerCase();
    if (!match || name === undefined || parameters.has(name)) return null;
    parameters.set(name, match[3] ?? match[2]!.replace(/\\(.)/g, '$1'));
    end = parameter.lastIndex;
  }
  return parameters;
}

function broken(why: string): SpawnerError {
  return new SpawnerError('body_invalid', `The multipart body cannot be read: ${why}`);
}

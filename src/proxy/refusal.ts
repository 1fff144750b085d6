/** A message that is not passed on: the status that a client gets for it, and one sentence that says why. */
export class Refusal {
  readonly status: number;
  readonly detail: string;

  constructor(status: number, detail: string) {
    this.status = status;
    this.detail = detail;
  }
}

export const refusals = {
  control: new Refusal(400, 'The head contains a control character, or a line that does not end with CR LF.'),
  emptyLines: new Refusal(400, 'There are too many empty lines before the request line.'),
  headTooLarge: new Refusal(431, 'The header fields are too large.'),
  tooManyFields: new Refusal(431, 'There are too many header fields.'),
  targetTooLong: new Refusal(414, 'The address is too long.'),
  fieldSyntax: new Refusal(400, 'A header field is not of the form "name: value".'),
  requestLine: new Refusal(400, 'The request line is not of the form "METHOD target HTTP/1.1".'),
  version: new Refusal(400, 'Only HTTP/1.1 and HTTP/1.0 are understood here.'),
  target: new Refusal(400, 'The request target is not valid.'),
  method: new Refusal(405, 'This method is not served here.'),
  hostMissing: new Refusal(400, 'The Host field is missing.'),
  hostRepeated: new Refusal(400, 'There is more than one Host field.'),
  hostInvalid: new Refusal(400, 'The Host field is not a valid host name.'),
  hostDiffers: new Refusal(400, 'The host in the request target is not the one in the Host field.'),
  lengthInvalid: new Refusal(400, 'The Content-Length field is not one plain number.'),
  transferEncoding: new Refusal(400, 'The only Transfer-Encoding understood here is a single "chunked".'),
  bothFramings: new Refusal(400, 'Content-Length and Transfer-Encoding exclude each other.'),
  connectionField: new Refusal(400, 'The Connection field is not valid.'),
  expectation: new Refusal(417, 'The only expectation understood here is "100-continue".'),
  webSocket: new Refusal(400, 'The WebSocket handshake is not valid.'),
  bodyTooLarge: new Refusal(413, 'The request body is too large.'),
  bodyTimeout: new Refusal(408, 'The request body did not arrive in time.'),
  chunk: new Refusal(400, 'The chunked body is not valid.'),
  statusLine: new Refusal(502, 'The status line is not valid.'),
  statusRange: new Refusal(502, 'The status is outside 100 to 599.'),
} as const;

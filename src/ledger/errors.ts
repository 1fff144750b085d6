/** A ledger that cannot be used; the message names the file and tells the operator what to do. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
}

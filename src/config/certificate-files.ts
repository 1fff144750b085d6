import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { childKey } from './source.ts';
import { refuse, type Type, text } from './types.ts';

/** PEM files of a certificate (with its chain) and its key; absolute paths. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/**
 * `{certificate: FILE, key: FILE}`. The files are looked at, so that a wrong one stops the start and not the
 * first visitor.
 */
export const certificateFiles: Type<CertificateFiles> = {
  expected: 'a map {certificate: FILE, key: FILE} of two PEM files',
  read(node, key, reading) {
    if (node.kind !== 'map') return refuse(node, key, this.expected, reading);
    const [certNode, keyNode] = [node.entries.get('certificate')?.value, node.entries.get('key')?.value];
    if (!certNode || !keyNode || node.entries.size !== 2) {
      reading.report(
        node.at,
        key,
        'expected both of `certificate` and `key`, and nothing else',
        this.expected,
      );
      return undefined;
    }
    const file = text('a file in PEM form', /./);
    const [certName, keyName] = [
      file.read(certNode, childKey(key, 'certificate'), reading),
      file.read(keyNode, childKey(key, 'key'), reading),
    ];
    if (certName === undefined || keyName === undefined) return undefined;
    const files = { certFile: resolve(reading.cwd, certName), keyFile: resolve(reading.cwd, keyName) };
    const problem = problemWith(files);
    if (problem === null) return files;
    reading.report(node.at, key, problem, this.expected);
    return undefined;
  },
};

function problemWith({ certFile, keyFile }: CertificateFiles): string | null {
  const [cert, key] = [readOrProblem(certFile), readOrProblem(keyFile)];
  if (typeof cert === 'string') return cert;
  if (typeof key === 'string') return key;
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch {
    return `${certFile} is no certificate in PEM form`;
  }
  // PKCS #8, and the older form of OpenSSL.
  if (/^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(key.toString('latin1'))) {
    return `${keyFile} is locked with a passphrase; give a key without one`;
  }
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    return `${keyFile} is no key in PEM form`;
  }
  if (!certificate.checkPrivateKey(privateKey)) return `${keyFile} is not the key of ${certFile}`;
  try {
    // It also looks at the chain, and finds keys that are too short.
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    return `${certFile} cannot be used for https (${codeOf(error)}); have it made anew`;
  }
}

function readOrProblem(path: string): Buffer | string {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = codeOf(error);
    const reasons = new Map([
      ['ENOENT', `there is no file ${path}`],
      ['EACCES', `this user may not read ${path}`],
      ['EISDIR', `${path} is a directory; name a file`],
    ]);
    return reasons.get(code) ?? `${path} cannot be read (${code})`;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'no reason given';
}

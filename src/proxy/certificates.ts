import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { ProxyLog } from './waist.ts';

/** PEM files of one certificate (with its chain) and its key. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

interface Loaded {
  readonly names: readonly string[];
  readonly pem: Pem;
  readonly context: SecureContext;
}

/** A certificate and its key as their files hold them. */
export interface Pem {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** How often the files are looked at. Watching would miss the renamed links that renewal tools leave. */
const pollMs = 10_000;

/** The certificates of a proxy, by name, read again when their files change. */
export class Certificates {
  readonly #files: readonly CertificateFiles[];
  readonly #log: ProxyLog;
  readonly #pollMs: number;
  readonly #listeners: ((first: Pem) => void)[] = [];
  #loaded: readonly Loaded[] = [];
  #stamps = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(files: readonly CertificateFiles[], log: ProxyLog, everyMs = pollMs) {
    this.#files = files;
    this.#log = log;
    this.#pollMs = everyMs;
  }

  /** Reads all files and begins to look for changes. Rejects, naming the file, where one is not usable. */
  async open(): Promise<void> {
    if (this.#timer !== null) return;
    this.#stamps = await this.#readStamps();
    this.#loaded = await this.#load();
    this.#timer = setInterval(() => void this.#poll(), this.#pollMs).unref();
  }

  /** Calls back with the first certificate, for clients that name no server; now and after each change. */
  onFirst(listener: (first: Pem) => void): void {
    this.#listeners.push(listener);
    listener(this.#loaded[0]!.pem);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** The certificate for a name: an exact one, else a wildcard, else the first of all. */
  contextFor(serverName: string): SecureContext {
    const name = serverName.toLowerCase().replace(/\.$/, '');
    const wildcard = name.replace(/^[^.]+/, '*');
    const found =
      this.#loaded.find((loaded) => loaded.names.includes(name)) ??
      this.#loaded.find((loaded) => loaded.names.includes(wildcard)) ??
      this.#loaded[0];
    if (found === undefined) throw new Error('there is no certificate');
    return found.context;
  }

  /** Reads the files again if they have changed; what is not usable changes nothing. */
  async #poll(): Promise<void> {
    try {
      const stamps = await this.#readStamps();
      if (stamps === this.#stamps) return;
      this.#loaded = await this.#load();
      this.#stamps = stamps;
      for (const listener of this.#listeners) listener(this.#loaded[0]!.pem);
    } catch (error) {
      this.#log.warn(
        { err: error },
        'the changed certificate files are not usable; the old ones stay in use',
      );
    }
  }

  #load(): Promise<Loaded[]> {
    return Promise.all(this.#files.map(loadCertificate));
  }

  async #readStamps(): Promise<string> {
    const paths = this.#files.flatMap(({ certFile, keyFile }) => [certFile, keyFile]);
    const stats = await Promise.all(paths.map((path) => stat(path)));
    return stats.map((file) => `${file.ino}:${file.size}:${file.mtimeMs}`).join();
  }
}

async function loadCertificate({ certFile, keyFile }: CertificateFiles): Promise<Loaded> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  try {
    return {
      names: namesOf(new X509Certificate(cert)),
      pem: { cert, key },
      context: createSecureContext({ cert, key }),
    };
  } catch (error) {
    throw new Error(`${certFile} and ${keyFile} are not a certificate and its key in PEM form`, {
      cause: error,
    });
  }
}

/** The DNS names in lower case; of an old certificate without any, its common name. */
function namesOf(certificate: X509Certificate): string[] {
  const alternative = [...(certificate.subjectAltName ?? '').matchAll(/DNS:([^,"\s]+)/g)].map(
    (match) => match[1]!,
  );
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return (alternative.length > 0 ? alternative : common === undefined ? [] : [common]).map((name) =>
    name.toLowerCase(),
  );
}

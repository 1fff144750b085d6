import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { DockerOptions } from 'dockerode';

/** How to reach the engine, and how to call that place in a message. */
export interface DockerConnection {
  readonly options: DockerOptions;
  readonly place: string;
}

/**
 * Reads DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH. Throws an Error with a sentence for the person who
 * set them where they cannot be used; an engine on another machine is such a case, since containers are
 * published on the engine's own loopback address.
 */
export function dockerConnection(env: Readonly<Record<string, string | undefined>>): DockerConnection {
  const given = env.DOCKER_HOST?.trim() || `unix://${defaultSocket()}`;
  const scheme = /^([a-z]+):\/\//i.exec(given)?.[1]?.toLowerCase() ?? 'tcp';
  if (scheme === 'unix') {
    const socketPath = given.slice('unix://'.length) || defaultSocket();
    // `host` is named since dockerode would take it from the process's own DOCKER_HOST otherwise.
    return { options: { ...noHost, socketPath }, place: `unix://${socketPath}` };
  }
  if (scheme === 'ssh') throw new Error(elsewhere(given));
  if (scheme !== 'tcp' && scheme !== 'http' && scheme !== 'https') {
    throw new Error(`DOCKER_HOST is ${given}: only unix:// and tcp:// addresses are supported`);
  }
  return tcpConnection(given, scheme, env);
}

function tcpConnection(
  given: string,
  scheme: string,
  env: Readonly<Record<string, string | undefined>>,
): DockerConnection {
  const address = given.replace(/^[a-z]+:\/\//i, '');
  if (!URL.canParse(`tcp://${address}`)) {
    throw new Error(`DOCKER_HOST is ${given}: expected something like tcp://127.0.0.1:2375`);
  }
  const { hostname, port, pathname } = new URL(`tcp://${address}`);
  if (!isLoopback(hostname)) throw new Error(elsewhere(given));
  const tls = scheme === 'https' || Boolean(env.DOCKER_TLS_VERIFY || env.DOCKER_CERT_PATH) || port === '2376';
  const options: DockerOptions & { pathPrefix: string } = {
    ...noHost,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port || (tls ? '2376' : '2375'),
    protocol: tls ? 'https' : 'http',
    pathPrefix: pathname || '/',
    ...(tls ? certificates(env.DOCKER_CERT_PATH || join(homedir(), '.docker')) : {}),
  };
  return { options, place: `tcp://${hostname}:${options.port}` };
}

/** Named, so that nothing of them is taken from the process's environment behind our back. */
const noHost = { host: undefined, port: undefined, ca: undefined, cert: undefined, key: undefined };

/** Docker's own, else the one of a Docker Desktop or a rootless engine of this user. */
function defaultSocket(): string {
  const usual = '/var/run/docker.sock';
  const ofUser = [
    join(homedir(), '.docker', 'run', 'docker.sock'),
    `/run/user/${process.getuid?.() ?? 0}/docker.sock`,
  ];
  return existsSync(usual) ? usual : (ofUser.find((path) => existsSync(path)) ?? usual);
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function elsewhere(given: string): string {
  return (
    `DOCKER_HOST is ${given}: an engine on another machine cannot be used, since containers are published on ` +
    "that machine's loopback address only. Run the service on the machine where the engine runs"
  );
}

function certificates(directory: string): { ca: Buffer; cert: Buffer; key: Buffer } {
  const read = (name: string) => {
    try {
      return readFileSync(join(directory, name));
    } catch (cause) {
      throw new Error(
        `Docker is to be reached with TLS, but ${join(directory, name)} cannot be read: ` +
          'set DOCKER_CERT_PATH to the directory with ca.pem, cert.pem and key.pem',
        { cause },
      );
    }
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

// The little of the Engine API that setting up needs, over Node's own HTTP client: these scripts run before
// any package is installed, and without the docker command.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

export const defaultDockerHost = 'unix:///var/run/docker.sock';

/** The engine that Docker's tools would talk to. */
export function dockerHost() {
  return process.env.DOCKER_HOST || defaultDockerHost;
}

/** Why the engine could not be asked: `absent`, `denied` (no right to its socket), `silent`, or `unsupported`. */
export class NoEngine extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Resolves when the engine at `host` answers; rejects with NoEngine. */
export async function ping(host = dockerHost(), timeoutMs = 5000) {
  const answer = await engineRequest({ path: '/_ping', host, timeoutMs });
  if (answer.status !== 200)
    throw new NoEngine('silent', `${host} answers, but with status ${answer.status}`);
}

/**
 * One call to the Engine API. `body` is a Buffer or an (async) iterable of Buffers.
 * Resolves with {status, text}; rejects with NoEngine where there is no answer.
 */
export function engineRequest({
  method = 'GET',
  path,
  host = dockerHost(),
  headers = {},
  body,
  timeoutMs = 300_000,
}) {
  const { options, secure } = requestOptions(host);
  return new Promise((resolve, reject) => {
    const fail = (error) => reject(noEngineFrom(error, host));
    const request = (secure ? https : http).request({ ...options, method, path, headers, agent: false });
    request.setTimeout(timeoutMs, () =>
      request.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })),
    );
    request.on('error', fail);
    request.on('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', fail);
      response.on('end', () =>
        resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    send(request, body).catch((error) => request.destroy(error));
  });
}

function requestOptions(host) {
  const url = URL.canParse(host) ? new URL(host) : null;
  const tls = Boolean(process.env.DOCKER_TLS_VERIFY) || url?.protocol === 'https:';
  if (url?.protocol === 'unix:') return { options: { socketPath: url.pathname }, secure: false };
  if (url && ['tcp:', 'http:', 'https:'].includes(url.protocol)) {
    const address = { host: url.hostname, port: url.port || (tls ? 2376 : 2375) };
    return { options: tls ? { ...address, ...clientCertificate() } : address, secure: tls };
  }
  throw new NoEngine(
    'unsupported',
    `DOCKER_HOST=${host} is not understood here: unix:///PATH or tcp://HOST:PORT is`,
  );
}

function clientCertificate() {
  const directory = process.env.DOCKER_CERT_PATH;
  if (!directory) return {};
  const read = (name) => readFileSync(path.join(directory, name));
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

async function send(request, body) {
  if (body && !Buffer.isBuffer(body)) {
    for await (const chunk of body) {
      if (request.destroyed) return;
      if (!request.write(chunk)) await drained(request);
    }
    request.end();
  } else {
    request.end(body);
  }
}

function drained(request) {
  return new Promise((resolve) => {
    const done = () => {
      request.off('drain', done);
      request.off('close', done);
      resolve();
    };
    request.on('drain', done);
    request.on('close', done);
  });
}

function noEngineFrom(error, host) {
  if (error instanceof NoEngine) return error;
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new NoEngine('denied', `no right to use the engine at ${host}`);
  }
  if (error.code === 'ETIMEDOUT')
    return new NoEngine('silent', `the engine at ${host} does not answer in time`);
  if (['ENOENT', 'ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENOTSOCK'].includes(error.code)) {
    return new NoEngine('absent', `no engine answers at ${host}`);
  }
  return new NoEngine('silent', `the engine at ${host} broke off: ${error.message}`);
}

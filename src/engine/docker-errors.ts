import { EngineError } from '../core/engine.ts';

/** From a response of the engine that is no success. `doing` completes "Docker could not ...". */
export function fromResponse(doing: string, status: number, message: string): EngineError {
  const text = `Docker could not ${doing}: ${message || `HTTP status ${status}`}`;
  if (portTaken.test(message)) {
    const hostPort = hostPortOf(message);
    return new EngineError('port_taken', text, hostPort === null ? {} : { hostPort });
  }
  if (imageMissing.test(message)) return new EngineError('image_missing', text);
  if (status === 404 && noContainer.test(message)) return new EngineError('not_found', text);
  return new EngineError('failed', text);
}

/** From an error of the connection: nothing, or only a part, of a response came. */
export function fromTransport(cause: unknown, place: string): EngineError {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? '';
  const detail = cause instanceof Error ? cause.message : String(cause);
  const advice: Record<string, string> = {
    ENOENT: `Docker does not answer at ${place}: is it installed and running?`,
    ECONNREFUSED: `Docker does not answer at ${place}: is it running?`,
    EACCES: `Docker may not be used at ${place}: run the service as root or as a member of the group "docker"`,
  };
  const message = advice[code] ?? `The connection to Docker at ${place} broke: ${detail}`;
  return new EngineError('unreachable', message, { cause });
}

/** The network that a container was to join is not there (any more). */
export function isNetworkMissing(error: unknown): boolean {
  return error instanceof EngineError && /network \S+ not found/i.test(error.message);
}

/**
 * The same error without the values of the environment: the engine quotes what it cannot take (rule 12). Values
 * of less than four characters stay, since no secret is that short and a sentence would lose its sense.
 */
export function redacted(error: EngineError, environment: Readonly<Record<string, string>>): EngineError {
  const secrets = Object.values(environment)
    .filter((value) => value.length >= 4)
    .sort((a, b) => b.length - a.length);
  const message = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), error.message);
  if (message === error.message) return error;
  return new EngineError(error.kind, message, error.hostPort === null ? {} : { hostPort: error.hostPort });
}

/**
 * As engines from 20.10 to 29 and Docker Desktop say it: "Bind for 127.0.0.1:9000 failed: port is already
 * allocated" (another container), "listen tcp4 127.0.0.1:9000: bind: address already in use", "failed to bind
 * host port [for] 127.0.0.1:9000...: address already in use" (another process), "Ports are not available".
 */
const portTaken = /port is already allocated|address already in use|ports are not available/i;

const imageMissing =
  /no such image|image .*(not found|does not match the (specified|requested) platform)|does not provide the specified platform/i;

const noContainer = /no such container/i;

function hostPortOf(message: string): number | null {
  const port = /(?:\d{1,3}\.){3}\d{1,3}:(\d{1,5})/.exec(message)?.[1];
  return port === undefined ? null : Number(port);
}

import type { Specification, Upstream } from './container.ts';

/**
 * What the core needs of whatever runs containers. One behaviour suite (test/support/engine-suite.ts) runs
 * against every implementation. Every call takes a signal, ends when it fires, and fails with EngineError.
 */
export interface Engine {
  /** Asks whether the engine is there. Cheap enough to go beside every spawn. */
  check(signal: AbortSignal): Promise<EngineInfo>;

  /**
   * All containers of this instance, running or not, whichever ledger made them; with `id`, only that one.
   * Complete or an error, never a part (rule 3).
   */
  list(filter: { readonly id?: string }, signal: AbortSignal): Promise<EngineContainer[]>;

  /**
   * Calls `onEvent` with `{kind: 'open'}` once the stream stands, then for each change, until the stream
   * ends (it then rejects) or the signal fires (it then resolves). Events are hints (rule 7).
   */
  watch(onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void>;

  /** Pulls the image when the policy asks, creates the container with its birth labels, and starts it. */
  create(request: CreateRequest, signal: AbortSignal): Promise<EngineContainer>;

  /**
   * Ends and removes a container with its anonymous volumes, at once or after `graceMs` of its stop signal.
   * Resolves when the engine has confirmed that it is gone; one that is gone already is no error.
   */
  remove(ref: string, options: { readonly graceMs: number | null }, signal: AbortSignal): Promise<void>;

  /** Stops or pauses a running container, to be continued by `wake`; one that is stopped or paused is no error. */
  sleep(
    ref: string,
    options: { readonly mode: 'stop' | 'pause'; readonly graceMs: number | null },
    signal: AbortSignal,
  ): Promise<void>;

  /** Starts a stopped container or continues a paused one; one that runs is no error. */
  wake(ref: string, signal: AbortSignal): Promise<EngineContainer>;

  /** Runs a command inside, with `input` on its standard input, and resolves when it has ended. */
  exec(
    ref: string,
    options: { readonly command: readonly string[]; readonly input: string },
    signal: AbortSignal,
  ): Promise<ExecResult>;

  /** Gives a container that was made warm the name that a claimed one has. */
  rename(ref: string, id: string, signal: AbortSignal): Promise<void>;

  /**
   * Calls `onText` with what the container wrote to standard output and error, in pieces that need not end with a
   * line; unprintable characters are replaced. No piece comes before `onText` has done with the one before.
   * Resolves at the end of the output, with `follow` when the container has ended.
   */
  logs(
    ref: string,
    query: LogQuery,
    onText: (text: string) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void>;

  /** What the container uses at this moment; of one that is stopped, nothing. */
  stats(ref: string, signal: AbortSignal): Promise<ContainerStats>;
}

export interface EngineInfo {
  readonly name: string;
  readonly version: string;
}

export interface LogQuery {
  /** The last lines of what is there; null: all. */
  readonly tailLines: number | null;
  /** Only what was written later, milliseconds since 1970. */
  readonly sinceMs: number | null;
  /** Whether to go on with what is written from now on. */
  readonly follow: boolean;
}

export interface ContainerStats {
  /** Processor time since it was started. */
  readonly cpuMs: number;
  /** Without what the kernel only caches for it, and could drop. */
  readonly memoryBytes: number;
  /** null: no limit but the machine's. */
  readonly memoryLimitBytes: number | null;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Processes and threads. */
  readonly pids: number;
}

export interface ExecResult {
  readonly exitCode: number;
  /** The end of what it wrote, as text, at most 4 KiB; unprintable bytes are replaced. */
  readonly output: string;
}

export interface CreateRequest {
  readonly specification: Specification;
  /** Whether it is made to be kept warm: its name says so until `rename`. */
  readonly warm: boolean;
  /** Awaited after a pull that was needed, before the container is created: pulling leaves the engine to others. */
  readonly beforeCreate?: () => Promise<void>;
  readonly onProgress?: (progress: CreateProgress) => void;
}

export type CreateProgress =
  | { readonly step: 'pulling'; readonly currentBytes: number; readonly totalBytes: number }
  | { readonly step: 'creating' }
  | { readonly step: 'starting' };

/** A container as the engine sees it. */
export interface EngineContainer {
  /** The engine's own identifier. */
  readonly ref: string;
  readonly name: string;
  /** The image as it was named at the creation; something else where that name now means another image. */
  readonly image: string;
  /** All labels; labels.ts reads ours from them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly state: EngineState;
  /** Set where the state is `exited`. */
  readonly exit: { readonly code: number; readonly outOfMemory: boolean } | null;
  /** Where the first port is reached; null unless running. */
  readonly upstream: Upstream | null;
}

export type EngineState = 'created' | 'running' | 'paused' | 'exited' | 'removing';

export type EngineEvent =
  | { readonly kind: 'open' }
  | {
      readonly kind: 'container';
      readonly ref: string;
      /** The label `docker-spawner.id`; '' where it is missing. */
      readonly id: string;
      readonly change: 'started' | 'exited' | 'removed' | 'paused' | 'unpaused';
    };

/** Why a call to the engine failed, in the words the core decides by. */
export type EngineErrorKind =
  /** No answer: not there, or not within the deadline. The effect of the call is unknown. */
  | 'unreachable'
  /** The caller's signal fired. The effect of the call is unknown. */
  | 'aborted'
  /** The image is not there and was not to be pulled, or could not be. */
  | 'image_missing'
  /** A host port is held by somebody else. */
  | 'port_taken'
  /** No such container. */
  | 'not_found'
  /** The engine refused or failed; `message` says why. */
  | 'failed';

export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly kind: EngineErrorKind;
  /** For `port_taken`, where the engine said which. */
  readonly hostPort: number | null;

  constructor(kind: EngineErrorKind, message: string, options: { hostPort?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.hostPort = options.hostPort ?? null;
  }
}

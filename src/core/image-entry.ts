/**
 * What an image entry says, after validation: the shapes that the configuration produces and that engines
 * carry out. Texts may still hold placeholders (`{user_id}`); placeholders.ts fills them for one container.
 */

/** One key of `container_images`. */
export interface ImageEntry {
  readonly key: string;
  /** SHA-256 in hexadecimal over what is fixed at a container's birth: tells whether it was made from this entry. */
  readonly configHash: string;
  readonly spec: ContainerSpec;
  readonly ports: readonly PortSpec[];
  readonly ready: ReadySpec;
  /** The longest life of a container of this entry; from the entry's or the global `docker_timeout`. */
  readonly lifetimeMs: number;
  readonly lifecycle: LifecycleSpec;
  /** The most containers of this entry at once, warm ones included; null: only the other limits hold. */
  readonly max: number | null;
  readonly warm: WarmSpec;
  /** What whoever asks for a container may decide about it. */
  readonly allow: readonly Allowed[];
}

/** What an entry can leave to callers, each declared once. */
export const allowedWords = ['environment', 'lifetime', 'labels'] as const;

export type Allowed = (typeof allowedWords)[number];

/** What becomes of a container that is not used, or near its end. Fixed at its birth. */
export interface LifecycleSpec {
  /** How long without activity until `onIdle`; null: idleness does not matter. */
  readonly idleMs: number | null;
  readonly onIdle: 'remove' | 'stop' | 'pause';
  /** Whether open WebSockets and other tunnels do not count as activity, but the bytes in them do. */
  readonly idleIgnoresTunnels: boolean;
  /** How long before its deadline an `expiring` event is written; 0: none. */
  readonly warnBeforeMs: number;
  /** The longest life with all extensions, from its creation on. */
  readonly maxLifetimeMs: number;
}

/** Containers that are kept started and ready for whoever comes next. */
export interface WarmSpec {
  /** How many; 0: none. */
  readonly count: number;
  /** How old an unclaimed one may become before it is replaced. */
  readonly maxAgeMs: number;
  /** What is run inside when a user gets one; null: nothing. */
  readonly onClaim: OnClaimSpec | null;
}

export interface OnClaimSpec {
  readonly command: readonly string[];
  /** Sent to the command's standard input as one JSON object; placeholders are filled. */
  readonly values: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** How to run a container: Compose's words in camel case, with units in the names. Absent words are null. */
export interface ContainerSpec {
  readonly image: string;
  readonly command: readonly string[] | null;
  readonly entrypoint: readonly string[] | null;
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes: readonly VolumeSpec[];
  readonly tmpfs: readonly TmpfsSpec[];
  readonly workingDir: string | null;
  readonly user: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** 0 means without a limit. */
  readonly memLimitBytes: number;
  /** 0 means without a limit. */
  readonly cpus: number;
  /** -1 means without a limit. */
  readonly pidsLimit: number;
  readonly shmSizeBytes: number | null;
  readonly ulimits: readonly UlimitSpec[];
  readonly readOnly: boolean;
  /** The final set: what the defaults leave, `cap_drop` removed, `cap_add` added. Names without `CAP_`. */
  readonly capabilities: readonly string[];
  /** The final list, `no-new-privileges:true` included unless the entry says otherwise. */
  readonly securityOpt: readonly string[];
  readonly runtime: string | null;
  readonly init: boolean | null;
  readonly devices: readonly DeviceSpec[];
  readonly dns: readonly string[];
  readonly extraHosts: readonly string[];
  readonly stopSignal: string | null;
  /** null: removal is immediate, as the original's was. */
  readonly stopGracePeriodMs: number | null;
  readonly pullPolicy: 'always' | 'missing' | 'never';
  readonly platform: string | null;
  /** null: the service's own isolated network; otherwise the name of a network that exists. */
  readonly networkMode: string | null;
  readonly logMaxSizeBytes: number;
  readonly logMaxFiles: number;
}

export interface VolumeSpec {
  readonly type: 'volume' | 'bind';
  /** A volume's name (placeholders allowed; '' for an anonymous one) or an absolute host path (none allowed). */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface TmpfsSpec {
  readonly target: string;
  /** Mount options as Docker takes them, for example `size=64m,mode=1777`; may be empty. */
  readonly options: string;
}

export interface UlimitSpec {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

export interface DeviceSpec {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly permissions: string;
}

/** A port on which the container serves. The first one is what `ID.domain` leads to. */
export interface PortSpec {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'http';
}

/** When a container counts as ready: a final HTTP status in one of the ranges to `GET path`, in time. */
export interface ReadySpec {
  readonly path: string;
  /** Inclusive ranges; any final status is 200-599. */
  readonly statuses: readonly { readonly from: number; readonly to: number }[];
  readonly timeoutMs: number;
}

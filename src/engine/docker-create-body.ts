import type { ContainerCreateOptions, HostConfig, MountConfig } from 'dockerode';
import type { PortBinding, Specification } from '../core/container.ts';
import type { ContainerSpec, VolumeSpec } from '../core/image-entry.ts';
import { encodeLabels, labels, type Owner } from '../core/labels.ts';

/**
 * The body of `POST /containers/create`. What the entry leaves open is left out, so that the image's or the
 * engine's own default holds; what makes a container safe is always said, never left to a default.
 */
export function createBody(
  owner: Owner,
  specification: Specification,
  network: string,
): ContainerCreateOptions {
  const { spec, ports } = specification;
  return {
    Image: spec.image,
    Labels: { ...foreignLabels(spec), ...encodeLabels(owner, specification) },
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    ExposedPorts: Object.fromEntries(ports.map((port) => [portKey(port), {}])),
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    OpenStdin: false,
    Tty: false,
    HostConfig: hostConfig(owner, spec, ports, network),
    ...present({
      Cmd: spec.command && [...spec.command],
      Entrypoint: spec.entrypoint && [...spec.entrypoint],
      WorkingDir: spec.workingDir,
      User: spec.user,
      StopSignal: spec.stopSignal,
      StopTimeout: spec.stopGracePeriodMs === null ? null : Math.ceil(spec.stopGracePeriodMs / 1000),
    }),
  };
}

/** Ours are facts of the birth: an entry cannot add one that this container has none of. */
function foreignLabels(spec: ContainerSpec): Record<string, string> {
  const ours = new Set<string>(Object.values(labels).map((label) => label.name));
  return Object.fromEntries(Object.entries(spec.labels).filter(([name]) => !ours.has(name)));
}

function hostConfig(
  owner: Owner,
  spec: ContainerSpec,
  ports: readonly PortBinding[],
  network: string,
): HostConfig {
  return {
    NetworkMode: spec.networkMode ?? network,
    PortBindings: Object.fromEntries(
      ports.map((port) => [portKey(port), [{ HostIp: '127.0.0.1', HostPort: String(port.hostPort) }]]),
    ),
    PublishAllPorts: false,
    Privileged: false,
    CapDrop: ['ALL'],
    CapAdd: [...spec.capabilities],
    SecurityOpt: [...spec.securityOpt],
    PidsLimit: spec.pidsLimit,
    ReadonlyRootfs: spec.readOnly,
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    LogConfig: { Type: 'json-file', Config: logOptions(spec) },
    Tmpfs: Object.fromEntries(spec.tmpfs.map(({ target, options }) => [target, options])),
    Mounts: spec.volumes.map((volume) => mount(owner, volume)),
    Ulimits: spec.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Devices: spec.devices.map(({ hostPath, containerPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: containerPath,
      CgroupPermissions: permissions,
    })),
    Dns: [...spec.dns],
    ExtraHosts: [...spec.extraHosts],
    // MemorySwap counts memory and swap together: the same value means no swap on top.
    ...(spec.memLimitBytes > 0 ? { Memory: spec.memLimitBytes, MemorySwap: spec.memLimitBytes } : {}),
    ...(spec.cpus > 0 ? { NanoCpus: Math.round(spec.cpus * 1e9) } : {}),
    ...present({ ShmSize: spec.shmSizeBytes, Init: spec.init, Runtime: spec.runtime }),
  };
}

/**
 * Mounts rather than Binds: a bind mount whose source is missing is then refused, where Binds would make an
 * empty directory owned by root. A volume's label tells who made it; it has no effect on one that exists.
 */
function mount(owner: Owner, { type, source, target, readOnly }: VolumeSpec): MountConfig[number] {
  const common = { Target: target, Source: source, ReadOnly: readOnly };
  if (type === 'bind') return { ...common, Type: 'bind' };
  const Labels = { [labels.instance.name]: owner.instance };
  return { ...common, Type: 'volume', VolumeOptions: { NoCopy: false, Labels, DriverConfig: noDriver } };
}

/** The engine's default driver; the types want it said. */
const noDriver = { Name: '', Options: {} };

function logOptions(spec: ContainerSpec): Record<string, string> {
  if (spec.logMaxSizeBytes <= 0) return {};
  return { 'max-size': String(spec.logMaxSizeBytes), 'max-file': String(Math.max(1, spec.logMaxFiles)) };
}

function portKey(port: PortBinding): string {
  return `${port.port}/tcp`;
}

/** Without the fields that are null. */
function present<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

import type { Birth, PortBinding } from './container.ts';

/**
 * The labels on every container: facts of its birth, each declared once. This is a persistent format: other
 * versions of the service read it, so a label's meaning never changes.
 */
export const labels = {
  instance: {
    name: 'docker-spawner.instance',
    description: 'the setting `instance` of the service that made it',
  },
  ledger: { name: 'docker-spawner.ledger', description: 'the UUID of the ledger that knows it' },
  id: { name: 'docker-spawner.id', description: 'its id: the first label of its host name' },
  image: { name: 'docker-spawner.image', description: 'the key of its image entry' },
  user: { name: 'docker-spawner.user', description: 'its user; absent where there is none' },
  created: { name: 'docker-spawner.created', description: 'when it was asked for (RFC 3339)' },
  expires: { name: 'docker-spawner.expires', description: 'its deadline at birth (RFC 3339)' },
  ports: { name: 'docker-spawner.ports', description: 'JSON: [{name, port, protocol, host_port}]' },
  config: { name: 'docker-spawner.config', description: 'a hash of the image entry it was made from' },
} as const;

/** Which installation a container belongs to. */
export interface Owner {
  readonly instance: string;
  readonly ledger: string;
}

export function encodeLabels(owner: Owner, birth: Birth): Record<string, string> {
  return {
    [labels.instance.name]: owner.instance,
    [labels.ledger.name]: owner.ledger,
    [labels.id.name]: birth.id,
    [labels.image.name]: birth.imageKey,
    ...(birth.user === null ? {} : { [labels.user.name]: birth.user }),
    [labels.created.name]: new Date(birth.createdAtMs).toISOString(),
    [labels.expires.name]: new Date(birth.expiresAtMs).toISOString(),
    [labels.ports.name]: JSON.stringify(
      birth.ports.map((p) => ({ name: p.name, port: p.port, protocol: p.protocol, host_port: p.hostPort })),
    ),
    [labels.config.name]: birth.configHash,
  };
}

/**
 * Reads a birth back from labels; null where they are not ours or do not make sense. Each object is read once:
 * several look at the labels of one list, which has thousands.
 */
export function decodeLabels(all: Readonly<Record<string, string>>): Facts | null {
  let facts = decoded.get(all);
  if (facts === undefined) {
    facts = decode(all);
    decoded.set(all, facts);
  }
  return facts;
}

interface Facts {
  readonly owner: Owner;
  readonly birth: Birth;
}

const decoded = new WeakMap<object, Facts | null>();

function decode(all: Readonly<Record<string, string>>): Facts | null {
  const read = (label: { name: string }) => (Object.hasOwn(all, label.name) ? all[label.name]! : null);
  const instance = read(labels.instance);
  const ledger = read(labels.ledger);
  const id = read(labels.id);
  const imageKey = read(labels.image);
  const createdAtMs = Date.parse(read(labels.created) ?? '');
  const expiresAtMs = Date.parse(read(labels.expires) ?? '');
  const ports = decodePorts(read(labels.ports) ?? '');
  const configHash = read(labels.config);
  if (!instance || !ledger || !id || !imageKey || !ports || configHash === null) return null;
  if (Number.isNaN(createdAtMs) || Number.isNaN(expiresAtMs)) return null;
  const birth = { id, imageKey, user: read(labels.user), createdAtMs, expiresAtMs, ports, configHash };
  return { owner: { instance, ledger }, birth };
}

/** Whether a container with these labels was made by a service with one of these ledgers. */
export function belongsTo(all: Readonly<Record<string, string>>, identities: ReadonlySet<string>): boolean {
  const facts = decodeLabels(all);
  return facts !== null && identities.has(facts.owner.ledger);
}

function decodePorts(text: string): PortBinding[] | null {
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list) || list.length === 0) return null;
    const bindings = list.map((p: Record<string, unknown>) => ({
      name: String(p.name),
      port: Number(p.port),
      protocol: 'http' as const,
      hostPort: Number(p.host_port),
    }));
    return bindings.every((p) => isPort(p.port) && isPort(p.hostPort)) ? bindings : null;
  } catch {
    return null;
  }
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value < 65536;
}

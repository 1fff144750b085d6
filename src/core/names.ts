/**
 * Names in the engine, each made in one place. Their escaping is a persistent format: a named volume of last
 * year must be found again.
 */

/** The container's name in the engine. */
export function containerName(prefix: string, id: string): string {
  return prefix + id;
}

/** The name of a container that is kept warm and is nobody's yet. */
export function warmContainerName(prefix: string, id: string): string {
  return `${prefix}warm-${id}`;
}

/** Whether a container in the engine is named as one that is kept warm, whatever its prefix. */
export function isWarmName(name: string, id: string): boolean {
  return name.endsWith(warmContainerName('', id));
}

/** The network in which this instance's containers live. */
export function networkName(instance: string): string {
  return `docker-spawner-${instance}`;
}

/**
 * Turns any text into a part of a volume's name, injectively: different texts never give the same name. Docker
 * allows [a-zA-Z0-9_.-] there; what is kept are lower-case letters, digits and `-`; every other byte of the
 * UTF-8 form becomes `_` and two hexadecimal digits. (Upper case is escaped too, since some volume drivers and
 * file systems do not tell it from lower case.)
 */
export function escapeName(text: string): string {
  let name = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    const char = String.fromCharCode(byte);
    name += /[a-z0-9-]/.test(char) ? char : `_${byte.toString(16).padStart(2, '0')}`;
  }
  return name;
}

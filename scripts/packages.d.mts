/** Types of packages.mjs, for its tests. */
interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly optional?: boolean }>
  >;
}

export function packagesAreCurrent(lock: Lock | null, installed: Lock | null): boolean;

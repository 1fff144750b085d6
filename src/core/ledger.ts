import type { GoneReason, PortBinding, Specification } from './container.ts';

/**
 * What must survive a restart and cannot live in the engine, since labels never change after creation. Calls
 * are synchronous, and committed when they return. The registry's commands are its only writers.
 */
export interface Ledger {
  /** This ledger's UUID: every container and network we make carries it. */
  readonly identity: string;
  /** Its own UUID and those it has adopted: containers that carry one of them are ours. */
  identities(): ReadonlySet<string>;
  /** From now on containers of that ledger are ours too (`--adopt`). */
  adopt(identity: string): void;

  /** Everything that is not gone. */
  list(): LedgerEntry[];
  /** Commits a specification before the engine is asked (rule 2). */
  add(specification: Specification, acknowledged: boolean): void;
  /** Commits other host ports, after somebody else was found to hold those of `add`. */
  rebind(id: string, ports: readonly PortBinding[]): void;
  /** Commits that a caller is about to be told of the container. */
  acknowledge(id: string): void;
  /** Commits that the container is on its way out: a restart finishes the removal, never serves it again. */
  condemn(id: string, reason: GoneReason): void;
  /** Commits that the engine has confirmed the removal. */
  forget(id: string): void;

  close(): void;
}

export interface LedgerEntry extends Specification {
  readonly acknowledged: boolean;
  /** Set once condemned. */
  readonly condemned: GoneReason | null;
}

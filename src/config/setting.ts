import type { Type } from './types.ts';

/** One setting: its type, what it is when nobody says, and what it means. */
export interface Setting<T> {
  readonly type: Type<T>;
  /** As one would write it in the file; null where there is none. The reference page shows it. */
  readonly written: string | null;
  readonly value: T;
  readonly description: string;
}

export function setting<T>(type: Type<T>, written: string | null, value: T, description: string): Setting<T> {
  return { type, written, value, description };
}

import type { Container } from './container.ts';

/** What interfaces can ask of the core. Every failure is a SpawnerError. */
export interface Commands {
  /** Resolves when the container is ready and the acknowledgement is committed. */
  spawn(request: { readonly imageKey: string; readonly user: string | null }): Promise<Container>;
  /** Resolves when the engine has confirmed the removal. */
  stop(id: string): Promise<void>;
  /** The user's newest container that is not stopping. */
  newestOf(user: string): Container | undefined;
}

import type { Access } from './routes.ts';

/** A page or a document at one path, for GET. */
export interface StaticRoute {
  readonly path: string;
  readonly access: Access;
  readonly answer: () => Promise<{
    readonly contentType: string;
    readonly body: string;
    readonly headers?: Readonly<Record<string, string>>;
  }>;
}

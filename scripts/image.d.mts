/** Types of image.mjs, for the tests. */
export function ensureImage(image: {
  readonly repository: string;
  readonly folder: string;
  readonly port: number;
  readonly user?: 'root' | 'app';
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<string>;

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Configuration, loadConfiguration } from '../../../src/config/load.ts';
import { ConfigurationError, type Problem } from '../../../src/config/problems.ts';
import type { ImageEntry } from '../../../src/core/image-entry.ts';

export type Env = Record<string, string | undefined>;

/** Loads a configuration from the text of a file named docker-spawner.yaml; null: there is none. */
export function load(yaml: string | null, env: Env = {}): Configuration {
  const cwd = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    if (yaml !== null) writeFileSync(join(cwd, 'docker-spawner.yaml'), yaml);
    return loadConfiguration({ file: null, cwd, env });
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

/** The problems of a configuration; none where it is sound. */
export function problems(yaml: string | null, env: Env = {}): readonly Problem[] {
  try {
    load(yaml, env);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  return [];
}

/** What a person would read; '' where all is sound. */
export function complaint(yaml: string | null, env: Env = {}): string {
  try {
    load(yaml, env);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  }
  return '';
}

/** A file with this one setting, and something to run. */
export function withSetting(name: string, value: unknown): string {
  return `container_images: {web: nginx}\n${name}: ${JSON.stringify(value)}\n`;
}

/** A file with one image entry, `web`, of the image nginx and these words. */
export function withWords(words: Record<string, unknown>, settings = ''): string {
  return `${settings}container_images: ${JSON.stringify({ web: { image: 'nginx', ...words } })}\n`;
}

export function entryOf(words: Record<string, unknown>): ImageEntry {
  return load(withWords(words)).images.get('web')!;
}

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { serveCommand } from './serve.ts';

/** The command line; one file a verb. */
export function createProgram(): Command {
  return new Command('docker-spawner')
    .description('One HTTP call gives a user a container of their own, on a subdomain of its own.')
    .version(version())
    .showHelpAfterError('(add --help for the options)')
    .addCommand(serveCommand());
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

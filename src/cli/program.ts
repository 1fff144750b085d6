import { Command } from 'commander';
import { serveCommand } from './serve.ts';
import { version } from './version.ts';

/** The command line; one file a verb. */
export function createProgram(): Command {
  return new Command('docker-spawner')
    .description('One HTTP call gives a user a container of their own, on a subdomain of its own.')
    .version(version())
    .showHelpAfterError('(add --help for the options)')
    .addCommand(serveCommand());
}

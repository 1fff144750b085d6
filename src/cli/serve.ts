import { Command } from 'commander';
import pino from 'pino';
import { type Configuration, loadConfiguration } from '../config/load.ts';
import { ConfigurationError } from '../config/problems.ts';
import { settingsHelp } from '../config/reference.ts';
import type { Log } from '../core/log.ts';
import { RecoveryError } from '../core/recovery.ts';
import { LedgerError } from '../ledger/errors.ts';
import { type Address, type Service, StartError, startService } from '../main.ts';
import { version } from './version.ts';

/** `docker-spawner serve`: runs the service until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the service')
    .option('-c, --config <file>', 'configuration file (default: docker-spawner.yaml, where there is one)')
    .option('--adopt', 'take over the containers of this instance that another ledger knows', false)
    .addHelpText('after', () => `\n${settingsHelp()}`)
    .addHelpText('after', '\nExample:\n  docker-spawner serve --config docker-spawner.yaml\n')
    .action(async (options: { config?: string; adopt: boolean }) => {
      process.exitCode = await serve(options.config ?? null, options.adopt);
    });
}

async function serve(file: string | null, adopt: boolean): Promise<number> {
  const stopped = untilSignal();
  const load = () => loadConfiguration({ file, cwd: process.cwd(), env: process.env });
  let reload = () => {};
  // Without a listener it would end the process; before the service runs there is nothing to reload.
  process.on('SIGHUP', () => reload());
  // Whoever reads it may go away (`| head -1`); a write tells its caller, and the containers' visitors go on.
  process.stdout.on('error', () => {});
  let service: Service;
  let log = pino(pino.destination({ fd: 2, sync: true }));
  try {
    const configuration = load();
    log = createLog(configuration.settings.log_level);
    service = await startService(configuration, { adopt, version: version(), env: process.env, log });
  } catch (error) {
    if (!isForOperator(error)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  process.stdout.write(`ready api=${urlOf(service.api)} proxy=${urlOf(service.proxy)}\n`);
  reload = () => reloadService(service, load, log);
  const signal = await stopped;
  log.info({ signal }, 'ending; the containers live on');
  await service.close();
  return 0;
}

/** An invalid configuration changes nothing, and says why. */
function reloadService(service: Service, load: () => Configuration, log: Log): void {
  try {
    const afterRestart = service.reload(load());
    log.info({ afterRestart }, 'the configuration was reloaded; what is named counts after a restart only');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.error({ why }, 'the configuration was not reloaded; nothing has changed');
  }
}

/** Errors whose message is all that the operator needs; others are defects, and keep their stack. */
function isForOperator(error: unknown): error is Error {
  return [ConfigurationError, StartError, RecoveryError, LedgerError].some((type) => error instanceof type);
}

/** JSON lines on standard error; for people where it is a terminal. */
function createLog(level: string) {
  const pretty = process.stderr.isTTY && {
    target: 'pino-pretty',
    options: { destination: 2, ignore: 'pid,hostname' },
  };
  return pretty
    ? pino({ level, transport: pretty })
    : pino({ level, base: null }, pino.destination({ fd: 2, sync: false }));
}

function urlOf({ host, port }: Address): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Installed before anything is started, so that no signal finds a half started service without it. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => resolve(signal));
    }
  });
}

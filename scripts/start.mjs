// `npm start [-- ARGUMENTS OF serve]`: sees to packages and an engine, then runs the service. Without any
// configuration it runs the demo.
import { existsSync } from 'node:fs';
import { demoConfiguration, ensureDemoImage } from './demo.mjs';
import { ensureEngine } from './engine.mjs';
import { ensurePackages } from './packages.mjs';
import { say } from './say.mjs';
import { runService } from './service.mjs';

const args = process.argv.slice(2);

try {
  await ensurePackages();
  const onlyHelp = args.includes('--help') || args.includes('-h');
  if (!onlyHelp) await ensureEngine();
  const demo = !onlyHelp && !isConfigured();
  if (demo) {
    await ensureDemoImage();
    sayWhatToTry();
  }
  process.exitCode = await runService(['serve', ...(demo ? ['--config', demoConfiguration] : []), ...args]);
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}

function isConfigured() {
  return (
    args.some((arg) => arg === '-c' || arg === '--config' || arg.startsWith('--config=')) ||
    existsSync('docker-spawner.yaml') ||
    Boolean(process.env.CONTAINER_IMAGES)
  );
}

function sayWhatToTry() {
  const api = process.env.API_LISTEN || '127.0.0.1:3000';
  const proxyPort = (process.env.PROXY_LISTEN || '127.0.0.1:8080').split(':').pop();
  const domain = process.env.DOMAIN || 'localhost';
  say(
    [
      '',
      'There is no configuration, so this is the demo. Once it says "ready", try, in another terminal:',
      '',
      `  curl -d container_id=demo -d user_id=me http://${api}/spawn`,
      '',
      `and open http://ID.${domain}:${proxyPort}/ with the id that it answers. To end that container:`,
      '',
      `  curl -d container_hex=ID http://${api}/stop`,
      '',
    ].join('\n'),
  );
}

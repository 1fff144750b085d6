// `npm run cli -- VERB ...`: any verb of the command line, from the checkout.
import { ensurePackages } from './packages.mjs';
import { say } from './say.mjs';
import { runService } from './service.mjs';

try {
  await ensurePackages();
  process.exitCode = await runService(process.argv.slice(2));
} catch (error) {
  say(error.message);
  process.exitCode = 1;
}

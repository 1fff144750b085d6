// Installing packages on Debian and Ubuntu, without a question asked.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { childEnvironment } from './packages.mjs';
import { runVisibly, say } from './say.mjs';

const lockWaitS = 300;
let listsRead = false;

/** Whether this is Debian, Ubuntu, or one made from them. */
export function isDebian() {
  if (process.platform !== 'linux' || !existsSync('/etc/os-release')) return false;
  const release = readFileSync('/etc/os-release', 'utf8');
  const words = [...release.matchAll(/^ID(?:_LIKE)?=["']?([^"'\n]*)/gm)].flatMap(([, value]) =>
    value.split(' '),
  );
  return (words.includes('debian') || words.includes('ubuntu')) && isInstalled('apt-get');
}

/** Installs Debian packages; needs root. Throws with apt's own last lines. */
export async function aptInstall(packages) {
  const env = childEnvironment({
    DEBIAN_FRONTEND: 'noninteractive',
    APT_LISTCHANGES_FRONTEND: 'none',
    NEEDRESTART_SUSPEND: '1',
  });
  const options = ['-o', `DPkg::Lock::Timeout=${lockWaitS}`, '-o', 'Acquire::Retries=3'];
  if (!listsRead) await readLists(options, env);
  listsRead = true;
  const keepConfiguration = [
    '-o',
    'Dpkg::Options::=--force-confdef',
    '-o',
    'Dpkg::Options::=--force-confold',
  ];
  // What is here stays: a package that could only come in place of another one is the person's decision.
  const install = [
    'install',
    '-y',
    '--no-install-recommends',
    '--no-remove',
    ...options,
    ...keepConfiguration,
  ];
  const title = `Installing ${packages.join(', ')}`;
  await runVisibly(title, 'apt-get', [...install, ...packages], { env });
}

/** Whether a program is found in PATH, or where system programs are. */
export function isInstalled(program) {
  return childEnvironment()
    .PATH.split(path.delimiter)
    .some((directory) => {
      try {
        accessSync(path.join(directory, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function readLists(options, env) {
  try {
    await withoutListLock(() =>
      runVisibly('Reading the lists of Debian packages', 'apt-get', ['update', ...options], { env }),
    );
  } catch (error) {
    // A source that is away, often one that has nothing to do with this, need not keep us from the others.
    say(`${error.message}\nGoing on with the lists that are there.`);
  }
}

/** apt waits for dpkg's lock when told to, but not for the one of its lists. */
async function withoutListLock(run) {
  const endMs = Date.now() + lockWaitS * 1000;
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!/lists\/lock/.test(error.message) || Date.now() > endMs) throw error;
      say('Another program is reading the lists of packages; waiting for it.');
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

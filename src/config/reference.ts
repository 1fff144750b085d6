import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { placeholders } from '../core/placeholders.ts';
import { entryWords } from './entry-words.ts';
import { proxyLimitSettings } from './proxy-settings.ts';
import { settings } from './settings.ts';

/** The reference page, docs/configuration.md, in Markdown: made from the declarations. */
export function referencePage(): string {
  return `${[
    intro,
    '## Settings',
    table(['key', 'default', 'value', 'meaning'], settingRows(isOfService)),
    values,
    '### Limits of the proxy',
    table(['key', 'default', 'value', 'meaning'], settingRows(isProxyLimit)),
    '## Image entries',
    entries,
    '### Words of Compose',
    table(['word', 'default', 'value', 'meaning'], wordRows('compose')),
    '### Words of our own',
    table(['word', 'default', 'value', 'meaning'], wordRows('ours')),
    safety,
    lifeCycle,
    '## Placeholders',
    placeholderRules,
    table(
      ['placeholder', 'stands for'],
      Object.entries(placeholders).map(([name, meaning]) => [`\`{${name}}\``, meaning]),
    ),
  ].join('\n\n')}\n`;
}

/** The settings for `--help`: plain text, each with its environment variable, default and meaning. */
export function settingsHelp(): string {
  const lines = Object.entries(settings).flatMap(([name, setting]) => [
    `  ${name} (${name.toUpperCase()})${setting.written === null ? '' : `, default ${setting.written}`}`,
    `      ${setting.description.replaceAll('`', '')}`,
  ]);
  return ['Settings, in the configuration file or, in capitals, in the environment:', ...lines].join('\n');
}

const intro = `<!-- Made from src/config by \`node src/config/reference.ts --write\`. Do not edit. -->

# Configuration

Settings come from a YAML file: the one that \`--config\` names, else \`docker-spawner.yaml\` in the working
directory where there is one. Each is also an environment variable, its name in capitals, which wins over the
file; an empty one counts as not set, as does a key without a value. In the environment lists are JSON or
separated by commas, and \`CONTAINER_IMAGES\` is JSON.

Whatever is wrong stops the start, with the key, the file, the line and what was expected. Keys that start with
\`x-\` are left alone: a place for anchors, which \`*name\` and \`<<: *name\` use as in Compose.`;

const values = `**Durations**: a number is seconds; \`500ms\`, \`90s\`, \`30m\`, \`8h\`, \`2d\` and \`1h30m\` are understood.
**Sizes**: a number is bytes; \`64k\`, \`512m\`, \`2g\` and \`512mb\` are understood, in powers of 1024.`;

const entries = `\`container_images\` maps a key, which callers send as \`container_id\`, to the name of an image or to an
entry with these words. A word of Compose that is not listed is refused by name. Nothing is taken from the
environment of the service: \`\${NAME}\` stays as it is.

\`\`\`yaml
container_images:
  web: nginx:alpine
  notebook:
    image: jupyter/base-notebook
    port: 8888
    environment: {TEAM: "{user_id}"}
    volumes: ["home-{user_id}:/home/jovyan"]
\`\`\``;

const safety = `### Safe by default

Containers are never privileged and never get the socket of the engine, nor a directory that holds it. Unless
an entry says otherwise by name, they have limits of memory, processors, processes and log size, no new
privileges, few capabilities, and a network in which they cannot reach each other. To loosen: \`mem_limit: 0\`,
\`cpus: 0\`, \`pids_limit: -1\`, \`cap_add\`, \`security_opt\`, \`logging\`, \`network_mode\`.`;

const lifeCycle = `### Idle, asleep and warm containers

A container ends after its \`docker_timeout\`, which callers may extend up to \`max_lifetime\`, whether it is used,
idle or asleep. An open request and an open WebSocket are activity. After \`idle_timeout\` without any it is
removed, or sleeps: stopped, which frees its memory and loses what was in it (\`tmpfs\` too), or paused, which
wakes faster. Asleep it keeps its id, URL, place, files and volumes, and the next request wakes it.

Of an entry with \`warm\`, that many containers are kept ready, and a spawn takes one at once. They take places,
and give way when users need them; they are replaced when what the entry says of its containers changes, which
the number of warm ones and \`on_claim\` are no part of. What differs for each user is delivered by \`on_claim\`
when one is taken: its command runs inside and reads the filled \`values\` from standard input as one JSON
object. Where it fails, or takes longer than \`timeout\`, the container is removed and the next one taken.

\`\`\`yaml
container_images:
  lab:
    image: images.example.com/lab
    docker_timeout: 8h
    max_lifetime: 24h
    idle_timeout: 30m
    on_idle: stop
    max: 50
    warm: 5
    on_claim:
      command: [/usr/local/bin/set-up]
      values: {team: "{user_id}", ends: "{expires_at}"}
      timeout: 5s
\`\`\``;

const placeholderRules = `Filled in when a container is made, as data, never through a shell and never twice: in
\`command\`, \`entrypoint\`, the values of \`environment\` and \`labels\`, the names of \`volumes\` (escaped there, so
that different users never share one), \`working_dir\`, \`user\`, the paths of \`tmpfs\` and the names of
\`extra_hosts\`. \`{user_id}\` is not filled in the last four, since callers choose it, nor in a script after
\`sh -c\`. \`{{name}}\` stands for a literal \`{name}\`; \`\${name}\` and every other brace stay as they are; any
other \`{name}\` of lower-case letters and \`_\` stops the start.`;

const isProxyLimit = (name: string) => Object.hasOwn(proxyLimitSettings, name);
const isOfService = (name: string) => !isProxyLimit(name);

function settingRows(shown: (name: string) => boolean): string[][] {
  const rows = Object.entries(settings).filter(([name]) => shown(name));
  return rows.map(([name, { written, type, description }]) => [
    `\`${name}\``,
    written === null ? '' : `\`${written}\``,
    type.expected,
    description,
  ]);
}

function wordRows(origin: 'compose' | 'ours'): string[][] {
  const words = Object.entries(entryWords).filter(([, word]) => word.origin === origin);
  return words.map(([name, { written, type, description }]) => [
    `\`${name}\``,
    written,
    type.expected,
    description,
  ]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main && process.argv.includes('--write')) {
  writeFileSync(fileURLToPath(new URL('../../docs/configuration.md', import.meta.url)), referencePage());
}

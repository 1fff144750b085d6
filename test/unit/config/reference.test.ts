import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { entryWords } from '../../../src/config/entry-words.ts';
import { referencePage, settingsHelp } from '../../../src/config/reference.ts';
import { settings } from '../../../src/config/settings.ts';
import { placeholders } from '../../../src/core/placeholders.ts';

test('docs/configuration.md is what the declarations say (node src/config/reference.ts --write makes it so)', () => {
  const page = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
  expect(page).toBe(referencePage());
});

test('the reference page names every setting, every word and every placeholder', () => {
  const page = referencePage();
  for (const name of [...Object.keys(settings), ...Object.keys(entryWords)])
    expect(page).toContain(`| \`${name}\` |`);
  for (const name of Object.keys(placeholders)) expect(page).toContain(`| \`{${name}}\` |`);
});

test('the help names every setting with its environment variable', () => {
  for (const name of Object.keys(settings))
    expect(settingsHelp()).toContain(`  ${name} (${name.toUpperCase()})`);
});

/**
 * What a stranger's program wrote, as a part of one line of ours: the last `maxLength` characters, line breaks as
 * bars, without the secrets (rule 12). Values of less than four characters stay, since no secret is that short and
 * a sentence would lose its sense.
 */
export function quote(text: string, secrets: Iterable<string>, maxLength: number): string {
  return withoutSecrets(text, secrets)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' | ')
    .slice(-maxLength);
}

function withoutSecrets(text: string, secrets: Iterable<string>): string {
  // As they are, and as JSON writes them: input is delivered as JSON, and echoed so. The longest first, or what a
  // shorter one leaves of it would stay.
  const forms = [...secrets]
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    .filter((form) => form.length >= 4)
    .sort((a, b) => b.length - a.length);
  return forms.reduce((rest, form) => rest.replaceAll(form, '***'), text);
}

/**
 * Splits a text into words as a shell does, without ever running one: quotes and backslashes count, variables
 * and commands in it do not. Compose reads `command: a "b c"` so. null: a quote is not closed.
 */
export function shellWords(text: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote: "'" | '"' | null = null;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (quote === "'") {
      if (char === "'") quote = null;
      else word += char;
    } else if (char === '\\') {
      const next = text[i + 1];
      if (next === undefined) return null;
      i++;
      // Within double quotes a backslash is itself before anything else (POSIX, 2.2.3).
      const literal = quote === '"' && !'"\\$`\n'.includes(next);
      if (next !== '\n') word = (word ?? '') + (literal ? `\\${next}` : next);
    } else if (quote === '"') {
      if (char === '"') quote = null;
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + char;
  }
  if (quote !== null) return null;
  if (word !== null) words.push(word);
  return words;
}

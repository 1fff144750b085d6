import { createHash } from 'node:crypto';
import { statusPath } from './target.ts';

/** The pages of the proxy: one look, light and dark, nothing loaded from anywhere. */

const style = `
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5b6776;--line:#e1e5ea;--mark:#1f6feb}
@media (prefers-color-scheme:dark){:root{--ground:#10151c;--card:#19212b;--ink:#e7ecf2;--soft:#9aa7b6;--line:#2b3642;--mark:#6cb0ff}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:24px;background:var(--ground);color:var(--ink);font:17px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:30rem;padding:32px;background:var(--card);border:1px solid var(--line);border-radius:14px;overflow-wrap:anywhere}
h1{margin:0 0 8px;font-size:1.45rem;line-height:1.25}
p{margin:0;color:var(--soft)}
.mark{display:block;margin-bottom:20px;color:var(--mark);font-size:.95rem;font-weight:600;letter-spacing:.02em}
.bar{height:4px;margin-top:24px;border-radius:2px;background:var(--line);overflow:hidden}
.bar i{display:block;width:35%;height:100%;border-radius:2px;background:var(--mark);animation:run 1.4s ease-in-out infinite alternate}
@keyframes run{from{margin-left:0}to{margin-left:65%}}
@media (prefers-reduced-motion:reduce){.bar i{animation:none;width:100%}}
`;

/** Asks for the state until it changes, and loads the address anew; so the page turns into the application. */
const script = `
const look = async () => {
  try {
    const answer = await fetch('${statusPath}', {cache: 'no-store'});
    if (answer.status === 404) return location.reload();
    const {state, phase} = await answer.json();
    if (state === 'ready') return location.reload();
    const words = ${JSON.stringify(phaseWords())};
    if (Object.hasOwn(words, phase)) document.getElementById('phase').textContent = words[phase];
  } catch {}
  setTimeout(look, 1000);
};
setTimeout(look, 500);
`;

const base = "default-src 'none'; base-uri 'none'; form-action 'none'";
export const contentSecurityPolicy = `${base}; style-src '${hash(style)}'`;
export const waitingPolicy = `${contentSecurityPolicy}; script-src '${hash(script)}'; connect-src 'self'`;

/** The page of an error. The texts are ours; they are escaped all the same. */
export function page(status: number, title: string, detail: string): string {
  return document(
    title,
    `<span class="mark">${status}</span><h1>${escapeHtml(title)}</h1><p>${escapeHtml(detail)}</p>`,
    '',
  );
}

/** The page for a person who waits. */
export function waitingBody(phase: string): string {
  const words: Readonly<Record<string, string>> = phaseWords();
  const said = Object.hasOwn(words, phase) ? words[phase]! : 'It is being made ready.';
  return document(
    'Your container is on its way',
    `<span class="mark" role="status">Please wait</span><h1>Your container is on its way</h1>` +
      `<p id="phase" aria-live="polite">${escapeHtml(said)}</p><div class="bar"><i></i></div><script>${script}</script>`,
    '<noscript><meta http-equiv="refresh" content="3"></noscript>',
  );
}

function phaseWords() {
  return {
    queued: 'It waits for its turn.',
    creating: 'It is being created.',
    starting: 'It has started, and its web server is getting ready.',
    asleep: 'It was asleep, and is waking up.',
    ready: 'It is ready.',
    stopping: 'It is being stopped.',
  };
}

function document(title: string, body: string, head: string): string {
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8">` +
    `<meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title>` +
    `<meta name="robots" content="noindex">${head}<style>${style}</style></head><body><main>${body}</main></body></html>\n`
  );
}

function hash(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

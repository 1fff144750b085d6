import Fastify from 'fastify';
import type { StaticRoute } from './static-routes.ts';

/**
 * The reference page for browsers, /docs. All that it needs comes from here: it works with no way to the internet,
 * and tells nobody who reads it. It needs no token, and shows what is the same in every installation.
 */
export function docsRoutes(): StaticRoute[] {
  let bundle: Promise<string> | null = null;
  return [
    {
      path: '/docs',
      access: null,
      answer: async () => ({ contentType: 'text/html; charset=utf-8', body: page, headers }),
    },
    {
      path: '/docs/start.js',
      access: null,
      answer: async () => ({ contentType: script, body: start, headers }),
    },
    {
      path: '/docs/scalar.js',
      access: null,
      async answer() {
        bundle ??= readBundle();
        const body = await bundle;
        return { contentType: script, body, headers: { ...headers, 'cache-control': 'max-age=3600' } };
      },
    },
  ];
}

const script = 'text/javascript; charset=utf-8';

/**
 * Its styles are made while it runs, so that inline ones must pass; no script but those from here does, and
 * nothing is fetched from, or sent to, anywhere else.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const headers = { 'content-security-policy': policy, 'referrer-policy': 'no-referrer' } as const;

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Docker Spawner API</title>
</head>
<body>
<div id="app"></div>
<noscript>This page needs JavaScript; the same is in <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/scalar.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const start = `Scalar.createApiReference('#app', {
  url: '/openapi.json',
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
});
`;

/**
 * The package has its script as four megabytes of text in a module, and gives it only through a server: loaded when
 * somebody opens the page, and not before.
 */
async function readBundle(): Promise<string> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const server = Fastify();
  await server.register(scalar, { routePrefix: '/docs', configuration: { url: '/openapi.json' } });
  const { statusCode, body } = await server.inject({ url: '/docs/js/scalar.js' });
  await server.close();
  if (statusCode !== 200) throw new Error('@scalar/fastify-api-reference has its script in another place');
  return body;
}

import { once } from 'node:events';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { ensureDemoImage } from '../../scripts/demo.mjs';
import { engineRequest } from '../../scripts/docker.mjs';
import { eventually } from '../support/eventually.ts';

const id = '0123456789abcdef0123456789abcdef';
const user = '<b>Ada & "friends"</b>';
let ref: string;
let port: number;

beforeAll(async () => {
  const image = await ensureDemoImage();
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  const created = await engine('POST', '/containers/create', {
    Image: image,
    Env: [`DEMO_ID=${id}`, `DEMO_USER=${user}`, `DEMO_EXPIRES_AT=${expires}`],
    HostConfig: {
      PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '0' }] },
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
    },
  });
  ref = created.Id;
  await engine('POST', `/containers/${ref}/start`);
  port = Number((await inspect()).NetworkSettings.Ports['80/tcp'][0].HostPort);
  await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200));
});

afterAll(async () => {
  await engine('DELETE', `/containers/${ref}?force=true`);
});

test('the page escapes what it shows, and its policy allows no script but its own', async () => {
  const response = await fetch(`http://127.0.0.1:${port}/`);
  const page = await response.text();
  expect(page).toContain(id);
  expect(page).not.toContain('<b>Ada');
  expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'nonce-/);
});

test('the WebSocket counts up by itself, and answers a ping', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`);
  const counts: number[] = [];
  socket.on('message', (data) => counts.push(JSON.parse(String(data)).count));
  await once(socket, 'open');
  const pong = once(socket, 'pong');
  socket.ping('are you there');
  expect(String((await pong)[0])).toBe('are you there');
  await eventually(() => expect(counts.length).toBeGreaterThanOrEqual(3));
  expect(counts.at(-1)).toBeGreaterThan(counts[0]!);
  const closed = once(socket, 'close');
  socket.close();
  expect((await closed)[0]).toBe(1000);
});

test('a browser sees at one look that HTTP, the subdomain and the WebSocket work, at any width and in the dark', async () => {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
  try {
    for (const [width, colorScheme] of [
      [1000, 'light'],
      [390, 'dark'],
    ] as const) {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
      const problems: string[] = [];
      page.on('console', (message) => problems.push(message.text()));
      page.on('pageerror', (error) => problems.push(error.message));
      await page.goto(`http://${id}.localhost:${port}/`);
      await page.waitForSelector('li.good#socket');
      expect(await page.locator('li.good').allTextContents()).toEqual(['HTTP', 'Own subdomain', 'WebSocket']);
      expect(await page.textContent('#user')).toBe(user);
      expect(await page.textContent('#left')).toMatch(/^(59|01:00):\d\d$/);
      expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
      expect(problems).toEqual([]);
      await page.close();
    }
  } finally {
    await browser.close();
  }
});

test('it ends by itself, with code 0, when it is asked to, and says goodbye to its viewers', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`);
  await once(socket, 'message');
  const closed = once(socket, 'close');
  await engine('POST', `/containers/${ref}/kill?signal=SIGTERM`);
  expect((await closed)[0]).toBe(1001);
  await eventually(async () =>
    expect((await inspect()).State).toMatchObject({ Running: false, ExitCode: 0 }),
  );
});

function inspect() {
  return engine('GET', `/containers/${ref}/json`);
}

async function engine(method: string, path: string, body?: object) {
  const headers = { 'content-type': 'application/json' };
  const call = body ? { headers, body: Buffer.from(JSON.stringify(body)) } : {};
  const answer = await engineRequest({ method, path, ...call });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.text === '' ? null : JSON.parse(answer.text);
}

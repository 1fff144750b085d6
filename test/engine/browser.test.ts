import { readFileSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { demoConfiguration, ensureDemoImage } from '../../scripts/demo.mjs';
import { eventually } from '../support/eventually.ts';
import { type RunningService, startService } from '../support/service.ts';

let service: RunningService;
let browser: Browser;

beforeAll(async () => {
  await ensureDemoImage();
  const { container_images } = parse(readFileSync(demoConfiguration, 'utf8'));
  service = await startService({ settings: { container_images, docker_timeout: '1h' } });
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
});

afterAll(async () => {
  await browser.close();
  await service[Symbol.asyncDispose]();
});

test('a person sees in the browser their own container: id, user, time left, and a counter that runs', async () => {
  const user = 'Ada <b>Lovelace</b> 🧮';
  const { status, body: id } = await service.spawn('demo', user);
  expect(status, id).toBe(200);
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('console', (message) => problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(error.message));

  await page.goto(`http://${service.hostOf(id)}/`);
  await page.waitForSelector('li.good#socket');
  expect(await page.locator('li.good').allTextContents()).toEqual(['HTTP', 'Own subdomain', 'WebSocket']);
  expect(await page.textContent('#id')).toBe(id);
  expect(await page.textContent('#user')).toBe(user);
  const left = await secondsLeft();
  expect(left).toBeGreaterThan(3500);
  expect(left).toBeLessThanOrEqual(3600);
  const count = await counter();
  await eventually(async () => expect(await counter()).toBeGreaterThan(count));
  await eventually(async () => expect(await secondsLeft()).toBeLessThan(left));
  expect(problems).toEqual([]);

  expect((await service.stop(id)).status).toBe(200);
  const gone = await page.goto(`http://${service.hostOf(id)}/`);
  expect(gone?.status()).toBe(404);
  expect(gone?.headers()['content-type']).toMatch(/^text\/html/);
  await page.close();

  async function counter(): Promise<number> {
    return Number(await page.textContent('#count'));
  }

  /** From `59:58` or `01:00:00`. */
  async function secondsLeft(): Promise<number> {
    const parts = (await page.textContent('#left'))!.split(':').map(Number);
    return parts.reduce((sum, part) => sum * 60 + part, 0);
  }
});

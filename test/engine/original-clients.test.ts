import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testImage } from '../support/images.ts';
import { type RunningService, startService } from '../support/service.ts';

const run = promisify(execFile);
const anId = /^[0-9a-f]{32}$/;

let service: RunningService;
let api: string;

beforeAll(async () => {
  const image = await testImage();
  service = await startService({ settings: { container_images: { web: image } } });
  api = `http://localhost:${service.api.port}`;
});

afterAll(() => service[Symbol.asyncDispose]());

describe('curl', () => {
  test.each([
    ['-d', 'ada'],
    ['-F', 'bob'],
  ])('spawns, finds, visits and stops with %s', async (option, user) => {
    const fields = [option, 'container_id=web', option, `user_id=${user}`];
    const id = await curl([...fields, `${api}/spawn`]);
    expect(id).toMatch(anId);
    expect(await curl(['-G', '-d', `user_id=${user}`, `${api}/get_container_hex`])).toBe(`${id}:web`);
    expect(await curl([option, `user_id=${user}`, `${api}/get_container_hex`])).toBe(`${id}:web`);
    // curl takes *.localhost for this machine by itself.
    expect(await curl([`http://${service.hostOf(id)}/`])).toContain('test image');
    expect(await curl([option, `container_hex=${id}`, `${api}/stop`])).toContain(id);
    const again = await curl(['-o', '/dev/null', '-w', '%{http_code}', `http://${service.hostOf(id)}/`]);
    expect(again).toBe('404');
  });

  async function curl(args: readonly string[]): Promise<string> {
    const { stdout } = await run('curl', ['-sS', '--noproxy', '*', '--max-time', '60', ...args]);
    return stdout;
  }
});

const python = spawnSync('python3', ['--version']).status === 0;
const withPython = python ? '' : ' (skipped: this machine has no python3)';

describe.skipIf(!python)(`Python's urllib${withPython}`, () => {
  test('spawns, finds and stops as the original’s users wrote it', async () => {
    const script = [
      'import json, sys, urllib.parse, urllib.request',
      'api = sys.argv[1]',
      'opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))',
      'def post(path, **fields):',
      '    body = urllib.parse.urlencode(fields).encode()',
      '    with opener.open(api + path, data=body, timeout=60) as answer:',
      '        return answer.read().decode()',
      "user = 'J\\u00fcrgen & friends'",
      "spawned = post('/spawn', container_id='web', user_id=user)",
      "query = urllib.parse.urlencode({'user_id': user})",
      "with opener.open(api + '/get_container_hex?' + query, timeout=60) as answer:",
      '    found = answer.read().decode()',
      "hex, image = found.split(':')",
      "stopped = post('/stop', container_hex=hex)",
      'try:',
      "    post('/stop', container_hex=hex)",
      '    status = 200',
      'except urllib.error.HTTPError as error:',
      '    status = error.code',
      'print(json.dumps([spawned, found, image, stopped, status]))',
    ].join('\n');
    const { stdout } = await run('python3', ['-c', script, api]);
    const [spawned, found, image, stopped, status] = JSON.parse(stdout);
    expect(spawned).toMatch(anId);
    expect(found).toBe(`${spawned}:web`);
    expect(image).toBe('web');
    expect(stopped).toContain(spawned);
    expect(status).toBe(400);
  });
});

describe('a form in a browser', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    });
  });

  afterAll(() => browser.close());

  test.each(['application/x-www-form-urlencoded', 'multipart/form-data'])(
    'on a page of the API’s own origin spawns, as %s',
    async (enctype) => {
      const { status, text } = await submit(`${api}/get_container_hex?user_id=x`, enctype, `own ${enctype}`);
      expect(status).toBe(200);
      expect(text).toMatch(anId);
      expect((await service.stop(text)).status).toBe(200);
    },
  );

  test('on a page of a foreign origin, or of a container, gets 403 and spawns nothing', async () => {
    const { body: id } = await service.spawn('web', 'page owner');
    const foreign = createServer((_request, response) => response.end('a page')).listen(0, '127.0.0.1');
    await once(foreign, 'listening');
    const { port } = foreign.address() as AddressInfo;
    try {
      for (const page of [
        `http://127.0.0.1:${port}/`,
        `http://foreign.localhost:${port}/`,
        `http://${service.hostOf(id)}/`,
      ]) {
        const { status, text } = await submit(page, 'application/x-www-form-urlencoded', 'lured');
        expect({ page, status }).toEqual({ page, status: 403 });
        expect(text).toContain('api_origins');
      }
      expect((await service.find('lured')).status).toBe(404);
    } finally {
      foreign.close();
      await service.stop(id);
    }
  });

  /** Opens a page, puts a form for `/spawn` into it, and sends it as a click on its button does. */
  async function submit(pageUrl: string, enctype: string, user: string) {
    const page = await browser.newPage();
    try {
      await page.goto(pageUrl);
      const form =
        `<form method="post" action="${api}/spawn" enctype="${enctype}">` +
        `<input name="container_id" value="web"><input name="user_id" value="${user}"><button>Go</button></form>`;
      await page.evaluate(`document.body.innerHTML = ${JSON.stringify(form)}`);
      const [response] = await Promise.all([
        page.waitForResponse((candidate) => candidate.url() === `${api}/spawn`),
        page.click('button'),
      ]);
      return { status: response.status(), text: await response.text() };
    } finally {
      await page.close();
    }
  }
});

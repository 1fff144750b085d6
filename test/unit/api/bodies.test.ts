import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { memoryTokens } from '../../support/memory-tokens.ts';
import { bodyOf, dial, exchange, formType, headOf, post, spawnBody, startApi, statusOf } from './support.ts';

describe('bodies', () => {
  const limitBytes = 64 * 1024;
  const padded = (bytes: number) => `${spawnBody}&x=`.padEnd(bytes, 'x');

  test('may have 64 KiB', async () => {
    const { url } = await startApi();
    expect((await post(`${url}/spawn`, padded(limitBytes))).status).toBe(200);
  });

  test.each([1, 1024 * 1024, 6 * 1024 * 1024])(
    'of %i bytes more are refused with 413, which the client sees',
    async (moreBytes) => {
      const { url, port, host, commands } = await startApi();
      const body = padded(limitBytes + moreBytes);
      const sent = await post(`${url}/spawn`, body);
      expect([sent.status, await sent.text()]).toEqual([413, 'The body is larger than 64 KiB']);
      const form = new FormData();
      form.append('container_id', body);
      expect((await post(`${url}/spawn`, form)).status).toBe(413);
      const chunked = headOf('POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked');
      const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
      const response = await exchange(port, chunked + chunk);
      expect(statusOf(response)).toBe(413);
      expect(response).toMatch(/\r\nconnection: close\r\n/i);
      expect(commands.calls).toEqual([]);
    },
  );

  test('that are too large are refused for a client, too, that reads only when it has sent all', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.pause();
    const body = padded(6 * 1024 * 1024);
    const head = headOf('POST /spawn', `Host: ${host}`, formType, `Content-Length: ${body.length}`);
    await new Promise((resolve) => socket.write(head + body, resolve));
    socket.resume();
    await socket.ended;
    expect(statusOf(socket.received())).toBe(413);
  });

  test('that break after their refusal get no second answer', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.write(headOf('POST /none', `Host: ${host}`, formType, 'Transfer-Encoding: chunked'));
    await eventually(() => expect(statusOf(socket.received())).toBe(404));
    socket.write('zz\r\n');
    await socket.ended;
    expect(socket.received().split('HTTP/1.1').length - 1).toBe(1);
  });

  test('are refused by their length, before they are sent', async () => {
    const { port, host } = await startApi();
    const socket = await dial(port);
    socket.write(headOf('POST /spawn', `Host: ${host}`, formType, 'Content-Length: 1000000000'));
    await eventually(() => expect(statusOf(socket.received())).toBe(413));
    expect(bodyOf(socket.received())).toBe('The body is larger than 64 KiB');
  });

  test('that a client goes on sending after a refusal end the connection in bounded time', async () => {
    const { port, host } = await startApi({ tokens: memoryTokens('secret') });
    const socket = await dial(port);
    socket.write(headOf('POST /spawn', `Host: ${host}`, formType, 'Content-Length: 1000000000'));
    const chunk = Buffer.alloc(256 * 1024);
    const pour = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pour);
    pour();
    await socket.ended;
    expect(statusOf(socket.received())).toBe(401);
    expect(socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
  });

  test('may be chunked', async () => {
    const { port, host, commands } = await startApi();
    const head = headOf('POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked');
    const chunks = [...spawnBody].map((char) => `1\r\n${char}\r\n`).join('');
    expect(statusOf(await exchange(port, `${head}${chunks}0\r\n\r\n`))).toBe(200);
    expect(commands.calls).toEqual([['spawn', 'web', 'bob']]);
  });

  test('with both framings, or a broken chunk, are refused with 400', async () => {
    const { port, host, commands } = await startApi();
    const chunked = ['POST /spawn', `Host: ${host}`, formType, 'Transfer-Encoding: chunked'] as const;
    const both = headOf(...chunked, 'Content-Length: 5');
    expect(statusOf(await exchange(port, `${both}0\r\n\r\n`))).toBe(400);
    expect(statusOf(await exchange(port, `${headOf(...chunked)}zz\r\n`))).toBe(400);
    expect(commands.calls).toEqual([]);
  });

  test.each([
    'application/json',
    'text/plain',
    'multipart/mixed; boundary=b',
    'nonsense',
    '/',
    'a/b; c=\x01',
  ])('of type %j are refused', async (type) => {
    const { port, host, commands } = await startApi();
    const length = `Content-Length: ${spawnBody.length}`;
    const head = headOf('POST /spawn', `Host: ${host}`, `Content-Type: ${type}`, length);
    expect([400, 415]).toContain(statusOf(await exchange(port, head + spawnBody)));
    expect(commands.calls).toEqual([]);
  });

  test('without a type are refused with 415', async () => {
    const { port, host } = await startApi();
    const head = headOf('POST /spawn', `Host: ${host}`, `Content-Length: ${spawnBody.length}`);
    expect(statusOf(await exchange(port, head + spawnBody))).toBe(415);
  });

  test('that end in the middle of a multipart part are refused with 400', async () => {
    const { url } = await startApi();
    const body = Buffer.from('--b\r\nContent-Disposition: form-data; name="user_id"\r\n\r\nbo');
    const response = await post(`${url}/spawn`, body, { 'content-type': 'multipart/form-data; boundary=b' });
    expect([response.status, await response.text()]).toEqual([
      400,
      'The multipart body cannot be read: it ends before the closing boundary',
    ]);
  });
});

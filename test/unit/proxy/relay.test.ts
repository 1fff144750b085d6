import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, rawContainer, rig } from './support/rig.ts';

const get = 'GET / HTTP/1.1\r\nHost: c.test\r\n\r\n';

/** Both ends of one exchange with a container that answers each complete head so. */
async function exchange(request: string, response: string): Promise<{ seen: string; answer: string }> {
  const container = await answering(response);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(request);
  await eventually(() => expect(container.received()).toMatch(/\r\n\r\n/));
  const end = 'GET /end HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n';
  if (!/Connection: close|HTTP\/1.0/.test(request)) client.send(end);
  await client.closed();
  client.socket.destroy();
  await own.settled();
  return { seen: container.received(), answer: client.text().split('HTTP/1.1 404')[0]! };
}

test('hop-by-hop fields, and those that Connection names, stop at the proxy on the way in', async () => {
  const { seen } = await exchange(
    'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Stays: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n' +
      'Proxy: http://evil.test\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nTrailer: x\r\n\r\n',
    ok,
  );
  expect(seen).toBe(
    'GET / HTTP/1.1\r\nHost: c.test\r\nX-Stays: 1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: c.test\r\n\r\n',
  );
});

test('hop-by-hop fields, and those that Connection names, stop at the proxy on the way out', async () => {
  const { answer } = await exchange(
    get,
    'HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok',
  );
  expect(answer).toBe('HTTP/1.1 200 OK\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok');
});

test('forwarding fields from outside are replaced, other spellings of them removed', async () => {
  const { seen } = await exchange(
    'GET / HTTP/1.1\r\nHost: c.test\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n' +
      'X-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Port: 6\r\n\r\n',
    ok,
  );
  expect(seen).toBe(
    'GET / HTTP/1.1\r\nHost: c.test\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: c.test\r\n\r\n',
  );
});

test('white space around values is made plain, and bytes above 127 pass unchanged', async () => {
  const { seen, answer } = await exchange(
    'GET / HTTP/1.1\r\nHost: \t c.test \t\r\nX:\xe9\xff\r\nY:\t1\r\n\r\n',
    'HTTP/1.1 200 \xe9\r\nContent-Length:2\r\nX:\t\xe9 \r\n\r\nok',
  );
  expect(seen).toMatch(/^GET \/ HTTP\/1.1\r\nHost: c.test\r\nX: \xe9\xff\r\nY: 1\r\n/);
  expect(answer).toBe('HTTP/1.1 200 \xe9\r\nX: \xe9\r\nContent-Length: 2\r\n\r\nok');
});

test('an absolute target is sent on in origin-form, OPTIONS * as it is', async () => {
  const close = 'Host: C.test\r\nConnection: close\r\n\r\n';
  expect((await exchange(`GET HTTP://c.TEST/a?b HTTP/1.1\r\n${close}`, ok)).seen).toMatch(/^GET \/a\?b HTTP/);
  expect((await exchange(`GET http://c.test?b HTTP/1.1\r\n${close}`, ok)).seen).toMatch(/^GET \/\?b HTTP/);
  expect((await exchange(`GET http://c.test HTTP/1.1\r\n${close}`, ok)).seen).toMatch(/^GET \/ HTTP/);
  expect((await exchange(`OPTIONS http://c.test HTTP/1.1\r\n${close}`, ok)).seen).toMatch(/^OPTIONS \* HTTP/);
  expect((await exchange(`OPTIONS * HTTP/1.1\r\n${close}`, ok)).seen).toMatch(/^OPTIONS \* HTTP/);
});

test('a few empty lines before a request are ignored', async () => {
  expect((await exchange(`\r\n\r\n${get}`, ok)).answer).toMatch(/ok$/);
});

test('GET, HEAD and DELETE may have a body with explicit framing', async () => {
  const container = await answering('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    client.send(`${method} / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\n\r\n<${method.slice(0, 2)}>`);
    await eventually(() => expect(container.received()).toContain(`Content-Length: 4\r\nX-Forwarded`));
    await eventually(() => expect(container.received()).toContain(`\r\n\r\n<${method.slice(0, 2)}>`));
  }
});

test('a chunked body is chunked anew: small chunks gathered, extensions and trailers gone', async () => {
  const { seen } = await exchange(
    'POST / HTTP/1.1\r\nHost: c.test\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n1;a=b\r\na\r\n02\r\nbc\r\n3;x="y z"\r\ndef\r\n0\r\nX-Trailer: 1\r\n\r\n',
    ok,
  );
  expect(seen).toMatch(/\r\nTransfer-Encoding: chunked\r\n[\s\S]*\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n$/);
  expect(seen).not.toContain('Trailer');
});

test('a chunked response is chunked for HTTP/1.1, and ends with the connection for HTTP/1.0', async () => {
  const response =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nX-T: 1\r\n\r\n';
  expect((await exchange(get, response)).answer).toBe(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n',
  );
  expect((await exchange('GET / HTTP/1.0\r\nHost: c.test\r\n\r\n', response)).answer).toBe(
    'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdef',
  );
});

test('a response that ends with the container’s connection becomes chunked, so that its end is told from a break', async () => {
  const container = await rawContainer(
    (socket) => void socket.end('HTTP/1.0 200 OK\r\nX: 1\r\n\r\nall of it'),
  );
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(get);
  expect(await client.sees('0\r\n\r\n')).toBe(
    'HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n',
  );
  client.send('GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n');
  await client.sees('404');
});

test('an HTTP/1.0 client that asks for it keeps its connection where the length is known', async () => {
  const container = await answering(ok);
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  const old = 'GET / HTTP/1.0\r\nHost: c.test\r\nConnection: keep-alive\r\n\r\n';
  client.send(old);
  expect(await client.sees('ok')).toContain('Connection: keep-alive\r\n');
  client.send(old);
  await eventually(() => expect(client.text().match(/ok/g)).toHaveLength(2));
  expect(await own.ask('GET / HTTP/1.0\r\nHost: c.test\r\n\r\n')).toMatch(/Connection: close\r\n\r\nok$/);
});

test('HEAD, 204 and 304 keep what they say of the body they do not have', async () => {
  expect(
    (
      await exchange(
        'HEAD / HTTP/1.1\r\nHost: c.test\r\n\r\n',
        'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
      )
    ).answer,
  ).toBe('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n');
  expect(
    (await exchange(get, 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: "x"\r\n\r\n')).answer,
  ).toBe('HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n');
  expect((await exchange(get, 'HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n')).answer).toBe(
    'HTTP/1.1 204 No Content\r\n\r\n',
  );
});

test('a 100 reaches a client that waits for it, once, and no other; 103 reaches HTTP/1.1 only', async () => {
  const interim =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n';
  const container = await answering(interim + ok);
  const own = await rig();
  own.route('c.test', container.port);
  const expecting = await own.client();
  expecting.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n');
  await expecting.sees('100 Continue');
  expect(container.received()).toMatch(/Expect: 100-continue\r\n[\s\S]*\r\n\r\n$/);
  const close = 'Host: c.test\r\nConnection: close\r\n\r\n';
  expect(await own.ask(`GET / HTTP/1.1\r\n${close}`)).toMatch(
    /^HTTP\/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP\/1.1 200/,
  );
  expect(await own.ask(`GET / HTTP/1.0\r\n${close}`)).toMatch(/^HTTP\/1.1 200/);
  expect(await own.ask(`GET / HTTP/1.1\r\nExpect: 100-continue\r\n${close}`)).toMatch(/^HTTP\/1.1 103/);
  expect(expecting.text().match(/100 Continue/g)).toHaveLength(1);
});

test('the body follows a 100, and the answer comes', async () => {
  const container = await rawContainer((socket, text) => {
    if (text.endsWith('\r\n\r\n')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    if (text.endsWith('body')) socket.write(ok);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
  await client.sees('HTTP/1.1 100 Continue\r\n\r\n');
  client.send('body');
  await client.sees(/\r\n\r\nHTTP\/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok$/);
});

test('a client that only ends its side after its request gets the response, then the end', async () => {
  let answer = () => {};
  const container = await rawContainer((socket) => {
    answer = () => void socket.write(ok);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.socket.end(get);
  await eventually(() => expect(container.received()).toContain('\r\n\r\n'));
  // It is asked whether it is still there, and its system does not object.
  await client.sees('HTTP/1.1 102 Processing\r\n\r\n');
  answer();
  expect(await client.sees('ok')).toMatch(/HTTP\/1.1 200 OK/);
  expect(await client.closed()).toBe('end');
  await own.settled();
});

test.each(['destroy', 'resetAndDestroy'] as const)(
  'a client that leaves (%s) ends the container’s connection within a second, whatever it waited for',
  async (leave) => {
    const container = await rawContainer((socket, text) => {
      if (text.includes('/stream')) socket.write('HTTP/1.1 200 OK\r\n\r\ndata');
    });
    const own = await rig({ tickMs: 50 });
    own.route('c.test', container.port);
    const waiting = await own.client();
    waiting.send('GET /never HTTP/1.1\r\nHost: c.test\r\n\r\n');
    const streaming = await own.client();
    streaming.send('GET /stream HTTP/1.1\r\nHost: c.test\r\n\r\n');
    await streaming.sees('data');
    const sending = await own.client();
    sending.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 100\r\n\r\nhalf');
    await eventually(() => expect(container.received()).toContain('half'));
    await eventually(() => expect(container.open()).toBe(3));
    const left = performance.now();
    for (const client of [waiting, streaming, sending]) client.socket[leave]();
    await eventually(() => expect(container.open()).toBe(0));
    expect(performance.now() - left).toBeLessThan(1500);
    await own.settled();
  },
);

test('a container that closed an unused connection is asked again for GET, and not for POST', async () => {
  let closing = false;
  const container = await rawContainer((socket, text) => {
    const heads = text.split('\r\n\r\n').length - 1;
    if (heads === 1) socket.write(ok);
    else if (closing) socket.destroy();
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(get);
  await client.sees('ok');
  closing = true;
  client.send(get);
  await eventually(() => expect(client.text().match(/ok/g)).toHaveLength(2));
  expect(container.sockets).toHaveLength(2);
  client.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 0\r\n\r\n');
  await client.sees('502');
  expect(container.sockets).toHaveLength(2);
});

test('a PUT whose body is used up is not sent again', async () => {
  const container = await rawContainer((socket, text) => {
    const heads = text.split('\r\n\r\n').length - 1;
    if (heads === 1) socket.write(ok);
    else socket.destroy();
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(get);
  await client.sees('ok');
  client.send('PUT / HTTP/1.1\r\nHost: c.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
  await client.sees('502');
  expect(container.sockets).toHaveLength(1);
});

test('a request is not sent again once a byte of the answer was seen', async () => {
  const container = await rawContainer((socket, text) => {
    const heads = text.split('\r\n\r\n').length - 1;
    if (heads === 1) socket.write(ok);
    else socket.end('HTTP/1.1 200');
  });
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send(get);
  await client.sees('ok');
  client.send(get);
  await client.sees('502');
  expect(container.sockets).toHaveLength(1);
});

test('connections are never shared between containers that have the same address one after the other', async () => {
  const container = await answering(ok);
  const own = await rig();
  own.route('c.test', container.port, 'first');
  const client = await own.client();
  client.send(get);
  await client.sees('ok');
  own.route('c.test', container.port, 'second');
  client.send(get);
  await eventually(() => expect(client.text().match(/ok/g)).toHaveLength(2));
  expect(container.sockets).toHaveLength(2);
});

test('activity is told per container: requests, bytes each way, and when the last byte passed', async () => {
  const container = await answering(ok);
  const own = await rig();
  own.route('c.test', container.port, 'the-id');
  await own.ask('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello');
  await own.proxy.release('the-id');
  const sum = { requestsOpened: 0, requestsClosed: 0, bytesFromClient: 0, bytesFromContainer: 0 };
  for (const { id, delta } of own.notes) {
    expect(id).toBe('the-id');
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += delta[key];
    expect(delta.lastByteMonoMs).toBeGreaterThan(0);
  }
  expect(sum).toEqual({
    requestsOpened: 1,
    requestsClosed: 1,
    bytesFromClient: container.received().length,
    bytesFromContainer: ok.length,
  });
});

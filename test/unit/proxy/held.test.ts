import { expect, test } from 'vitest';
import { type Route, WakeError } from '../../../src/proxy/waist.ts';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, rawContainer, readyRoute, rig } from './support/rig.ts';

test('a program’s request is held, body unread, until the container is ready, and then answered', async () => {
  const container = await answering(ok);
  const { wait, client, onWake, proxy } = await rig();
  wait('c.test');
  let wakes = 0;
  let ready = (_: Route) => {};
  onWake(() => {
    wakes++;
    return new Promise((resolve) => {
      ready = resolve;
    });
  });
  const program = await client();
  program.send('POST / HTTP/1.1\r\nHost: c.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
  await eventually(() => expect(proxy.stats().heldRequests).toBe(1));
  program.send('bodyGET /next HTTP/1.1\r\nHost: c.test\r\n\r\n');
  expect(container.sockets).toHaveLength(0);
  expect(program.text()).toBe('');
  expect(wakes).toBe(1);
  ready(readyRoute('c.test', container.port));
  await eventually(() => expect(container.received()).toMatch(/POST \/[\s\S]*\r\n\r\nbody/));
  await program.sees('ok');
});

test('the time a request may be held no longer counts once its container is ready', async () => {
  const container = await rawContainer(() => {});
  const { wait, client, onWake } = await rig({ limits: { holdTimeoutMs: 60 } });
  wait('c.test');
  wait('never.test');
  onWake((id) =>
    id === 'c.test' ? Promise.resolve(readyRoute('c.test', container.port)) : new Promise(() => {}),
  );
  const program = await client();
  program.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(container.received()).toMatch(/\r\n\r\n$/));
  // Held later, so when this one is too late the first one's time was over before.
  const later = await client();
  later.send('GET / HTTP/1.1\r\nHost: never.test\r\n\r\n');
  await later.sees('503');
  container.sockets[0]!.write(ok);
  // Without an interim response, which would ask a client that never ended its side whether it is there.
  expect(await program.sees(/ok$/)).toMatch(/^HTTP\/1.1 200 /);
});

test('a browser gets the waiting page at once, and its container is woken in the background', async () => {
  const { wait, client, onWake } = await rig();
  wait('c.test', 'asleep');
  let wakes = 0;
  onWake(() => {
    wakes++;
    return new Promise(() => {});
  });
  const browser = await client();
  const ask = 'GET / HTTP/1.1\r\nHost: c.test\r\nAccept: text/html,*/*;q=0.8\r\n\r\n';
  browser.send(ask);
  const page = await browser.sees('</html>');
  expect(page).toMatch(/^HTTP\/1.1 503 /);
  expect(page).toMatch(/Retry-After: \d/);
  expect(page).toMatch(/Cache-Control: no-store/);
  expect(page).toContain('It was asleep, and is waking up.');
  browser.send(ask);
  await eventually(() => expect(browser.text().match(/<\/html>/g)).toHaveLength(2));
  expect(wakes).toBe(1);
});

test('a browser whose container could not be woken is told why, and asks for it again', async () => {
  const { wait, client, onWake } = await rig();
  wait('c.test', 'asleep');
  let wakes = 0;
  onWake(() => {
    wakes++;
    return Promise.reject(new WakeError('All places are taken <now>.', 7));
  });
  const browser = await client();
  await eventually(() => {
    browser.send('GET / HTTP/1.1\r\nHost: c.test\r\nAccept: text/html\r\n\r\n');
    expect(browser.text()).toContain('All places are taken &#60;now&#62;.');
  });
  expect(wakes).toBeGreaterThan(1);
});

test('a wake that fails becomes 503 with Retry-After and its message', async () => {
  const { wait, ask, onWake } = await rig();
  wait('c.test');
  onWake(() => Promise.reject(new WakeError('All places are taken.', 7)));
  const answer = await ask('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1.1 503 /);
  expect(answer).toMatch(/Retry-After: 7\r\n/);
  expect(answer).toContain('All places are taken.');
});

test('a hold ends with 503 when its time is over, and the wake’s signal fires', async () => {
  const { wait, ask, onWake, settled } = await rig({ limits: { holdTimeoutMs: 30 } });
  wait('c.test');
  let signal: AbortSignal | null = null;
  onWake((_, given) => {
    signal = given;
    return new Promise(() => {});
  });
  const answer = await ask('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1.1 503 [\s\S]*Retry-After/);
  expect(signal!.aborted).toBe(true);
  await settled();
});

test('a client that leaves while it is held ends its own hold only', async () => {
  const container = await answering(ok);
  const { wait, client, onWake, proxy, settled } = await rig();
  wait('c.test');
  const signals: AbortSignal[] = [];
  const readies: ((route: Route) => void)[] = [];
  onWake((_, signal) => {
    signals.push(signal);
    return new Promise((resolve) => readies.push(resolve));
  });
  const one = await client();
  const two = await client();
  const request = 'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n';
  one.send(request);
  await eventually(() => expect(proxy.stats().heldRequests).toBe(1));
  two.send(request);
  await eventually(() => expect(proxy.stats().heldRequests).toBe(2));
  one.socket.resetAndDestroy();
  await eventually(() => expect(proxy.stats().heldRequests).toBe(1));
  expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
  readies[1]!(readyRoute('c.test', container.port));
  await two.sees('ok');
  two.socket.destroy();
  await settled();
});

test('a held client that has gone is noticed before its time is over; one that only ended its side is not', async () => {
  const container = await answering(ok);
  const { wait, client, onWake, proxy } = await rig();
  wait('c.test');
  const readies: ((route: Route) => void)[] = [];
  onWake(() => new Promise((resolve) => readies.push(resolve)));
  const gone = await client();
  const ended = await client();
  gone.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(readies).toHaveLength(1));
  ended.socket.end('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(proxy.stats().heldRequests).toBe(2));
  gone.socket.destroy();
  await eventually(() => expect(proxy.stats().heldRequests).toBe(1));
  await ended.sees('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n');
  readies[1]!(readyRoute('c.test', container.port));
  await ended.sees('ok');
  expect(await ended.closed()).toBe('end');
});

test('the status of a waiting container can be read, and changes when it is ready', async () => {
  const container = await answering(ok);
  const { wait, route, ask } = await rig();
  wait('c.test', 'creating');
  const status = 'GET /.docker-spawner/status HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n';
  expect(await ask(status)).toMatch(/no-store[\s\S]*\{"state":"waiting","phase":"creating"\}$/);
  route('c.test', container.port);
  expect(await ask(status)).toMatch(/\{"state":"ready","phase":"ready"\}$/);
});

test('releasing a container ends its requests, tunnels, held requests and unused connections', async () => {
  const container = await rawContainer((socket, text) => {
    const last = text.slice(text.lastIndexOf('GET '));
    if (last.includes('/answer')) socket.write(ok);
    if (last.includes('/stream')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    if (last.includes('/tunnel'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhi');
  });
  const { route, wait, client, proxy, onWake, settled } = await rig();
  route('c.test', container.port, 'c');
  wait('w.test', 'starting', 'c');
  onWake(() => new Promise(() => {}));
  const clients = await Promise.all([client(), client(), client(), client(), client()]);
  const [used, streaming, tunnel, silent, held] = clients as [
    (typeof clients)[0],
    (typeof clients)[0],
    (typeof clients)[0],
    (typeof clients)[0],
    (typeof clients)[0],
  ];
  used.send('GET /answer HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await used.sees('ok');
  streaming.send('GET /stream HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await streaming.sees('half');
  tunnel.send('GET /tunnel HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
  await tunnel.sees('hi');
  silent.send('GET /silent HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(container.received()).toContain('/silent'));
  held.send('GET / HTTP/1.1\r\nHost: w.test\r\n\r\n');
  await eventually(() =>
    expect(proxy.stats()).toMatchObject({ heldRequests: 1, openTunnels: 1, openRequests: 3 }),
  );
  await proxy.release('c');
  expect(proxy.stats()).toMatchObject({
    upstreamConnections: 0,
    openTunnels: 0,
    heldRequests: 0,
    openRequests: 0,
  });
  expect(await streaming.closed()).toBe('reset');
  expect(await tunnel.closed()).toBe('reset');
  await silent.sees(/^HTTP\/1.1 502 /);
  await held.sees(/^HTTP\/1.1 50\d /);
  await eventually(() => expect(container.open()).toBe(0));
  for (const each of clients) each.socket.destroy();
  await settled();
});

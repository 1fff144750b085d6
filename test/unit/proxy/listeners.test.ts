import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { accessLogFile, createProxy } from '../../../src/proxy/proxy.ts';
import { eventually } from '../../support/eventually.ts';
import { answering, ok, rawClient, rawContainer, rig } from './support/rig.ts';

const get = 'GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'proxy-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Makes a certificate for the names with the openssl of the system. */
function certificate(into: string, name: string, names: readonly string[]) {
  const certFile = join(into, `${name}.crt`);
  const keyFile = join(into, `${name}.key`);
  execFileSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${names.map((each) => `DNS:${each}`).join()}`],
      ...['-keyout', keyFile, '-out', certFile],
    ],
    { stdio: 'ignore' },
  );
  return { certFile, keyFile };
}

async function tlsClient(port: number, servername?: string): Promise<TLSSocket> {
  const socket = tlsConnect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ALPNProtocols: ['h2', 'http/1.1'],
    ...(servername ? { servername } : {}),
  });
  onTestFinished(() => void socket.destroy());
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return socket;
}

async function talk(socket: TLSSocket, request: string): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const end = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  socket.write(request);
  await end;
  return text;
}

test('TLS serves the certificate of the name: exact before wildcard, without regard to case, else the first', async () => {
  const path = folder();
  const certificates = [
    certificate(path, 'first', ['first.test']),
    certificate(path, 'wild', ['*.Wild.test']),
    certificate(path, 'exact', ['exact.wild.test']),
  ];
  const container = await answering(ok);
  const own = await rig({ certificates });
  own.route('c.test', container.port);
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true });
  const cases = [
    [undefined, 'first'],
    ['unknown.test', 'first'],
    ['a.wild.test', 'wild'],
    ['A.WILD.Test', 'wild'],
    ['a.b.wild.test', 'first'],
    ['exact.wild.test', 'exact'],
  ] as const;
  for (const [name, expected] of cases) {
    const socket = await tlsClient(port, name);
    expect(socket.getPeerCertificate().subject.CN, name).toBe(expected);
    expect(socket.alpnProtocol).toBe('http/1.1');
    expect(await talk(socket, get)).toMatch(/ok$/);
  }
  expect(container.received()).toContain('X-Forwarded-Proto: https');
  await own.settled();
});

test('changed certificate files are used for new connections, and broken ones are not', async () => {
  const path = folder();
  const used = certificate(path, 'used', ['a.test']);
  const next = certificate(path, 'next', ['a.test']);
  const own = await rig({ certificates: [used], certificatePollMs: 20 });
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true });
  const old = await tlsClient(port, 'a.test');
  copyFileSync(next.certFile, used.certFile);
  // Now the key does not belong to it; nothing changes until it does.
  expect((await tlsClient(port, 'a.test')).getPeerCertificate().subject.CN).toBe('used');
  copyFileSync(next.keyFile, used.keyFile);
  utimesSync(used.keyFile, new Date(), new Date(Date.now() + 5000));
  await eventually(async () => {
    expect((await tlsClient(port, 'a.test')).getPeerCertificate().subject.CN).toBe('next');
  });
  expect(await talk(old, 'GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n')).toMatch(
    /^HTTP\/1.1 404/,
  );
});

test('a file that is no certificate stops the listener from opening, by name', async () => {
  const path = folder();
  const { certFile } = certificate(path, 'one', ['a.test']);
  const own = await rig({ certificates: [{ certFile, keyFile: certFile }] });
  await expect(own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true })).rejects.toThrow(certFile);
});

test('plain bytes on the TLS port, and a handshake that stalls, cost nothing', async () => {
  const path = folder();
  const own = await rig({
    certificates: [certificate(path, 'a', ['a.test'])],
    limits: { requestHeadMs: 100 },
  });
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true });
  const plain = await rawClient(port);
  plain.send(get);
  await plain.closed();
  const stalled = await rawClient(port);
  stalled.send('\x16\x03');
  await stalled.closed();
  plain.socket.destroy();
  stalled.socket.destroy();
  await own.settled();
});

test('WebSockets and truncated bodies work through TLS', async () => {
  const path = folder();
  const container = await rawContainer((socket, text) => {
    if (text.includes('Upgrade')) {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello');
      if (text.endsWith('ping')) socket.write('pong');
    } else {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    }
  });
  const own = await rig({ certificates: [certificate(path, 'a', ['a.test'])] });
  own.route('c.test', container.port);
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true });
  const socket = await tlsClient(port);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nping');
  await eventually(() => expect(text).toMatch(/101 [\s\S]*hello[\s\S]*pong/));
  socket.destroy();
  const other = await tlsClient(port);
  other.on('error', () => {});
  expect(await talk(other, get)).toMatch(/half$/);
  await own.settled();
});

test('plain requests for a known host are sent to https where that is asked for', async () => {
  const own = await rig();
  own.route('c.test', 1);
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { redirectToHttpsPort: 8443 });
  const client = await rawClient(port);
  client.send('POST /a?b HTTP/1.1\r\nHost: C.test:80\r\nContent-Length: 0\r\n\r\n');
  await client.sees(/^HTTP\/1.1 308 [\s\S]*\r\nLocation: https:\/\/c.test:8443\/a\?b\r\n/);
  client.send('GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n');
  await client.sees('404');
});

test('the PROXY header of a configured balancer says whom a connection is from, in both versions', async () => {
  const container = await answering(ok);
  const own = await rig({ proxyProtocolFrom: ['127.0.0.0/8'] });
  own.route('c.test', container.port);
  const block = (command: number, family: number, addresses: string) => {
    const bytes = Buffer.from(addresses, 'hex');
    const length = Buffer.from([bytes.length >> 8, bytes.length & 255]);
    return Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
      Buffer.from([0x20 | command, family]),
      length,
      bytes,
    ]).toString('latin1');
  };
  const cases = [
    ['PROXY TCP4 203.0.113.7 192.0.2.1 1234 80\r\n', '203.0.113.7'],
    ['PROXY TCP6 2001:db8::7 2001:db8::1 1234 80\r\n', '2001:db8::7'],
    ['PROXY UNKNOWN\r\n', '127.0.0.1'],
    [block(1, 0x11, 'cb007107c000020104d20050'), '203.0.113.7'],
    [block(1, 0x21, `20010db8${'0'.repeat(22)}07${'0'.repeat(32)}04d20050`), '2001:db8::7'],
    [block(0, 0, ''), '127.0.0.1'],
    [block(1, 0x11, 'cb007107c000020104d20050030004aabbccdd'), '203.0.113.7'],
  ] as const;
  for (const [header, address] of cases) {
    const client = await own.client();
    // A byte at a time first, so that the header is cut at every place.
    for (const byte of header) client.send(byte);
    client.send(get);
    await client.sees('ok');
    expect(container.received()).toMatch(new RegExp(`X-Forwarded-For: ${address}\\r\\n[\\s\\S]*$`));
    client.socket.destroy();
  }
  for (const bad of [
    get,
    'PROXY TCP4 1.2.3.4\r\n',
    'PROXY TCP4 ::1 ::1 1 1\r\n',
    `PROXY ${'x'.repeat(200)}`,
    block(1, 0x11, 'cb00'),
    '\r\n\r\nGET',
  ]) {
    const client = await own.client();
    client.send(bad);
    await client.closed();
    expect(client.text()).toBe('');
    client.socket.destroy();
  }
  await own.settled();
});

test('the PROXY header may come before TLS', async () => {
  const path = folder();
  const container = await answering(ok);
  const own = await rig({
    proxyProtocolFrom: ['127.0.0.1'],
    certificates: [certificate(path, 'a', ['a.test'])],
  });
  own.route('c.test', container.port);
  const { port } = await own.proxy.listen({ host: '127.0.0.1', port: 0 }, { tls: true });
  const raw = await rawClient(port);
  raw.socket.removeAllListeners('data');
  raw.send('PROXY TCP4 203.0.113.7 192.0.2.1 1234 80\r\n');
  const socket = tlsConnect({ socket: raw.socket, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  expect(await talk(socket, get)).toMatch(/ok$/);
  expect(container.received()).toMatch(/X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https/);
});

test('two TLS connections from one address and port, to two of ours, are not taken for each other', async () => {
  const path = folder();
  const container = await answering(ok);
  const own = await rig({
    proxyProtocolFrom: ['127.0.0.1'],
    certificates: [certificate(path, 'a', ['a.test'])],
  });
  own.route('c.test', container.port);
  const { port } = await own.proxy.listen({ host: '0.0.0.0', port: 0 }, { tls: true });
  const open = async (host: string, localPort?: number) => {
    const socket = connect({ port, host, localAddress: '127.0.0.1', ...(localPort && { localPort }) });
    onTestFinished(() => void socket.destroy());
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket;
  };
  const sockets = [await open('127.0.0.1')];
  sockets.push(await open('127.0.0.2', sockets[0]!.localPort));
  for (const [i, socket] of sockets.entries())
    socket.write(`PROXY TCP4 203.0.113.${i + 1} 192.0.2.1 1234 80\r\n`);
  const secured = sockets.map((socket) => tlsConnect({ socket, rejectUnauthorized: false }));
  await Promise.all(
    secured.map(
      (socket) =>
        new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)),
    ),
  );
  await talk(secured[0]!, get);
  await talk(secured[1]!, get);
  expect(container.received()).toMatch(
    /X-Forwarded-For: 203.0.113.1\r\n[\s\S]*X-Forwarded-For: 203.0.113.2\r\n/,
  );
});

test('a PROXY header from anybody else is a bad request', async () => {
  const own = await rig();
  expect(await own.ask(`PROXY TCP4 203.0.113.7 192.0.2.1 1234 80\r\n${get}`)).toMatch(/^HTTP\/1.1 400/);
});

test('the forwarding fields of a trusted proxy are continued', async () => {
  const container = await answering(ok);
  const own = await rig({ trustedProxies: ['127.0.0.0/8'] });
  own.route('c.test', container.port);
  await own.ask(
    'GET / HTTP/1.1\r\nHost: c.test\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 198.51.100.2\r\nX-Forwarded-Proto: https\r\n' +
      'X-Forwarded-Host: public.test\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\nConnection: close\r\n\r\n',
  );
  expect(container.received()).toBe(
    'GET / HTTP/1.1\r\nHost: c.test\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n' +
      'X-Forwarded-For: 203.0.113.7, 198.51.100.2, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.test\r\n\r\n',
  );
});

test('an address range that is none is refused by name', () => {
  for (const text of ['10.0.0.0/33', 'example.com', '10.0.0.0/x', '1.2.3.4/8/8', '::1/129']) {
    expect(() =>
      createProxy({
        waist: {
          routes: { version: 0, get: () => undefined },
          noteActivity: () => {},
          wake: () => Promise.reject(new Error()),
        },
        log: { warn: () => {}, error: () => {} },
        trustedProxies: [text],
      }),
    ).toThrow(text);
  }
});

test('the access log has one JSON line for each request, without the query', async () => {
  const path = join(folder(), 'access.log');
  const container = await answering(ok);
  const own = await rig({ accessLog: accessLogFile(path) });
  own.route('c.test', container.port, 'the-id');
  await own.ask(
    'POST /path?secret=1 HTTP/1.1\r\nHost: c.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc',
  );
  await own.ask('GET / HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n');
  const lines = await eventually(() => {
    const all = readFileSync(path, 'utf8').trim().split('\n');
    expect(all).toHaveLength(2);
    return all.map((line) => JSON.parse(line));
  });
  expect(lines[0]).toMatchObject({
    client: '127.0.0.1',
    host: 'c.test',
    id: 'the-id',
    method: 'POST',
    path: '/path',
    status: 200,
    requestBytes: 3,
    responseBytes: 2,
  });
  expect(lines[1]).toMatchObject({ host: 'unknown.test', id: null, status: 404 });
  expect(lines[0].durationMs).toBeGreaterThan(0);
});

test('draining closes unused connections at once, lets responses finish, and ends the rest when its time is over', async () => {
  const asked = new Map<string, Socket>();
  const container = await rawContainer((socket, text) => {
    const path = text.slice(text.lastIndexOf('GET ') + 4).split(' ', 1)[0]!;
    asked.set(path, socket);
    if (path === '/slow') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha');
    if (path === '/used') socket.write(ok);
  });
  const own = await rig();
  own.route('c.test', container.port);
  const used = await own.client();
  used.send('GET /used HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await used.sees('ok');
  const untouched = await own.client();
  const late = await own.client();
  late.send('GET /late HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(asked.has('/late')).toBe(true));
  const slow = await own.client();
  slow.send('GET /slow HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await slow.sees('ha');
  const never = await own.client();
  never.send('GET /never HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await eventually(() => expect(asked.has('/never')).toBe(true));
  const drained = own.proxy.drain(300);
  await Promise.all([used.closed(), untouched.closed()]);
  asked.get('/slow')!.write('lf');
  await slow.sees(/half$/);
  asked.get('/late')!.write(ok);
  expect(await late.sees('ok')).toContain('Connection: close\r\n');
  for (const client of [used, untouched, late, slow]) client.socket.destroy();
  await drained;
  expect(await never.closed()).toBe('reset');
  expect(own.proxy.stats()).toEqual({
    clientConnections: 0,
    upstreamConnections: 0,
    openRequests: 0,
    heldRequests: 0,
    openTunnels: 0,
  });
});

test('draining with no time ends what is under way', async () => {
  const container = await rawContainer(
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha'),
  );
  const own = await rig();
  own.route('c.test', container.port);
  const client = await own.client();
  client.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
  await client.sees('ha');
  await own.proxy.drain(0);
  expect(await client.closed()).toBe('reset');
  expect(own.proxy.stats()).toEqual({
    clientConnections: 0,
    upstreamConnections: 0,
    openRequests: 0,
    heldRequests: 0,
    openTunnels: 0,
  });
});

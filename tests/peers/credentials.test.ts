import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import type http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { listen, peerCredentials, type Credentials, type SocketAddressError } from 'reuseaddr';
import { kinds } from '../server/kinds.js';
import { temporaryDirectory } from '../support/directory.js';
import { abstractName } from '../support/abstract.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { asUser, visit } from './clients.js';

const self = { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() };

function ownGroups(): readonly number[] {
  return (/^Groups:(.*)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '')
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
}

/**
 * A socket of each kind, from what the server's own event gives: the event, and the way from it to
 * the socket.
 */
const events: Readonly<Record<string, readonly [event: string, socketOf: (given: never) => net.Socket | http2.Http2Session]>> = {
  net: ['connection', (socket: net.Socket) => socket],
  tls: ['secureConnection', (socket: net.Socket) => socket],
  http: ['request', (request: http.IncomingMessage) => request.socket],
  https: ['request', (request: http.IncomingMessage) => request.socket],
  http2: ['session', (session: http2.Http2Session) => session],
  'http2, secure': ['session', (session: http2.Http2Session) => session],
};

for (const [name, [event, socketOf]] of Object.entries(events)) {
  test(`${name}: whom the server’s own event tells of → the pid, uid, gid and groups of the client`, onLinux, async (t) => {
    const kind = kinds[name]!;
    const server = kind.create('hello');
    const path = `${temporaryDirectory(t)}/app.sock`;
    await using _claim = await listen(server, path);
    const told: Credentials[] = [];
    server.prependListener(event as 'connection', (given: unknown) => told.push(peerCredentials(socketOf(given as never))));
    assert.equal(await kind.request(path), 'hello');
    assert.deepEqual(told, [{ ...self, groups: ownGroups() }]);
  });
}

test('http2 compatibility: the socket of a request, and its session → the client', async (t) => {
  const told: Credentials[] = [];
  const server = http2.createServer((request, response) => {
    told.push(peerCredentials(request.stream.session!), peerCredentials(request.socket));
    response.end('hello');
  });
  const path = `${temporaryDirectory(t)}/app.sock`;
  await using _claim = await listen(server, path);
  assert.equal(await kinds['http2']!.request(path), 'hello');
  assert.deepEqual(
    told.map(({ pid }) => pid),
    [process.pid, process.pid],
  );
});

test('a client asks for its server’s credentials → pid and uid of the process that called listen(2)', async (t) => {
  for (const address of [`${temporaryDirectory(t)}/app.sock`, abstractName().address]) {
    const server = net.createServer((connection) => connection.end());
    await using _claim = await listen(server, address);
    const client = net.connect(address.replace(/^@/, '\0'));
    await once(client, 'connect');
    const { pid, uid } = peerCredentials(client);
    assert.deepEqual([pid, uid], [self.pid, self.uid]);
    client.destroy();
  }
});

test('a client of another user, with supplementary groups → they are all told', asRoot, async (t) => {
  const path = `${temporaryDirectory(t, 0o755)}/app.sock`;
  const server = net.createServer((connection) => {
    const { uid, gid, groups } = peerCredentials(connection);
    connection.end(JSON.stringify({ uid, gid, groups }));
  });
  await using _claim = await listen(server, path, { mode: 0o666 });
  const groups = Array.from({ length: 100 }, (_, i) => 70_000 + i);
  assert.deepEqual(JSON.parse(await visit(path, asUser({ ...stranger, groups }))), { ...stranger, groups });
  assert.deepEqual(JSON.parse(await visit(path, asUser(stranger))), { ...stranger, groups: [] });
});

function refusal(connection: net.Socket | http2.Http2Session): Partial<SocketAddressError> {
  try {
    peerCredentials(connection);
  } catch (error) {
    const { name, code, reason, syscall, message } = error as SocketAddressError;
    return { name, code, reason, syscall, message };
  }
  return {};
}

function because(code: string, why: string): Partial<SocketAddressError> {
  const message = `Cannot tell which process is at the other end: ${why}`;
  return { name: 'SocketAddressError', code, reason: 'no-credentials', syscall: 'getsockopt', message };
}

const closed = because(
  'ENOTCONN',
  'the connection is closed, or not open yet. Ask while it is open, such as in the connection listener.',
);

test('a TCP socket, of both ends → ENOTSUP: it is not a Unix socket', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  if (client.connecting) await once(client, 'connect');
  t.after(() => [client, accepted].forEach((socket) => socket.destroy()));
  t.after(() => server.close());
  for (const socket of [client, accepted])
    assert.deepEqual(refusal(socket), because('ENOTSUP', 'it is not a Unix socket. Listen on a Unix socket.'));
});

async function pair(t: TestContext): Promise<{ client: net.Socket; accepted: net.Socket }> {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const server = net.createServer().listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  const client = net.connect(path);
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  if (client.connecting) await once(client, 'connect');
  return { client, accepted };
}

test('a socket that was never connected, and one that is closed → ENOTCONN', async (t) => {
  assert.deepEqual(refusal(new net.Socket()), closed);
  const { client, accepted } = await pair(t);
  assert.equal(peerCredentials(accepted).pid, process.pid);
  client.destroy();
  await once(client, 'close');
  assert.deepEqual(refusal(client), closed);
  assert.equal(peerCredentials(accepted).pid, process.pid, 'the other end has gone: the kernel still knows who it was');
  accepted.destroy();
  assert.deepEqual(refusal(accepted), closed);
});

test('an http2 session that was destroyed → ENOTCONN', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const server = http2.createServer();
  await using _claim = await listen(server, path);
  const client = http2.connect('http://localhost', { createConnection: () => net.connect(path) });
  const [session] = (await once(server, 'session')) as [http2.Http2Session];
  assert.equal(peerCredentials(session).pid, process.pid);
  const kept = session.socket; // A stand-in for the socket, which throws at every touch when the session has gone.
  assert.equal(peerCredentials(kept).pid, process.pid);
  const ended = Promise.all([once(session, 'close'), once(client, 'close')]);
  session.destroy();
  client.destroy();
  assert.deepEqual(refusal(session), closed);
  await ended;
  assert.deepEqual(refusal(session), closed);
  assert.deepEqual(refusal(client), closed);
  assert.deepEqual(refusal(kept), closed);
});

/**
 * A socket that the runtime binds under a private name, and that then gets the name of the address:
 * as on Bun, here with a server of Node.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { publish } from '#dist/claim/publish.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { SocketAddressError } from '#dist/errors/error.js';
import { perform, run } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { unixSockets } from '#dist/kernel/sockets.js';
import { readRequest, type ListenOptions } from '#dist/request/options.js';
import { nobody } from '#dist/server/acceptor.js';
import type { PathnameHold } from '#dist/server/held.js';
import type { Hold } from '#dist/server/hold.js';
import { acquireHoldNow } from '#dist/server/acquireHold.js';
import { PrivateName } from '#dist/server/privateName.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

interface Claimed {
  readonly path: string;
  readonly hold: Hold & { readonly held: PathnameHold };
}

/** A claim whose own socket keeps the name. */
function claimed(t: TestContext, directory: string, options: ListenOptions = {}): Claimed {
  const path = `${directory}/app.sock`;
  const request = readRequest(path, options);
  const hold = acquireHoldNow({ ...request, terms: { ...request.terms, listens: false } }, nobody) as Claimed['hold'];
  t.after(() => hold.release());
  return { path, hold };
}

/** A server that the runtime binds by this name. */
async function bound(t: TestContext, name: string): Promise<net.Server> {
  const server = net.createServer((socket) => socket.end('hello'));
  server.listen(name);
  await once(server, 'listening');
  t.after(() => server.close());
  return server;
}

async function ask(path: string): Promise<string> {
  let text = '';
  try {
    for await (const chunk of net.connect(path)) text += String(chunk);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
  return text;
}

test('the runtime binds, and its socket gets the name → with mode and backlog, and nothing else is left', onLinux, async (t) => {
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory, { mode: 0o640, backlog: 7 });
  const named = new PrivateName(hold, hold.held);
  const server = await bound(t, named.path);
  assert.equal(await ask(path), 'ECONNREFUSED', 'no client connects to a socket that is about to be closed');
  const [secret = ''] = fs.readdirSync(directory).filter((name) => name.includes('private'));
  assert.equal(
    fs.statSync(`${directory}/${secret}`).mode & 0o777,
    0o700,
    'no other user reaches the socket before its mode is set',
  );
  named.publish();
  assert.equal(hold.listenFd, -1, 'the listening socket is the runtime’s own');
  assert.equal(await ask(path), 'hello');
  const { mode, ino } = fs.statSync(path);
  assert.equal(mode & 0o7777, 0o1640, 'sticky, for systemd-tmpfiles');
  const sockets = unixSockets();
  assert.ok(Array.isArray(sockets));
  assert.equal(sockets.find(({ file, state }) => file?.endsWith(`:${ino}`) && state === 'listening')?.backlog, 7);
  assert.deepEqual(fs.readdirSync(directory).sort(), ['app.sock', 'app.sock.lock']);
  hold.release(() => {
    server.close();
    hold.closeSocket();
    named.close();
  });
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
});

test('the runtime closes its socket first → the file is still ours to remove, and no other', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory);
  const named = new PrivateName(hold, hold.held);
  const server = await bound(t, named.path);
  named.publish();
  server.close();
  await once(server, 'close');
  assert.ok(fs.existsSync(path), 'the runtime unlinks the private name only');
  hold.release();
  assert.ok(!fs.existsSync(path));
});

test('a program without the lock binds between the two names → refused, and its socket stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory);
  const name = 'private.sock';
  await bound(t, `${directory}/${name}`);
  const operation = publish(hold.held.place, hold.held, hold.request.terms, { directory: hold.held.place.directory, name });
  let step = operation.next();
  while (step.done !== true) {
    if (step.value.name === 'linkat') await bound(t, path);
    step = operation.next(perform(kernel, step.value));
  }
  assert.ok(isRefusal(step.value));
  assert.deepEqual([step.value.refused, step.value.errno], ['stray', 'EADDRINUSE']);
  assert.equal(await ask(path), 'hello');
});

test('another file is at the path by now → refused, and it stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory);
  const name = 'private.sock';
  await bound(t, `${directory}/${name}`);
  fs.unlinkSync(path);
  fs.writeFileSync(path, 'of another program');
  const { place } = hold.held;
  const outcome = run(kernel, publish(place, hold.held, hold.request.terms, { directory: place.directory, name }));
  assert.ok(isRefusal(outcome));
  assert.equal(fs.readFileSync(path, 'utf8'), 'of another program');
});

test(
  'the private name is gone or another file before the mode is set → refused, and the address is as it was',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const { path, hold } = claimed(t, directory);
    const { place } = hold.held;
    const name = 'private.sock';
    const secret = `${directory}/${name}`;
    await bound(t, secret);
    const operation = publish(place, hold.held, hold.request.terms, { directory: place.directory, name });
    let step = operation.next();
    while (step.done !== true) {
      if (step.value.name === 'openat') {
        fs.unlinkSync(secret);
        fs.writeFileSync(secret, '', { mode: 0o644 });
      }
      step = operation.next(perform(kernel, step.value));
    }
    assert.ok(isRefusal(step.value));
    assert.equal(step.value.refused, 'unstable');
    assert.equal(fs.statSync(secret).mode & 0o777, 0o644);
    assert.ok(fs.statSync(path).isSocket());
  },
);

test('a crash has left a private directory → the next start removes it', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/.reuseaddr-private.app.sock`);
  await bound(t, `${directory}/.reuseaddr-private.app.sock/1-1`);
  const { path, hold } = claimed(t, directory);
  const named = new PrivateName(hold, hold.held);
  await bound(t, named.path);
  named.publish();
  assert.equal(await ask(path), 'hello');
  assert.deepEqual(fs.readdirSync(directory).sort(), ['app.sock', 'app.sock.lock']);
  named.close();
});

test(
  'the private name leads elsewhere, or to a directory of another user → refused, and nothing there is touched',
  onLinux,
  (t) => {
    const directory = temporaryDirectory(t);
    const elsewhere = temporaryDirectory(t);
    fs.writeFileSync(`${elsewhere}/file`, '');
    const { hold } = claimed(t, directory);
    const refused = (): string => {
      try {
        new PrivateName(hold, hold.held).close();
        return 'not refused';
      } catch (error) {
        assert.ok(error instanceof SocketAddressError);
        return error.code;
      }
    };
    fs.symlinkSync(elsewhere, `${directory}/.reuseaddr-private.app.sock`);
    assert.equal(refused(), 'EEXIST');
    assert.deepEqual(fs.readdirSync(elsewhere), ['file']);
    fs.unlinkSync(`${directory}/.reuseaddr-private.app.sock`);
    // Another one took its name after mkdir(2).
    const geteuid = t.mock.method(kernel, 'geteuid', () => 12_345);
    assert.equal(refused(), 'EADDRINUSE');
    geteuid.mock.restore();
  },
);

test('a path that fits, and a private name that does not → bound all the same', onLinux, async (t) => {
  const directory = `${temporaryDirectory(t)}/${'d'.repeat(60)}`;
  fs.mkdirSync(directory);
  const { path, hold } = claimed(t, directory);
  assert.ok(!hold.held.place.long);
  const named = new PrivateName(hold, hold.held);
  assert.match(named.path, /^\/proc\/self\/fd\//);
  await bound(t, named.path);
  named.publish();
  assert.equal(await ask(path), 'hello');
  named.close();
});

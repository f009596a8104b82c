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
import { isRefusal, type Refusal } from '#dist/claim/refusal.js';
import { SocketAddressError } from '#dist/errors/socketAddressError.js';
import { perform, type Errno } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { unixSockets } from '#dist/kernel/sockets.js';
import { readRequest, type ListenOptions } from '#dist/request/readRequest.js';
import { nobody } from '#dist/server/acceptor.js';
import type { PathnameHold } from '#dist/server/held.js';
import type { Hold } from '#dist/server/hold.js';
import { acquireHoldNow } from '#dist/server/acquireHold.js';
import { PrivateName } from '#dist/server/privateName.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
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

function backlogOf(path: string): number | undefined {
  const { ino } = fs.statSync(path);
  const sockets = unixSockets();
  assert.ok(Array.isArray(sockets));
  return sockets.find(({ file, state }) => file?.endsWith(`:${ino}`) && state === 'listening')?.backlog;
}

/**
 * Gives a socket its name, and does something else before each step, which may answer in place of
 * the kernel.
 */
async function publishing(
  { hold }: Claimed,
  name: string,
  before: (step: string) => Promise<Errno | void> | Errno | void,
): Promise<Refusal> {
  const { place } = hold.held;
  const operation = publish(place, hold.held, hold.request.terms, { directory: place.directory, name });
  let step = operation.next();
  while (step.done !== true) {
    const answer = await before(step.value.name);
    step = operation.next(answer ?? perform(kernel, step.value));
  }
  assert.ok(isRefusal(step.value));
  return step.value;
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
  await bound(t, `${directory}/other.sock`);
  const before = openDescriptors();
  const { path, hold } = claimed(t, directory, { mode: 0o640, backlog: 7 });
  const named = new PrivateName(hold);
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
  assert.equal(fs.statSync(path).mode & 0o7777, 0o1640, 'sticky, for systemd-tmpfiles');
  assert.equal(backlogOf(path), 7);
  assert.notEqual(backlogOf(`${directory}/other.sock`), 7, 'the other sockets of the process keep theirs');
  assert.deepEqual(fs.readdirSync(directory).sort(), ['app.sock', 'app.sock.lock', 'other.sock']);
  const closed = once(server, 'close');
  hold.release(() => {
    server.close();
    hold.closeSocket();
    named.close();
  });
  await closed;
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock', 'other.sock']);
  assert.equal(openDescriptors(), before);
});

test('the runtime closes its socket first → the file is still ours to remove, and no other', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory);
  const named = new PrivateName(hold);
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
  const made = claimed(t, directory);
  await bound(t, `${directory}/private.sock`);
  const { refused, errno } = await publishing(made, 'private.sock', async (step) => {
    if (step === 'linkat') await bound(t, made.path);
  });
  assert.deepEqual([refused, errno], ['stray', 'EADDRINUSE']);
  assert.equal(await ask(made.path), 'hello');
});

test('a step between the two names fails → refused, and says which', onLinux, async (t) => {
  for (const [failing, errno, syscall] of [
    ['fstatat', 'ENOENT', 'lstat'],
    ['fchmodat', 'EPERM', 'chmod'],
    ['linkat', 'EMLINK', 'link'],
  ] as const) {
    const directory = temporaryDirectory(t);
    const made = claimed(t, directory);
    await bound(t, `${directory}/private.sock`);
    const refusal = await publishing(made, 'private.sock', (step) => (step === failing ? errno : undefined));
    assert.deepEqual([refusal.errno, refusal.syscall], [errno, syscall]);
  }
});

test('another file is at the path by now → refused, and it stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { path, hold } = claimed(t, directory);
  const named = new PrivateName(hold);
  await bound(t, named.path);
  fs.unlinkSync(path);
  fs.writeFileSync(path, 'of another program');
  const before = openDescriptors();
  assert.throws(() => named.publish(), { code: 'ENOTSOCK', reason: 'not-a-socket' });
  assert.equal(openDescriptors(), before);
  assert.equal(fs.readFileSync(path, 'utf8'), 'of another program');
  named.close();
});

test('the file of the claim is gone by now → the socket of the runtime gets its name', onLinux, async (t) => {
  const { path, hold } = claimed(t, temporaryDirectory(t));
  const named = new PrivateName(hold);
  await bound(t, named.path);
  fs.unlinkSync(path);
  named.publish();
  assert.equal(await ask(path), 'hello');
  named.close();
});

test('the runtime binds nothing → refused, and the private directory is gone', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const { hold } = claimed(t, directory);
  const named = new PrivateName(hold);
  assert.throws(() => named.publish(), { code: 'ENOENT', reason: 'system', syscall: 'bind' });
  named.close();
  assert.deepEqual(fs.readdirSync(directory).sort(), ['app.sock', 'app.sock.lock']);
});

test('a server of the runtime closes while the next one starts → it unlinks its own private name', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const first = claimed(t, directory);
  const old = new PrivateName(first.hold);
  const server = await bound(t, old.path);
  old.publish();
  first.hold.release();
  const { hold, path } = claimed(t, directory);
  const named = new PrivateName(hold);
  await bound(t, named.path);
  server.close();
  await once(server, 'close');
  named.publish();
  assert.equal(await ask(path), 'hello');
  named.close();
  old.close();
});

test(
  'the private name is gone or another file before the mode is set → refused, and the address is as it was',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const made = claimed(t, directory);
    const secret = `${directory}/private.sock`;
    await bound(t, secret);
    const { refused } = await publishing(made, 'private.sock', (step) => {
      if (step !== 'openat') return;
      fs.unlinkSync(secret);
      fs.writeFileSync(secret, '', { mode: 0o644 });
    });
    assert.equal(refused, 'unstable');
    assert.equal(fs.statSync(secret).mode & 0o777, 0o644);
    assert.ok(fs.statSync(made.path).isSocket());
  },
);

test('a crash has left a private directory → the next start removes it', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/.reuseaddr-private.app.sock`);
  await bound(t, `${directory}/.reuseaddr-private.app.sock/1-1`);
  const { path, hold } = claimed(t, directory);
  const named = new PrivateName(hold);
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
        new PrivateName(hold).close();
        return 'not refused';
      } catch (error) {
        assert.ok(error instanceof SocketAddressError);
        return error.code;
      }
    };
    const secret = `${directory}/.reuseaddr-private.app.sock`;
    fs.symlinkSync(elsewhere, secret);
    assert.equal(refused(), 'EEXIST');
    assert.deepEqual(fs.readdirSync(elsewhere), ['file']);
    fs.unlinkSync(secret);
    fs.mkdirSync(`${secret}/directory`, { recursive: true });
    assert.equal(refused(), 'EEXIST', 'no crash leaves that');
    fs.rmdirSync(`${secret}/directory`);
    // Another one took its name after mkdir(2).
    const before = openDescriptors();
    const geteuid = t.mock.method(kernel, 'geteuid', () => 12_345);
    assert.equal(refused(), 'EADDRINUSE');
    geteuid.mock.restore();
    const { openat } = kernel;
    for (const [code, replace] of [
      ['ENOENT', () => undefined],
      ['ENOTDIR', () => fs.symlinkSync(elsewhere, secret)],
    ] as const) {
      const opening = t.mock.method(kernel, 'openat', (...args: Parameters<typeof openat>) => {
        if (fs.existsSync(secret)) {
          fs.rmdirSync(secret);
          replace();
        }
        return openat(...args);
      });
      fs.rmSync(secret, { recursive: true, force: true });
      assert.equal(refused(), code);
      opening.mock.restore();
    }
    assert.deepEqual(fs.readdirSync(elsewhere), ['file']);
    assert.equal(openDescriptors(), before);
  },
);

test('a path that fits, and a private name that does not → bound all the same', onLinux, async (t) => {
  const directory = `${temporaryDirectory(t)}/${'d'.repeat(60)}`;
  fs.mkdirSync(directory);
  const { path, hold } = claimed(t, directory);
  assert.ok(!hold.held.place.long);
  const named = new PrivateName(hold);
  assert.match(named.path, /^\/proc\/self\/fd\//);
  await bound(t, named.path);
  named.publish();
  assert.equal(await ask(path), 'hello');
  named.close();
});

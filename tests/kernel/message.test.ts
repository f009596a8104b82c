import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fcntl } from '#dist/kernel/descriptors.js';
import { kernel } from '#dist/kernel/posix.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { connectedPair } from '../support/sockets.js';

const lockFlags = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const existing = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';

/** A file that is locked by `fd`, and whether its lock is free. */
function lockedFile(t: TestContext) {
  const path = `${temporaryDirectory(t)}/lock`;
  const fd = kernel.openat(AT_FDCWD, path, lockFlags, 0o600) as number;
  assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 0);
  const isFree = () => {
    const other = kernel.openat(AT_FDCWD, path, existing, 0) as number;
    const result = kernel.flock(other, 'LOCK_EX|LOCK_NB');
    kernel.close(other);
    return result === 0;
  };
  return { fd, isFree };
}

function received(fd: number, fdsMax = 3): { readonly text: string; readonly fds: readonly number[] } {
  const message = kernel.recvmsg(fd, 128, fdsMax);
  if (typeof message === 'string') assert.fail(message);
  return message;
}

/** Sends until that fails, and gives why. */
function fillQueue(fd: number): string | number {
  const text = 'x'.repeat(4096);
  let result = kernel.sendmsg(fd, text, []);
  for (let sent = 1; sent < 10_000 && typeof result === 'number'; sent++) result = kernel.sendmsg(fd, text, []);
  return result;
}

/** Whether children would not get it: FD_CLOEXEC, as the kernel tells. */
function isCloseOnExec(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!;
  return (Number.parseInt(flags, 8) & 0o2000000) !== 0;
}

test(
  'a lock and a socket are sent → the same open file descriptions come, close-on-exec: the lock is never free',
  onLinux,
  async (t) => {
    const { client, server } = await connectedPair(t);
    const lock = lockedFile(t);
    const socket = kernel.socket() as number;
    assert.equal(kernel.sendmsg(client, 'offer é\n', [lock.fd, socket]), 9);
    const { text, fds } = received(server);
    assert.deepEqual([text, fds.length], ['offer é\n', 2]);
    assert.deepEqual(fds.map(isCloseOnExec), [true, true]);
    assert.deepEqual(kernel.fstat(fds[1]!), kernel.fstat(socket));

    kernel.close(lock.fd);
    kernel.close(socket);
    assert.equal(lock.isFree(), false);
    assert.equal(kernel.flock(fds[0]!, 'LOCK_EX|LOCK_NB'), 0, 'it shares the lock');
    for (const fd of fds) assert.equal(kernel.close(fd), 0);
    assert.equal(lock.isFree(), true);
  },
);

test('the sockets are set to wait → sending and receiving do not, all the same', async (t) => {
  const { client, server } = await connectedPair(t);
  for (const fd of [client, server]) assert.equal(fcntl(fd, 'F_SETFL', ''), 0);
  assert.equal(kernel.recvmsg(server, 128, 3), 'EAGAIN');
  assert.equal(fillQueue(client), 'EAGAIN');
});

test('nothing has come → EAGAIN; a message, and then the end → the message first, and no text for the end', async (t) => {
  const { client, server, closeClient } = await connectedPair(t);
  assert.equal(kernel.recvmsg(server, 128, 3), 'EAGAIN');
  assert.equal(kernel.sendmsg(client, 'ready\n', []), 6);
  closeClient();
  assert.deepEqual(received(server), { text: 'ready\n', fds: [] });
  assert.deepEqual(received(server), { text: '', fds: [] });
});

test('more text than is asked for → the rest comes with the next call; descriptors end a message', onLinux, async (t) => {
  const { client, server } = await connectedPair(t);
  kernel.sendmsg(client, 'abcdef', []);
  assert.deepEqual(kernel.recvmsg(server, 4, 0), { text: 'abcd', fds: [] });
  assert.deepEqual(kernel.recvmsg(server, 4, 0), { text: 'ef', fds: [] });
  kernel.sendmsg(client, 'offer\n', [client]);
  kernel.sendmsg(client, 'abort\n', []);
  const offer = received(server);
  assert.deepEqual([offer.text, offer.fds.length], ['offer\n', 1]);
  kernel.close(offer.fds[0]!);
  assert.equal(received(server).text, 'abort\n');
});

test('the other end has closed → EPIPE, and no signal', async (t) => {
  const { client, closeServer } = await connectedPair(t);
  let signals = 0;
  const count = () => signals++;
  process.on('SIGPIPE', count);
  t.after(() => process.off('SIGPIPE', count));
  await closeServer();
  assert.equal(kernel.sendmsg(client, 'x', []), 'EPIPE');
  assert.equal(signals, 0);
});

test('the other end closes and has not read everything → ECONNRESET, once', async (t) => {
  const { client, server, closeServer } = await connectedPair(t);
  kernel.sendmsg(client, 'never read', []);
  assert.equal(typeof server, 'number');
  await closeServer();
  assert.equal(kernel.recvmsg(client, 128, 3), 'ECONNRESET');
  assert.equal(received(client).text, '');
});

test(
  'a message with a lock is never read → the lock is kept until the connection is closed, also when the sender has gone',
  onLinux,
  async (t) => {
    const { client, closeClient, closeServer } = await connectedPair(t);
    const lock = lockedFile(t);
    assert.equal(kernel.sendmsg(client, 'offer\n', [lock.fd]), 6);
    kernel.close(lock.fd);
    closeClient();
    assert.equal(lock.isFree(), false);
    await closeServer();
    assert.equal(lock.isFree(), true);
  },
);

test('more descriptors came than are asked for → EMSGSIZE, and all of them are closed', onLinux, async (t) => {
  const { client, server } = await connectedPair(t);
  const lock = lockedFile(t);
  for (const fdsMax of [0, 3]) {
    assert.equal(kernel.sendmsg(client, 'offer\n', [lock.fd, lock.fd, lock.fd, lock.fd]), 6);
    const before = openDescriptors();
    assert.equal(kernel.recvmsg(server, 128, fdsMax), 'EMSGSIZE');
    assert.equal(openDescriptors(), before);
  }
  assert.equal(kernel.recvmsg(server, 128, 3), 'EAGAIN', 'the message is gone');
  kernel.close(lock.fd);
  assert.equal(lock.isFree(), true);
});

test('this process may open only some of the descriptors that came → EMSGSIZE, and those are closed', onLinux, () => {
  const posix = import.meta.resolve('#dist/kernel/posix.js');
  const script = `
    const net = await import('node:net');
    const fs = await import('node:fs');
    const { kernel } = await import(${JSON.stringify(posix)});
    const server = net.createServer({ pauseOnConnect: true }).listen(${JSON.stringify(`\0reuseaddr-ctrunc-${process.pid}`.padEnd(108, '.'))});
    await new Promise((listening) => server.on('listening', listening));
    const client = kernel.connect(server.address());
    const accepted = await new Promise((connection) => server.on('connection', connection));
    kernel.sendmsg(client, 'offer', [client, client, client]);
    const count = () => fs.readdirSync('/proc/self/fd').length;
    const files = [];
    for (let fd = kernel.socket(); typeof fd === 'number'; fd = kernel.socket()) files.push(fd);
    kernel.close(files.pop());
    kernel.close(files.pop());
    const before = count();
    const result = kernel.recvmsg(accepted._handle.fd, 128, 3);
    console.log(JSON.stringify({ result, leaked: count() - before }));
    process.exit();`;
  const limited = ['-c', 'ulimit -n 100 && exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script];
  assert.deepEqual(JSON.parse(execFileSync('sh', limited, { encoding: 'utf8' })), { result: 'EMSGSIZE', leaked: 0 });
});

test('sendmsg: too much, or descriptors without any text → refused, as nothing would come of it', async (t) => {
  const { client, server } = await connectedPair(t);
  assert.equal(kernel.sendmsg(client, 'x'.repeat(4097), []), 'EMSGSIZE');
  assert.equal(
    kernel.sendmsg(
      client,
      'x',
      Array.from({ length: 9 }, () => client),
    ),
    'EMSGSIZE',
  );
  assert.equal(kernel.sendmsg(client, '', [client]), 'EINVAL');
  assert.equal(kernel.sendmsg(client, 'x', [-1]), 'EBADF');
  assert.equal(kernel.recvmsg(server, 128, 3), 'EAGAIN');
  assert.equal(kernel.sendmsg(-1, 'x', []), 'EBADF');
  assert.equal(kernel.recvmsg(-1, 128, 3), 'EBADF');
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { describeSocket, fcntl } from '#dist/kernel/descriptors.js';
import { kernel } from '#dist/kernel/posix.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { connectedPair } from '../support/sockets.js';

/** A socket bound to this name, if there is one, and closed after the test. */
function socket(t: TestContext, name?: string, backlog?: number): number {
  const fd = kernel.socket() as number;
  t.after(() => kernel.close(fd));
  if (name !== undefined) assert.equal(kernel.bind(fd, name), 0);
  if (backlog !== undefined) assert.equal(kernel.listen(fd, backlog), 0);
  return fd;
}

/** The answers of F_GETFL and F_GETFD, as the kernel prints them: O_NONBLOCK and O_CLOEXEC. */
function flagsOf(fd: number): { readonly nonBlocking: boolean; readonly closeOnExec: boolean } {
  const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8);
  return { nonBlocking: (flags & 0o4000) !== 0, closeOnExec: (flags & 0o2000000) !== 0 };
}

test('connect: a server listens → a connected socket, close-on-exec and non-blocking', onLinux, async (t) => {
  const { client, server } = await connectedPair(t);
  assert.deepEqual(flagsOf(client), { nonBlocking: true, closeOnExec: true });
  const ourselves = { pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() };
  assert.deepEqual([kernel.peerCredentials(client), kernel.peerCredentials(server)], [ourselves, ourselves]);
});

test('connect: no server, not a socket, or a full queue → the reason, and no descriptor is left', onLinux, (t) => {
  const dir = temporaryDirectory(t);
  kernel.close(socket(t, `${dir}/dead`));
  socket(t, `${dir}/bound`);
  socket(t, `${dir}/full`, 0);
  fs.writeFileSync(`${dir}/file`, '');
  const first = kernel.connect(`${dir}/full`) as number;
  const before = openDescriptors();
  const names = ['missing', 'dead', 'bound', 'file', 'full', 'missing/x', 'x'.repeat(200), 'a\0b'];
  assert.deepEqual(
    names.map((name) => kernel.connect(`${dir}/${name}`)),
    ['ENOENT', 'ECONNREFUSED', 'ECONNREFUSED', 'ECONNREFUSED', 'EAGAIN', 'ENOENT', 'ENAMETOOLONG', 'EINVAL'],
  );
  assert.equal(openDescriptors(), before);
  kernel.close(first);
});

test('connect: an abstract name → exactly its length', onLinux, (t) => {
  const name = `\0reuseaddr-connect-${process.pid}`;
  socket(t, name, 5);
  const fd = kernel.connect(name) as number;
  assert.equal(kernel.close(fd), 0);
  assert.equal(kernel.connect(`${name}\0`), 'ECONNREFUSED');
});

test(
  'describeSocket: bound, listening, abstract, without a name, connected → its type, name and whether it listens',
  onLinux,
  async (t) => {
    const dir = temporaryDirectory(t);
    const type = 'stream';
    const abstract = `\0reuseaddr-describe-${process.pid}\0`;
    assert.deepEqual(describeSocket(socket(t)), { type, listening: false, name: '' });
    assert.deepEqual(describeSocket(socket(t, `${dir}/é`)), { type, listening: false, name: `${dir}/é` });
    assert.deepEqual(describeSocket(socket(t, abstract, 1)), { type, listening: true, name: abstract });
    const longest = `${dir}/`.padEnd(107, 'x');
    assert.deepEqual(describeSocket(socket(t, longest, 1)), { type, listening: true, name: longest });
    const { client, server } = await connectedPair(t);
    assert.deepEqual(describeSocket(client), { type, listening: false, name: '' });
    assert.match((describeSocket(server) as { readonly name: string }).name, /\/s$/);
  },
);

test('describeSocket: a TCP socket → EAFNOSUPPORT; a file → ENOTSOCK; nothing → EBADF', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } };
  assert.equal(describeSocket(handle.fd), 'EAFNOSUPPORT');
  const file = fs.openSync('/dev/null', 'r');
  assert.equal(describeSocket(file), 'ENOTSOCK');
  fs.closeSync(file);
  assert.equal(describeSocket(-1), 'EBADF');
});

test('fcntl: close-on-exec and non-blocking are set and taken back, each alone', onLinux, (t) => {
  const fd = socket(t);
  const both = { nonBlocking: true, closeOnExec: true };
  assert.equal(fcntl(fd, 'F_SETFL', ''), 0);
  assert.deepEqual(flagsOf(fd), { ...both, nonBlocking: false });
  assert.equal(fcntl(fd, 'F_SETFD', ''), 0);
  assert.deepEqual(flagsOf(fd), { nonBlocking: false, closeOnExec: false });
  assert.equal(fcntl(fd, 'F_SETFL', 'O_NONBLOCK'), 0);
  assert.equal(fcntl(fd, 'F_SETFD', 'FD_CLOEXEC'), 0);
  assert.deepEqual(flagsOf(fd), both);
  assert.deepEqual(
    [fcntl(-1, 'F_SETFD', ''), fcntl(-1, 'F_SETFL', ''), fcntl(-1, 'F_DUPFD_CLOEXEC')],
    ['EBADF', 'EBADF', 'EBADF'],
  );
});

test('fcntl: F_SETFL on a file that appends → it still appends', onLinux, (t) => {
  const path = `${temporaryDirectory(t)}/log`;
  const fd = fs.openSync(path, 'a');
  t.after(() => fs.closeSync(fd));
  assert.equal(fcntl(fd, 'F_SETFL', 'O_NONBLOCK'), 0);
  fs.writeSync(fd, 'a');
  fs.appendFileSync(path, 'b');
  fs.writeSync(fd, 'c');
  assert.equal(fs.readFileSync(path, 'utf8'), 'abc');
});

test(
  'fcntl: a duplicate of a socket → the same socket, which lives on when the first is closed, and no child gets it',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/s`;
    const fd = kernel.socket() as number;
    assert.deepEqual([kernel.bind(fd, path), kernel.listen(fd, 1)], [0, 0]);
    const duplicate = fcntl(fd, 'F_DUPFD_CLOEXEC') as number;
    assert.equal(kernel.close(fd), 0);
    assert.equal(kernel.probe(path), 'EPROTOTYPE');
    const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    await once(child, 'spawn');
    assert.equal(kernel.close(duplicate), 0);
    assert.equal(kernel.probe(path), 'ECONNREFUSED');
  },
);

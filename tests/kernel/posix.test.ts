import { AT_FDCWD, failed } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { kernel } from '#dist/kernel/posix.js';

const existing = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const created = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const onLinux = { skip: process.platform !== 'linux' && 'only Linux has it' };
const pathnameBytesMax = process.platform === 'linux' ? 107 : 103;

process.umask(0o022);

/** A directory of the test's own, with a short path: socket names are short. */
function directory(t: TestContext): string {
  const path = fs.mkdtempSync(join(fs.realpathSync(process.platform === 'linux' ? '/tmp' : os.tmpdir()), 'ra-'));
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

function value<T extends number | object>(result: T | `E${string}`): T {
  if (typeof result === 'string') assert.fail(`failed with ${result}`);
  return result;
}

/** A socket bound to the name; `close` can be called again. */
function bound(t: TestContext, name: string, { mode, backlog }: { mode?: number; backlog?: number } = {}) {
  const fd = value(kernel.socket());
  let open = true;
  const close = () => {
    if (open) assert.equal(kernel.close(fd), 0);
    open = false;
  };
  t.after(close);
  if (mode !== undefined) assert.equal(kernel.fchmod(fd, mode), 0);
  assert.equal(kernel.bind(fd, name), 0);
  if (backlog !== undefined) assert.equal(kernel.listen(fd, backlog), 0);
  return { fd, close };
}

function file(t: TestContext, path: string, mode = 0o600): number {
  const fd = value(kernel.openat(AT_FDCWD, path, created, mode));
  t.after(() => kernel.close(fd));
  return fd;
}

test('open: what is missing, a symlink, a directory, a socket → each says so, and nothing is made', (t) => {
  const dir = directory(t);
  fs.symlinkSync('/dev/null', `${dir}/link`);
  bound(t, `${dir}/socket`).close();
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/missing`, existing, 0), 'ENOENT');
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/link`, existing, 0), 'ELOOP');
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/link`, created, 0o600), 'EEXIST');
  assert.equal(kernel.openat(AT_FDCWD, dir, existing, 0), 'EISDIR');
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/socket`, existing, 0), 'ENXIO');
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/link/x`, existing, 0), 'ENOTDIR');
  assert.deepEqual(fs.readdirSync(dir), ['link', 'socket']);
});

test('open: a new lock file → it has the sticky bit, and a second start finds it there', onLinux, (t) => {
  const path = `${directory(t)}/app.lock`;
  const fd = file(t, path, 0o1600);
  assert.equal(value(kernel.fstat(fd)).mode, 0o1600);
  assert.equal(kernel.openat(AT_FDCWD, path, created, 0o1600), 'EEXIST');
  const second = value(kernel.openat(AT_FDCWD, path, existing, 0));
  assert.equal(value(kernel.fstat(second)).ino, value(kernel.fstatat(AT_FDCWD, path)).ino);
  assert.equal(kernel.close(second), 0);
  assert.equal(kernel.fstat(second), 'EBADF');
  assert.equal(kernel.close(second), 'EBADF');
});

test('open: a FIFO in place of the lock file → no wait for its other end', (t) => {
  const path = `${directory(t)}/fifo`;
  execFileSync('mkfifo', [path]);
  const fd = value(kernel.openat(AT_FDCWD, path, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0));
  assert.equal(value(kernel.fstat(fd)).type, 'fifo');
  assert.equal(kernel.close(fd), 0);
});

test('open with O_PATH: a socket file and a directory → descriptors of them', onLinux, (t) => {
  const dir = directory(t);
  bound(t, `${dir}/socket`, { mode: 0o600 });
  const socket = value(kernel.openat(AT_FDCWD, `${dir}/socket`, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0));
  assert.deepEqual(kernel.fstat(socket), kernel.fstatat(AT_FDCWD, `${dir}/socket`));
  assert.equal(kernel.fchmodat(socket, '', 0o640), 0);
  assert.equal(value(kernel.fstatat(AT_FDCWD, `${dir}/socket`)).mode, 0o640);
  const parent = value(kernel.openat(AT_FDCWD, dir, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0));
  assert.equal(value(kernel.fstatat(AT_FDCWD, `/proc/self/fd/${parent}/socket`)).type, 'socket');
  assert.equal(kernel.openat(AT_FDCWD, `${dir}/socket`, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0), 'ENOTDIR');
  assert.equal(kernel.close(socket), 0);
  assert.equal(kernel.close(parent), 0);
});

test('lstat: every type of file by its name, a symlink not followed', (t) => {
  const dir = directory(t);
  file(t, `${dir}/file`);
  bound(t, `${dir}/socket`);
  fs.symlinkSync('nowhere', `${dir}/link`);
  execFileSync('mkfifo', [`${dir}/fifo`]);
  assert.deepEqual(
    [dir, `${dir}/file`, `${dir}/socket`, `${dir}/link`, `${dir}/fifo`, '/dev/null'].map(
      (path) => value(kernel.fstatat(AT_FDCWD, path)).type,
    ),
    ['directory', 'file', 'socket', 'symlink', 'fifo', 'device'],
  );
  assert.equal(kernel.fstatat(AT_FDCWD, `${dir}/missing`), 'ENOENT');
  assert.equal(kernel.fstatat(AT_FDCWD, `${dir}/file/x`), 'ENOTDIR');
  assert.equal(kernel.fstatat(AT_FDCWD, `${dir}/${'x'.repeat(300)}`), 'ENAMETOOLONG');
});

test('fstat: it says what stat(2) says, and a lock file that was removed has no link left', (t) => {
  const path = `${directory(t)}/lock`;
  const fd = file(t, path);
  const { dev, ino, uid, gid } = fs.statSync(path, { bigint: true });
  const status = { dev, ino, type: 'file', mode: 0o600, uid: Number(uid), gid: Number(gid), nlink: 1, size: 0 };
  assert.deepEqual(kernel.fstat(fd), status);
  assert.equal(kernel.unlinkat(AT_FDCWD, path), 0);
  assert.deepEqual(kernel.fstat(fd), { ...status, nlink: 0 });
  assert.equal(kernel.unlinkat(AT_FDCWD, path), 'ENOENT');
});

test('pwrite, pread, ftruncate: the record is written, read in part, and emptied', (t) => {
  const fd = file(t, `${directory(t)}/lock`);
  assert.deepEqual(kernel.pread(fd, 100), { text: '' });
  assert.equal(kernel.pwrite(fd, 'pid 412 é'), 10);
  assert.deepEqual(kernel.pread(fd, 100), { text: 'pid 412 é' });
  assert.deepEqual(kernel.pread(fd, 3), { text: 'pid' });
  assert.equal(kernel.ftruncate(fd, 20), 0);
  assert.deepEqual(kernel.pread(fd, 20), { text: 'pid 412 é' }, 'without the NULs at the end');
  assert.equal(kernel.ftruncate(fd, 0), 0);
  assert.deepEqual(kernel.pread(fd, 100), { text: '' });
  assert.equal(kernel.pread(-1 >>> 1, 1), 'EBADF');
});

test('mmap: the file becomes longer and shorter under its mapping → text over the whole of it, and EFAULT never', (t) => {
  const fd = file(t, `${directory(t)}/lock`);
  for (const length of [6, 10_000, 10]) {
    assert.equal(kernel.ftruncate(fd, length), 0);
    assert.equal(kernel.pwrite(fd, 'x'.repeat(length)), length);
    assert.equal(kernel.mmap(fd, 'text'), 0);
    assert.deepEqual(kernel.pread(fd, length), { text: 'text' });
  }
});

test('mmap: a locked file is closed → the mapping does not keep its lock', (t) => {
  const path = `${directory(t)}/lock`;
  const second = file(t, path);
  assert.equal(kernel.pwrite(second, 'before'), 6);
  const first = kernel.openat(AT_FDCWD, path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  assert.ok(!failed(first));
  assert.equal(kernel.flock(first, 'LOCK_EX|LOCK_NB'), 0);
  assert.equal(kernel.mmap(first, 'held'), 0);
  assert.equal(kernel.flock(second, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  assert.equal(kernel.close(first), 0);
  assert.equal(kernel.flock(second, 'LOCK_EX|LOCK_NB'), 0);
  assert.deepEqual(kernel.pread(second, 10), { text: 'held' });
});

test('realpath: a directory behind a symlink → where it is', (t) => {
  const dir = directory(t);
  fs.mkdirSync(`${dir}/real`);
  fs.symlinkSync('real', `${dir}/link`);
  assert.deepEqual(kernel.realpath(`${dir}/link/`), { path: `${dir}/real` });
  assert.equal(kernel.realpath(`${dir}/missing`), 'ENOENT');
});

test('flock: a second opener → EAGAIN, until the first has closed', (t) => {
  const path = `${directory(t)}/lock`;
  const first = value(kernel.openat(AT_FDCWD, path, created, 0o600));
  const second = value(kernel.openat(AT_FDCWD, path, existing, 0));
  t.after(() => kernel.close(second));
  assert.equal(kernel.flock(first, 'LOCK_EX|LOCK_NB'), 0);
  assert.equal(kernel.flock(first, 'LOCK_EX|LOCK_NB'), 0);
  assert.equal(kernel.flock(second, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  assert.equal(kernel.flock(second, 'LOCK_EX'), 'ENOSYS', 'this kernel must never block the thread');
  assert.equal(kernel.close(first), 0);
  assert.equal(kernel.flock(second, 'LOCK_EX|LOCK_NB'), 0);
  assert.equal(kernel.flock(-1, 'LOCK_EX|LOCK_NB'), 'EBADF');
});

test('flock: a child was given the descriptor → the lock is kept until the child is gone as well', async (t) => {
  const path = `${directory(t)}/lock`;
  const lock = value(kernel.openat(AT_FDCWD, path, created, 0o600));
  const other = value(kernel.openat(AT_FDCWD, path, existing, 0));
  t.after(() => kernel.close(other));
  assert.equal(kernel.flock(lock, 'LOCK_EX|LOCK_NB'), 0);
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore', lock] });
  t.after(() => child.kill('SIGKILL'));
  assert.equal(kernel.close(lock), 0);
  assert.equal(kernel.flock(other, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(kernel.flock(other, 'LOCK_EX|LOCK_NB'), 0);
});

test('G8: a child is started while we hold lock and socket → it keeps neither of them', async (t) => {
  const dir = directory(t);
  const lock = value(kernel.openat(AT_FDCWD, `${dir}/lock`, created, 0o600));
  const other = value(kernel.openat(AT_FDCWD, `${dir}/lock`, existing, 0));
  t.after(() => kernel.close(other));
  assert.equal(kernel.flock(lock, 'LOCK_EX|LOCK_NB'), 0);
  const socket = bound(t, `${dir}/socket`, { backlog: 1 });
  const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  child.stdin.write('running');
  await once(child.stdout, 'data');
  assert.equal(kernel.close(lock), 0);
  socket.close();
  assert.equal(kernel.flock(other, 'LOCK_EX|LOCK_NB'), 0);
  assert.equal(kernel.probe(`${dir}/socket`), 'ECONNREFUSED');
});

test('rename with RENAME_NOREPLACE: the new name is taken → EEXIST, and both files are as they were', onLinux, (t) => {
  const dir = directory(t);
  fs.writeFileSync(`${dir}/a`, 'a');
  fs.writeFileSync(`${dir}/b`, 'b');
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `${dir}/b`, 'RENAME_NOREPLACE'), 'EEXIST');
  assert.deepEqual([fs.readFileSync(`${dir}/a`, 'utf8'), fs.readFileSync(`${dir}/b`, 'utf8')], ['a', 'b']);
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `${dir}/c`, 'RENAME_NOREPLACE'), 0);
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `${dir}/d`, 'RENAME_NOREPLACE'), 'ENOENT');
  assert.deepEqual(fs.readdirSync(dir), ['b', 'c']);
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/c`, `${dir}/b`, ''), 0);
  assert.deepEqual([fs.readdirSync(dir), fs.readFileSync(`${dir}/b`, 'utf8')], [['b'], 'a']);
});

test('rename with RENAME_NOREPLACE: a name with a NUL, or too long → refused, and no other file is moved', onLinux, (t) => {
  const dir = directory(t);
  fs.writeFileSync(`${dir}/a`, '');
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a\0x`, `${dir}/b`, 'RENAME_NOREPLACE'), 'EINVAL');
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `${dir}/b\0x`, 'RENAME_NOREPLACE'), 'EINVAL');
  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `/${'x/'.repeat(3000)}`, 'RENAME_NOREPLACE'), 'ENAMETOOLONG');
  assert.deepEqual(fs.readdirSync(dir), ['a']);
});

test('link: the new name is taken → EEXIST; it is free → a second name of the same socket', (t) => {
  const dir = directory(t);
  bound(t, `${dir}/a`, { backlog: 1 });
  fs.writeFileSync(`${dir}/b`, '');
  assert.equal(kernel.linkat(AT_FDCWD, `${dir}/a`, `${dir}/b`), 'EEXIST');
  assert.equal(kernel.linkat(AT_FDCWD, `${dir}/a`, `${dir}/c`), 0);
  assert.equal(value(kernel.fstatat(AT_FDCWD, `${dir}/c`)).nlink, 2);
  assert.equal(kernel.probe(`${dir}/c`), 'EPROTOTYPE');
});

test('chmod, chown: -1 leaves that id as it is', (t) => {
  const path = `${directory(t)}/file`;
  const fd = file(t, path);
  assert.equal(kernel.fchmodat(AT_FDCWD, path, 0o640), 0);
  assert.equal(kernel.fchownat(AT_FDCWD, path, -1, process.getgid!()), 0);
  const { mode, uid, gid } = value(kernel.fstat(fd));
  assert.deepEqual({ mode, uid, gid }, { mode: 0o640, uid: kernel.geteuid(), gid: process.getgid!() });
  assert.equal(kernel.fchmodat(AT_FDCWD, `${path}x`, 0o640), 'ENOENT');
  assert.equal(kernel.fchownat(AT_FDCWD, `${path}x`, -1, -1), 'ENOENT');
});

test('G6: fchmod before bind → the socket file has that mode, less the umask, from its first moment', onLinux, (t) => {
  const dir = directory(t);
  const modeOf = (mode: number) => {
    const path = `${dir}/${mode.toString(8)}`;
    bound(t, path, { mode });
    return value(kernel.fstatat(AT_FDCWD, path)).mode.toString(8);
  };
  assert.deepEqual([0o600, 0o660, 0o666, 0, 0o1600, 0o1666].map(modeOf), ['600', '640', '644', '0', '1600', '1644']);
});

test('bind: the name is taken by a socket, a dead one, a file or a dangling symlink → EADDRINUSE each time', (t) => {
  const dir = directory(t);
  bound(t, `${dir}/live`);
  bound(t, `${dir}/dead`).close();
  file(t, `${dir}/file`);
  fs.symlinkSync('nowhere', `${dir}/link`);
  const fd = value(kernel.socket());
  t.after(() => kernel.close(fd));
  for (const name of ['live', 'dead', 'file', 'link']) assert.equal(kernel.bind(fd, `${dir}/${name}`), 'EADDRINUSE', name);
  assert.equal(kernel.bind(fd, `${dir}/missing/x`), 'ENOENT');
  assert.equal(kernel.bind(fd, `${dir}/free`), 0, 'after the failures the socket is as good as new');
  assert.equal(kernel.bind(fd, `${dir}/second`), 'EINVAL');
});

test('bind: the longest pathname fits, one more byte → ENAMETOOLONG, and nothing is bound under a shorter name', (t) => {
  const dir = directory(t);
  const longest = `${dir}/`.padEnd(pathnameBytesMax, 'x');
  const fd = value(kernel.socket());
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, `${longest}x`), 'ENAMETOOLONG');
  assert.equal(kernel.bind(fd, `${longest.slice(0, -1)}é`), 'ENAMETOOLONG', 'bytes count, not characters');
  assert.equal(kernel.bind(fd, `${dir}/${'é'.repeat(500)}`), 'ENAMETOOLONG');
  assert.equal(kernel.bind(fd, `${dir}/a\0b`), 'EINVAL');
  assert.equal(kernel.bind(fd, ''), 'EINVAL');
  assert.deepEqual(fs.readdirSync(dir), []);
  assert.equal(kernel.bind(fd, longest), 0);
  assert.equal(value(kernel.fstatat(AT_FDCWD, longest)).type, 'socket');
});

test('bind: an abstract name → exactly its length, so that other programs find it', onLinux, (t) => {
  const name = `reuseaddr-test-${process.pid}`;
  bound(t, `\0${name}`, { backlog: 1 });
  const names = fs.readFileSync('/proc/net/unix', 'utf8').split('\n');
  assert.equal(names.filter((line) => line.endsWith(` @${name}`)).length, 1);
  bound(t, `\0${name}\0`); // A NUL at the end makes it another name.
  const fd = value(kernel.socket());
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, `\0${name}`), 'EADDRINUSE');
  const longest = `\0${name}`.padEnd(1 + 107, 'x');
  assert.equal(kernel.bind(fd, `${longest}x`), 'ENAMETOOLONG');
  assert.equal(kernel.bind(fd, longest), 0);
});

test('probe: live → EPROTOTYPE, whether it listens or not, and with a full backlog too', (t) => {
  const dir = directory(t);
  bound(t, `${dir}/bound`);
  bound(t, `${dir}/listening`, { backlog: 5 });
  assert.equal(kernel.probe(`${dir}/bound`), 'EPROTOTYPE');
  assert.equal(kernel.probe(`${dir}/listening`), 'EPROTOTYPE');
  bound(t, `${dir}/full`, { backlog: 0 });
  const client = net.connect(`${dir}/full`).on('error', () => {});
  t.after(() => client.destroy());
  assert.equal(kernel.probe(`${dir}/full`), 'EPROTOTYPE');
});

test('probe: dead → ECONNREFUSED, a file and a directory as well; missing → ENOENT; a dangling symlink → ENOENT', (t) => {
  const dir = directory(t);
  bound(t, `${dir}/closed`).close();
  bound(t, `${dir}/closed-listening`, { backlog: 5 }).close();
  file(t, `${dir}/file`);
  fs.symlinkSync('nowhere', `${dir}/dangling`);
  fs.symlinkSync('live', `${dir}/link`);
  bound(t, `${dir}/live`, { backlog: 5 });
  const answers = ['closed', 'closed-listening', 'file', '', 'missing', 'dangling', 'link'].map((name) =>
    kernel.probe(`${dir}/${name}`),
  );
  const refused = 'ECONNREFUSED';
  assert.deepEqual(answers, [refused, refused, refused, refused, 'ENOENT', 'ENOENT', 'EPROTOTYPE']);
  assert.equal(kernel.probe(`${dir}/`.padEnd(pathnameBytesMax + 1, 'x')), 'ENAMETOOLONG');
});

test('probe: an abstract name → ENOTSUP, as a datagram socket would find a live stream socket dead', onLinux, (t) => {
  const name = `\0reuseaddr-probe-${process.pid}`;
  bound(t, name, { backlog: 1 });
  assert.equal(kernel.probe(name), 'ENOTSUP');
});

test('probe: a listener is probed before a client comes → the server sees the client alone', async (t) => {
  const path = `${directory(t)}/socket`;
  const fd = value(kernel.socket());
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.listen(fd, 5), 0);
  for (let i = 0; i < 3; i++) assert.equal(kernel.probe(path), 'EPROTOTYPE');
  const client = net.connect(path);
  await once(client, 'connect');
  let connections = 0;
  const server = net.createServer((connection) => {
    connections++;
    connection.end();
  });
  server.listen({ fd });
  // The queue is first in, first out: what the probes had left would have been accepted before the
  // client.
  await once(client.resume(), 'end');
  assert.equal(connections, 1);
  server.close();
  await once(server, 'close');
});

test('sock_diag: it agrees with lstat, and follows the file, not the name', onLinux, (t) => {
  const dir = directory(t);
  const { fd } = bound(t, `${dir}/a`, { backlog: 1 });
  const named = value(kernel.fstatat(AT_FDCWD, `${dir}/a`));
  const identity = value(kernel.sock_diag(fd));
  assert.equal(identity.ino, BigInt.asUintN(32, named.ino));
  // Elsewhere (btrfs, overlays over two file systems) stat(2) gives another device than the one
  // that the kernel goes by.
  const [ext4, tmpfs, xfs] = [0xef53, 0x01021994, 0x58465342];
  if ([ext4, tmpfs, xfs].includes(fs.statfsSync(dir).type)) assert.equal(identity.dev, named.dev);

  assert.equal(kernel.renameat2(AT_FDCWD, `${dir}/a`, `${dir}/b`, 'RENAME_NOREPLACE'), 0);
  assert.deepEqual(kernel.sock_diag(fd), identity, 'after a rename');
  bound(t, `${dir}/a`);
  assert.deepEqual(kernel.sock_diag(fd), identity, 'with another socket at the old name');
  assert.notEqual(value(kernel.fstatat(AT_FDCWD, `${dir}/a`)).ino, named.ino);
  assert.equal(kernel.unlinkat(AT_FDCWD, `${dir}/b`), 0);
  assert.deepEqual(kernel.sock_diag(fd), identity, 'after an unlink');
});

test('sock_diag: bound to no file → ENOENT; no socket → ENOTSOCK', onLinux, (t) => {
  const fresh = value(kernel.socket());
  t.after(() => kernel.close(fresh));
  assert.equal(kernel.sock_diag(fresh), 'ENOENT');
  assert.equal(kernel.sock_diag(bound(t, `\0reuseaddr-diag-${process.pid}`).fd), 'ENOENT');
  assert.equal(kernel.sock_diag(file(t, `${directory(t)}/file`)), 'ENOTSOCK');
  assert.equal(kernel.sock_diag(-1 >>> 1), 'EBADF');
});

test('an open socket pins its inode → the next socket gets another number', (t) => {
  const dir = directory(t);
  for (let i = 0; i < 50; i++) {
    const first = bound(t, `${dir}/a`);
    const { ino } = value(kernel.fstatat(AT_FDCWD, `${dir}/a`));
    assert.equal(kernel.unlinkat(AT_FDCWD, `${dir}/a`), 0);
    const second = bound(t, `${dir}/a`);
    assert.notEqual(value(kernel.fstatat(AT_FDCWD, `${dir}/a`)).ino, ino);
    assert.equal(kernel.unlinkat(AT_FDCWD, `${dir}/a`), 0);
    second.close();
    first.close();
  }
});

test('listen: a socket without a name → EINVAL; sleep comes back; geteuid is ours', onLinux, (t) => {
  const fd = value(kernel.socket());
  t.after(() => kernel.close(fd));
  assert.equal(kernel.listen(fd, 1), 'EINVAL');
  assert.equal(kernel.sleep(1), 0);
  assert.equal(kernel.geteuid(), process.geteuid!());
});

/**
 * fstatat(2), fstat(2), and which file a socket is bound to, are each asked in two ways: by the
 * addon, and by node:fs. They must agree.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { AT_FDCWD, type FileStatus, type FileType } from '#dist/kernel/kernel.js';
import { diagnose, kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from '../support/directory.js';

const onLinux = { skip: process.platform === 'linux' ? false : 'statx(2) and sock_diag(7) are Linux' };

function ofNode(ask: () => fs.BigIntStats): FileStatus | string {
  try {
    const found = ask();
    const type = Object.entries({
      socket: found.isSocket(),
      file: found.isFile(),
      directory: found.isDirectory(),
      symlink: found.isSymbolicLink(),
      fifo: found.isFIFO(),
    }).find(([, is]) => is)?.[0];
    const { dev, ino } = found;
    const [mode, uid, gid, nlink, size] = [found.mode & 0o7777n, found.uid, found.gid, found.nlink, found.size].map(Number);
    return { dev, ino, type: (type ?? 'device') as FileType, mode: mode!, uid: uid!, gid: gid!, nlink: nlink!, size: size! };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  }
}

const lstatOfNode = (path: string): FileStatus | string => ofNode(() => fs.lstatSync(path, { bigint: true }));
const fstatOfNode = (fd: number): FileStatus | string => ofNode(() => fs.fstatSync(fd, { bigint: true }));

/** A file of each kind that can be made without privileges. */
function everyKind(t: TestContext): readonly string[] {
  const directory = temporaryDirectory(t);
  const socket = kernel.socket() as number;
  t.after(() => kernel.close(socket));
  assert.equal(kernel.bind(socket, `${directory}/socket`), 0);
  fs.writeFileSync(`${directory}/file`, 'some text');
  fs.chmodSync(`${directory}/file`, 0o4751);
  fs.linkSync(`${directory}/file`, `${directory}/second-name`);
  fs.symlinkSync('nowhere', `${directory}/symlink`);
  return [
    directory,
    ...['socket', 'file', 'symlink'].map((name) => `${directory}/${name}`),
    '/',
    '/dev/null',
    '/dev/shm',
    '/proc/self/stat',
  ];
}

test('lstat and fstat, by the addon and by node:fs → the same, of every kind of file', onLinux, (t) => {
  for (const path of everyKind(t)) {
    assert.deepEqual(kernel.fstatat(AT_FDCWD, path), lstatOfNode(path), path);
    const status = lstatOfNode(path);
    if (typeof status === 'string' || !['file', 'directory'].includes(status.type)) continue;
    const fd = fs.openSync(path, 'r');
    assert.deepEqual(kernel.fstat(fd), fstatOfNode(fd), path);
    fs.closeSync(fd);
  }
});

test('lstat and fstat of what can not be looked at → the same errno, by the addon and by node:fs', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/file`, '');
  fs.symlinkSync('loop', `${directory}/loop`);
  for (const path of [
    `${directory}/none`,
    `${directory}/file/below`,
    `${directory}/loop/below`,
    `/${'x'.repeat(300)}`,
    `/${'x/'.repeat(4096)}`,
  ])
    assert.equal(kernel.fstatat(AT_FDCWD, path), lstatOfNode(path), path.slice(0, 80));
  assert.equal(kernel.fstat(999_999), fstatOfNode(999_999));
  assert.equal(kernel.fstat(-100), 'EBADF');
});

test('which file a socket is bound to, with and without the privilege to ask directly → the same', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const fd = kernel.socket() as number;
  t.after(() => kernel.close(fd));
  assert.equal(kernel.sock_diag(fd), 'ENOENT');
  assert.equal(diagnose(fd), 'ENOENT');
  kernel.bind(fd, `${directory}/socket`);
  const before = fs.readdirSync('/proc/self/fd').length;
  assert.deepEqual(kernel.sock_diag(fd), diagnose(fd));
  fs.unlinkSync(`${directory}/socket`);
  assert.deepEqual(kernel.sock_diag(fd), diagnose(fd));
  assert.equal(fs.readdirSync('/proc/self/fd').length, before);
});

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim, type SocketAddressError } from 'reuseaddr';
import { inodeAt, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, inMountNamespace, secondStranger, stranger, withMounts } from '../support/privileges.js';
import { Program } from '../support/program.js';

/** A lock file that another user made. */
function foreignLock(directory: string, mode: number, owner: { readonly uid: number; readonly gid: number } = stranger): void {
  fs.writeFileSync(`${directory}/app.sock.lock`, '');
  fs.chmodSync(`${directory}/app.sock.lock`, mode);
  fs.chownSync(`${directory}/app.sock.lock`, owner.uid, owner.gid);
}

async function refusedTo(t: TestContext, directory: string, user: { readonly uid: number; readonly gid: number } | undefined) {
  const before = snapshot(directory);
  const program = await Program.start(t, user);
  const { code, reason } = await program.refused('claim', { address: `${directory}/app.sock` });
  await program.kill();
  assert.deepEqual(snapshot(directory), before);
  return [code, reason];
}

test(
  'another user’s lock file in a directory that all may write to → refused and untouched, for root as well',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o1777);
    foreignLock(directory, 0o600);
    assert.deepEqual(await refusedTo(t, directory, undefined), ['EACCES', 'lock-foreign-owner']);
    assert.deepEqual(await refusedTo(t, directory, secondStranger), ['EACCES', 'lock-denied']);
    fs.chmodSync(`${directory}/app.sock.lock`, 0o666);
    assert.deepEqual(await refusedTo(t, directory, secondStranger), ['EACCES', 'lock-foreign-owner']);
    const owner = await Program.start(t, stranger);
    await owner.ask('claim', { address: `${directory}/app.sock` });
  },
);

test('root’s lock file, or that of the directory’s owner, in a shared directory → it is used', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o1777);
  for (const owner of [{ uid: 0, gid: 0 }, secondStranger]) {
    fs.chownSync(directory, owner.uid, owner.gid);
    foreignLock(directory, 0o666, owner);
    const program = await Program.start(t, stranger);
    await program.ask('claim', { address: `${directory}/app.sock` });
    await program.ask('release', { address: `${directory}/app.sock` });
    fs.rmSync(`${directory}/app.sock.lock`);
  }
});

test(
  'another user’s lock file in a directory that only its owner writes to → it is used where it can be opened',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o755);
    foreignLock(directory, 0o600);
    const held = await claim(`${directory}/app.sock`);
    await held.release();
    fs.chownSync(directory, secondStranger.uid, secondStranger.gid);
    assert.deepEqual(await refusedTo(t, directory, secondStranger), ['EACCES', 'lock-denied']);
    fs.chmodSync(`${directory}/app.sock.lock`, 0o666);
    const program = await Program.start(t, secondStranger);
    await program.ask('claim', { address: `${directory}/app.sock` });
  },
);

test('a directory that this user may not write to → EACCES, nothing is made', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o755);
  assert.deepEqual(await refusedTo(t, directory, stranger), ['EACCES', 'system']);
  foreignLock(directory, 0o600);
  assert.deepEqual(await refusedTo(t, directory, stranger), ['EACCES', 'system'], 'its own lock file there, but no socket file');
});

test('a directory that this user may not search → EACCES', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o700);
  const program = await Program.start(t, stranger);
  const { code, reason } = await program.refused('claim', { address: `${directory}/app.sock` });
  assert.deepEqual([code, reason], ['EACCES', 'system']);
});

test('a socket of another user’s server that died, in one’s own directory → it is replaced', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  const address = `${directory}/app.sock`;
  const crashed = await Program.start(t, stranger);
  await crashed.ask('claim', { address, options: { mode: 0o666 } });
  await crashed.kill();
  fs.chmodSync(directory, 0o755);
  const held = await claim(address);
  assert.equal(fs.statSync(address).uid, 0);
  await held.release();
});

test('a lock file that its owner may not open, left by a crash under a strange umask → it is repaired, and the start succeeds', async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  const user = process.geteuid?.() === 0 ? stranger : {};
  const program = await Program.start(t, user);
  const address = `${directory}/app.sock`;
  await program.ask('umask', { mask: 0o777 });
  await program.ask('listen', { address });
  await program.kill();
  fs.chmodSync(`${address}.lock`, 0);
  const next = await Program.start(t, user);
  await next.ask('umask', { mask: 0o777 });
  await next.ask('listen', { address });
  // All users may replace files in this directory.
  assert.equal(fs.statSync(`${address}.lock`).mode & 0o7777, 0o1666);
  assert.equal(fs.statSync(address).mode & 0o7777, 0o600);
});

/**
 * A program that sees a small file system of its own, or whatever these commands mount at the
 * directory.
 */
async function mounted(t: TestContext, directory: string, commands: string): Promise<Program> {
  return await Program.start(t, { under: inMountNamespace(directory, commands) });
}

test('a read-only mount → EROFS, whether the lock file is there or not', withMounts, async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const commands = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"';
  const program = await mounted(t, directory, commands);
  const before = snapshot(directory);
  const { code, syscall, message } = await program.refused('claim', { address });
  assert.deepEqual([code, syscall], ['EROFS', 'open']);
  assert.match(message, /read-only/);
  assert.deepEqual(snapshot(directory), before);
  fs.writeFileSync(`${address}.lock`, '');
  assert.equal((await program.refused('claim', { address })).code, 'EROFS');
  const elsewhere = temporaryDirectory(t);
  const { code: bindCode, syscall: bindCall } = await program.refused('claim', {
    address,
    options: { lockPath: `${elsewhere}/lock` },
  });
  assert.deepEqual([bindCode, bindCall], ['EROFS', 'bind']);
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
});

test(
  'a disk without a free inode → ENOSPC, nothing of ours is left; with room again → the start succeeds',
  withMounts,
  async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/app.sock`;
    // The root directory has an inode too. Room for 0 files: no lock file. For 1: the lock file,
    // but no socket file.
    for (const [room, syscall, left] of [
      [1, 'open', []],
      [2, 'bind', ['app.sock.lock']],
    ] as const) {
      const program = await mounted(t, directory, `mount -t tmpfs -o size=64k,nr_inodes=${room} tmpfs "$1"`);
      const failure = await program.refused('listen', { address });
      assert.deepEqual([failure.code, failure.syscall], ['ENOSPC', syscall]);
      assert.match(failure.message, /full/);
      assert.deepEqual(await program.ask('list', { path: directory }), left);
    }
    const program = await mounted(t, directory, 'mount -t tmpfs -o size=64k,nr_inodes=3 tmpfs "$1"');
    await program.ask('write', { path: `${directory}/other`, bytes: 1 });
    assert.equal((await program.refused('listen', { address })).code, 'ENOSPC');
    await program.ask('remove', { path: `${directory}/other` });
    await program.ask('listen', { address });
    assert.equal(await program.ask('connect', { address }), program.pid);
  },
);

test('a disk without a free block → the record cannot be written, and the server listens all the same', withMounts, async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const program = await mounted(t, directory, 'mount -t tmpfs -o size=4k tmpfs "$1"');
  await program.ask('write', { path: `${directory}/other`, bytes: 4096 });
  await program.ask('listen', { address });
  assert.equal(await program.ask('connect', { address }), program.pid);
  assert.equal((await program.refused('listen', { address })).reason, 'held');
  await program.ask('release', { address });
  await program.ask('listen', { address });
  await program.ask('release', { address });
  assert.deepEqual(await program.ask('list', { path: directory }), ['app.sock.lock', 'other']);
});

test('a missing directory, or a file in its place → ENOENT or ENOTDIR, nothing is made', async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/file`, '');
  const before = snapshot(directory);
  const failure = async (address: string, options = {}): Promise<unknown> =>
    await claim(address, options).catch((error: unknown) => [
      (error as SocketAddressError).code,
      (error as SocketAddressError).reason,
    ]);
  assert.deepEqual(await failure(`${directory}/missing/app.sock`), ['ENOENT', 'no-directory']);
  assert.deepEqual(await failure(`${directory}/file/app.sock`), ['ENOTDIR', 'no-directory']);
  assert.deepEqual(await failure(`${directory}/app.sock`, { lockPath: `${directory}/missing/lock` }), ['ENOENT', 'no-directory']);
  assert.deepEqual(snapshot(directory), before);
});

test('a relative path in a directory that was removed → ENOENT, nothing is made', async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/gone`);
  const program = await Program.start(t, { cwd: `${directory}/gone` });
  fs.rmdirSync(`${directory}/gone`);
  const { code, reason } = await program.refused('claim', { address: 'app.sock' });
  assert.deepEqual([code, reason], ['ENOENT', 'no-directory']);
  assert.deepEqual(fs.readdirSync(directory), []);
  assert.equal(inodeAt(`${directory}/gone`), undefined);
});

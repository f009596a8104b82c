import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { kernel } from '#dist/kernel/posix.js';
import { waitingKernel } from '#dist/kernel/wait.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { blockedWaits, until, waitThreads } from '../support/waits.js';

const lockFlags = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';

/** A lock file that another process has locked, and a descriptor of it to wait with. */
function heldLock(t: TestContext) {
  const directory = temporaryDirectory(t);
  const path = `${directory}/lock`;
  fs.writeFileSync(path, '');
  const [held, fd] = [0, 1].map(() => kernel.openat(AT_FDCWD, path, lockFlags, 0) as number) as [number, number];
  assert.equal(kernel.flock(held, 'LOCK_EX|LOCK_NB'), 0);
  t.after(() => [held, fd].forEach((opened) => kernel.close(opened)));
  return { directory, path, fd };
}

/** The actions of outsiders on a lock file on which a process sleeps. */
const removals: Readonly<Record<string, (path: string) => void>> = {
  removed: (path) => fs.unlinkSync(path),
  'renamed away': (path) => fs.renameSync(path, `${path}.old`),
  'replaced by another file': (path) => {
    fs.writeFileSync(`${path}.new`, '');
    fs.renameSync(`${path}.new`, path);
  },
};

for (const [what, remove] of Object.entries(removals)) {
  test(`the lock file is ${what} while a standby sleeps on it → ESTALE`, onLinux, async (t) => {
    const { path, fd } = heldLock(t);
    const waited = waitingKernel(undefined, path).flock(fd, 'LOCK_EX');
    await until(() => blockedWaits(path) === 1);
    remove(path);
    assert.equal(await waited, 'ESTALE');
    await until(() => waitThreads() === 0);
  });
}

test('the lock file was removed before the wait began → ESTALE', async (t) => {
  const { path, fd } = heldLock(t);
  fs.unlinkSync(path);
  assert.equal(await waitingKernel(undefined, path).flock(fd, 'LOCK_EX'), 'ESTALE');
});

test('other files come and go, and the lock file is written to → the wait continues until cancelled', onLinux, async (t) => {
  const { directory, path, fd } = heldLock(t);
  const controller = new AbortController();
  let ended = false;
  const waited = Promise.resolve(waitingKernel(controller.signal, path).flock(fd, 'LOCK_EX')).finally(() => {
    ended = true;
  });
  await until(() => blockedWaits(path) === 1);
  // A second watcher, made later, is told of each event after the first one was.
  const watcher = fs.watch(directory);
  t.after(() => watcher.close());
  for (const change of ['other', 'lock']) {
    const told = once(watcher, 'change');
    fs.writeFileSync(`${directory}/${change}`, 'x');
    await told;
  }
  assert.equal(ended, false);
  controller.abort();
  assert.equal(await waited, 'ECANCELED');
});

test('a program watches and has nothing else to do → it ends', async () => {
  const watchUrl = JSON.stringify(import.meta.resolve('#dist/kernel/watchLockFile.js'));
  const script = `
    const fs = await import('node:fs');
    const { watchLockFile } = await import(${watchUrl});
    watchLockFile(process.execPath, fs.openSync(process.execPath), () => process.exit(1));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

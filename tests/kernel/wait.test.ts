import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { kernel } from '#dist/kernel/posix.js';
import { tryAgainAndAgain, waitingKernel } from '#dist/kernel/wait.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { connectedPair } from '../support/sockets.js';
import { blockedWaits, until, waitThreads } from '../support/waits.js';

const lockFlags = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';

/** A lock file with two open file descriptions: one that holds the lock, and one that doesn't. */
function heldLock(t: TestContext): { readonly path: string; readonly held: number; readonly other: number; readonly release: () => void } {
  const path = `${temporaryDirectory(t)}/lock`;
  fs.writeFileSync(path, '');
  const held = kernel.open(path, lockFlags, 0) as number;
  const other = kernel.open(path, lockFlags, 0) as number;
  assert.equal(kernel.flock(held, 'LOCK_EX|LOCK_NB'), 0);
  let open = true;
  const release = () => {
    if (open) kernel.close(held);
    open = false;
  };
  t.after(() => {
    release();
    kernel.close(other);
  });
  return { path, held, other, release };
}

test('the holder is killed → the wait ends, and the lock is had', onLinux, async (t) => {
  const { path, held, other, release } = heldLock(t);
  const holder = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore', held] });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder, 'spawn');
  release();
  const waited = waitingKernel().flock(other, 'LOCK_EX');
  await until(() => blockedWaits(path) === 1);
  holder.kill('SIGKILL');
  assert.equal(await waited, 0);
  const third = kernel.open(path, lockFlags, 0) as number;
  assert.equal(kernel.flock(third, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  kernel.close(third);
});

test('the lock is free → the wait ends at once; without waiting it is as before', async (t) => {
  const { other, release } = heldLock(t);
  assert.equal(await waitingKernel().flock(other, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  release();
  assert.equal(await waitingKernel().flock(other, 'LOCK_EX'), 0);
});

test('two wait, and the holder closes → one has the lock, and the other goes on waiting until that closes', onLinux, async (t) => {
  const { path, other, release } = heldLock(t);
  const second = kernel.open(path, lockFlags, 0) as number;
  const { flock } = waitingKernel();
  const waits = [other, second].map(async (fd) => {
    assert.equal(await flock(fd, 'LOCK_EX'), 0);
    return fd;
  });
  await until(() => blockedWaits(path) === 2);
  release();
  const first = await Promise.race(waits);
  assert.equal(blockedWaits(path), 1);
  // Not `other`, which is closed after the test: its duplicate has the same lock, so that has to be given up by its last owner.
  const closed = kernel.flock(first, 'LOCK_EX|LOCK_NB');
  assert.equal(closed, 0);
  if (first === second) kernel.close(second);
  else fs.closeSync(fs.openSync('/dev/null', 'r'));
  if (first === other) t.diagnostic('the first came first');
});

test('called off before it begins → ECANCELED, and there is no thread and no descriptor', onLinux, (t) => {
  const { other } = heldLock(t);
  const before = openDescriptors();
  const waited = waitingKernel(AbortSignal.abort()).flock(other, 'LOCK_EX');
  assert.deepEqual([waitThreads(), openDescriptors()], [0, before]);
  return Promise.resolve(waited).then((result) => assert.equal(result, 'ECANCELED'));
});

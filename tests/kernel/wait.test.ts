import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { getEventListeners, once, setMaxListeners } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { kernel } from '#dist/kernel/posix.js';
import { tryAgainAndAgain, waitingKernel } from '#dist/kernel/wait.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { connectedPair } from '../support/sockets.js';
import { blockedWaits, until, waitThreads } from '../support/waits.js';

/**
 * A lock file, which is locked: `open` opens it anew, `release` closes the descriptor that has the
 * lock.
 */
function heldLock(t: TestContext) {
  const path = `${temporaryDirectory(t)}/lock`;
  fs.writeFileSync(path, '');
  const opened = new Set<number>();
  const open = () => {
    const fd = kernel.openat(AT_FDCWD, path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0) as number;
    opened.add(fd);
    return fd;
  };
  const close = (fd: number) => {
    if (opened.delete(fd)) assert.equal(kernel.close(fd), 0);
  };
  t.after(() => [...opened].forEach(close));
  const held = open();
  assert.equal(kernel.flock(held, 'LOCK_EX|LOCK_NB'), 0);
  return { path, held, open, close, release: () => close(held) };
}

/** The results of all waits, in their order. */
async function all(waits: readonly unknown[]): Promise<unknown[]> {
  const results: unknown[] = [];
  for (const wait of waits) results.push(await wait);
  return results;
}

/** A signal that many waits share; Node warns of more than ten. */
function manyAborted(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

test('the holder is killed → the wait ends, and the waiter has the lock', onLinux, async (t) => {
  const { path, held, open, release } = heldLock(t);
  const holder = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore', held] });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder, 'spawn');
  release();
  const waited = waitingKernel().flock(open(), 'LOCK_EX');
  await until(() => blockedWaits(path) === 1);
  holder.kill('SIGKILL');
  assert.equal(await waited, 0);
  assert.equal(kernel.flock(open(), 'LOCK_EX|LOCK_NB'), 'EAGAIN');
});

test('the lock is free → the wait ends at once; without waiting it is as before', async (t) => {
  const { open, release } = heldLock(t);
  const fd = open();
  assert.equal(waitingKernel().flock(fd, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  release();
  assert.equal(await waitingKernel().flock(fd, 'LOCK_EX'), 0);
});

test(
  'three wait, and the holder closes → they have the lock one after the other, each when the one before it closes',
  onLinux,
  async (t) => {
    const { path, open, close, release } = heldLock(t);
    const { flock } = waitingKernel();
    const waits = new Map(
      [open(), open(), open()].map((fd) => [fd, Promise.resolve(flock(fd, 'LOCK_EX')).then((result) => ({ fd, result }))]),
    );
    await until(() => blockedWaits(path) === 3);
    release();
    for (const left of [2, 1, 0]) {
      const { fd, result } = await Promise.race(waits.values());
      assert.equal(result, 0);
      await until(() => blockedWaits(path) === left);
      waits.delete(fd);
      close(fd);
    }
  },
);

test('called off before it begins → ECANCELED, and neither a thread nor a descriptor', onLinux, async (t) => {
  const fd = heldLock(t).open();
  const { client } = await connectedPair(t);
  const before = openDescriptors();
  const { flock, poll } = waitingKernel(AbortSignal.abort());
  const waits = [flock(fd, 'LOCK_EX'), poll(client, Infinity)];
  await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
  assert.deepEqual([waitThreads(), openDescriptors()], [0, before]);
  assert.deepEqual(await all(waits), ['ECANCELED', 'ECANCELED']);
});

test('the watch of the lock file throws → the wait fails with it, and leaves no listener at the signal', async (t) => {
  const { open } = heldLock(t);
  const { signal } = new AbortController();
  const noPath = 1 as unknown as string;
  await assert.rejects(async () => await waitingKernel(signal, noPath).flock(open(), 'LOCK_EX'), TypeError);
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('the descriptor is not open → EBADF, and no other descriptor is left', onLinux, async () => {
  const before = openDescriptors();
  const { flock, poll } = waitingKernel();
  assert.deepEqual(await all([flock(-1, 'LOCK_EX'), poll(-1, 1)]), ['EBADF', 'EBADF']);
  await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
  assert.deepEqual([waitThreads(), openDescriptors()], [0, before]);
});

test(
  '64 waits are blocked → files are read meanwhile; called off, all end, and no thread and no descriptor is left',
  onLinux,
  async (t) => {
    const { path, open } = heldLock(t);
    const fd = open();
    await fs.promises.readFile(path);
    const before = openDescriptors();
    const controller = manyAborted();
    const { flock } = waitingKernel(controller.signal);
    const waits = Array.from({ length: 64 }, () => flock(fd, 'LOCK_EX'));
    await until(() => blockedWaits(path) === 64);
    assert.equal(waitThreads(), 64);
    // libuv's pool has four threads. Were they the ones that wait, this would never end.
    await Promise.all(Array.from({ length: 16 }, () => fs.promises.readFile(path)));
    controller.abort();
    assert.deepEqual(new Set(await all(waits)), new Set(['ECANCELED']));
    await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
    assert.deepEqual([waitThreads(), openDescriptors(), blockedWaits(path)], [0, before, 0]);
  },
);

test('waits are called off at every moment of their beginning → none is lost', onLinux, async (t) => {
  const { open } = heldLock(t);
  const fd = open();
  const { client } = await connectedPair(t);
  const [rounds, together] = [200, 32];
  let random = 20_260_101;
  for (let round = 0; round < rounds; round++) {
    const controller = manyAborted();
    const { flock, poll } = waitingKernel(controller.signal);
    const waits = Array.from({ length: together }, (_, i) => (i % 8 === 7 ? poll(client, Infinity) : flock(fd, 'LOCK_EX')));
    if (round % 2 === 0) await setImmediate();
    // From right after the threads were made, to when they are inside the call: that takes about
    // 0.1 ms.
    random = (random * 48_271) % 0x7fff_ffff;
    for (const from = process.hrtime.bigint(); process.hrtime.bigint() - from < random % 200_000;);
    controller.abort();
    assert.deepEqual(new Set(await all(waits)), new Set(['ECANCELED']));
  }
  await until(() => waitThreads() === 0);
  t.diagnostic(`${rounds * together} waits called off, none lost`);
});

test(
  'the lock comes in the moment in which the wait is called off → ECANCELED, and the close of the descriptor frees it',
  onLinux,
  async (t) => {
    const { path, open, close, release } = heldLock(t);
    const fd = open();
    const controller = new AbortController();
    const waited = waitingKernel(controller.signal).flock(fd, 'LOCK_EX');
    await until(() => blockedWaits(path) === 1);
    release();
    // In one turn of the event loop, so that the thread's report finds the wait called off.
    while (blockedWaits(path) > 0);
    controller.abort();
    assert.equal(await waited, 'ECANCELED');
    close(fd);
    assert.equal(kernel.flock(open(), 'LOCK_EX|LOCK_NB'), 0);
  },
);

test('a signal comes for the process → its listener is called, and the wait continues', onLinux, async (t) => {
  const { path, open, release } = heldLock(t);
  const waited = waitingKernel().flock(open(), 'LOCK_EX');
  await until(() => blockedWaits(path) === 1);
  for (const signal of ['SIGUSR2', 'SIGURG', 'SIGWINCH'] as const) {
    const came = once(process, signal);
    process.kill(process.pid, signal);
    await came;
  }
  assert.equal(await Promise.race([Promise.resolve(waited), Promise.resolve('waiting')]), 'waiting');
  release();
  assert.equal(await waited, 0);
});

test('no thread can wait → the lock is tried repeatedly, and taken when the holder closes; called off: ECANCELED', async (t) => {
  const { open, release } = heldLock(t);
  const fd = open();
  const end = (called: 'off' | 'on') =>
    new Promise((resolve) => {
      const callOff = tryAgainAndAgain(fd)(resolve);
      assert.ok(typeof callOff === 'function');
      if (called === 'off') setTimeout(callOff, 1);
      else setTimeout(release, 1);
    });
  assert.equal(await end('off'), 'ECANCELED');
  assert.equal(await end('on'), 0);
});

test('poll: something to read, the other end closes, a client connects → 0; nothing → ETIMEDOUT', async (t) => {
  const { client, server, closeServer } = await connectedPair(t);
  const { poll } = waitingKernel();
  assert.equal(await poll(client, 0), 'ETIMEDOUT');
  assert.equal(await poll(client, 1.5), 'ETIMEDOUT');
  const waited = poll(client, Infinity);
  assert.equal(kernel.sendmsg(server, 'x', []), 1);
  assert.equal(await waited, 0);
  assert.equal(await poll(client, 0), 0, 'it has not been read');
  assert.deepEqual(kernel.recvmsg(client, 10, 0), { text: 'x', fds: [] });
  const closed = poll(client, 2 ** 40);
  await closeServer();
  assert.equal(await closed, 0);

  const listening = kernel.socket() as number;
  t.after(() => kernel.close(listening));
  const path = `${temporaryDirectory(t)}/s`;
  assert.deepEqual([kernel.bind(listening, path), kernel.listen(listening, 1)], [0, 0]);
  const connected = poll(listening, Infinity);
  kernel.close(kernel.connect(path) as number);
  assert.equal(await connected, 0);
});

test('the kernel that does not wait is asked to → ENOSYS', async (t) => {
  const { client } = await connectedPair(t);
  assert.equal(kernel.poll(client, 1), 'ENOSYS');
  assert.equal(kernel.flock(client, 'LOCK_EX'), 'ENOSYS');
  assert.equal(kernel.accepting('start', client), 'ENOSYS');
});

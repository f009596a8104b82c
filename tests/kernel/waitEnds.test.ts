import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { blockedWaits, until, waitThreads } from '../support/waits.js';

const lockFlags = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const posix = JSON.stringify(import.meta.resolve('#dist/kernel/posix.js'));
const waiting = JSON.stringify(import.meta.resolve('#dist/kernel/wait.js'));

/**
 * The first action of a thread or a process: `path` is the lock file, and `wait()` begins a wait
 * for its lock.
 */
const prelude = `
  const { kernel } = await import(${posix});
  const { waitingKernel } = await import(${waiting});
  const fd = kernel.openat(-100, path, '${lockFlags}', 0);
  const wait = () => waitingKernel().flock(fd, 'LOCK_EX');`;

/** A lock file that is locked until `release` is called. */
function heldLock(t: TestContext): { readonly path: string; readonly release: () => void } {
  const path = `${temporaryDirectory(t)}/lock`;
  fs.writeFileSync(path, '');
  const fd = kernel.openat(AT_FDCWD, path, lockFlags, 0) as number;
  assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 0);
  let open = true;
  const release = () => {
    if (open) kernel.close(fd);
    open = false;
  };
  t.after(release);
  return { path, release };
}

function lockNow(path: string): string | number {
  const fd = kernel.openat(AT_FDCWD, path, lockFlags, 0) as number;
  const result = kernel.flock(fd, 'LOCK_EX|LOCK_NB');
  kernel.close(fd);
  return result;
}

function worker(t: TestContext, path: string, statements: string): Worker {
  const code = `const { workerData: path, parentPort } = require('node:worker_threads'); (async () => { ${prelude} ${statements} })();`;
  const thread = new Worker(code, { eval: true, workerData: path });
  t.after(() => thread.terminate());
  return thread;
}

/** A process that runs this; gives its exit status or signal, and what it printed. */
async function runProgram(t: TestContext, path: string, statements: string, whileItRuns: () => void) {
  const script = `const path = process.argv[1]; ${prelude} ${statements}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, path], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const ended = once(child, 'close');
  await Promise.race([until(() => blockedWaits(path) === 4), ended]);
  whileItRuns();
  const [status, signal] = (await ended) as [number | null, string | null];
  return { ended: status ?? signal, printed };
}

test(
  'a worker is terminated while it waits → its threads are gone, the process continues, and the lock is free',
  onLinux,
  async (t) => {
    const { path, release } = heldLock(t);
    const thread = worker(t, path, `for (let i = 0; i < 64; i++) wait();`);
    await until(() => blockedWaits(path) === 64);
    await thread.terminate();
    await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
    assert.deepEqual([waitThreads(), blockedWaits(path)], [0, 0]);
    release();
    assert.equal(lockNow(path), 0);
  },
);

test('a worker ends by itself while it waits, by process.exit or by an error → likewise', onLinux, async (t) => {
  const { path, release } = heldLock(t);
  for (const end of ['process.exit()', `throw new Error('meant')`]) {
    const thread = worker(
      t,
      path,
      `for (let i = 0; i < 8; i++) wait(); parentPort.once('message', () => { ${end} }); parentPort.postMessage(0);`,
    );
    thread.on('error', () => undefined);
    const ended = new Promise((resolve) => thread.once('exit', resolve));
    await until(() => blockedWaits(path) === 8);
    thread.postMessage(0);
    await ended;
    await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
    assert.deepEqual([waitThreads(), blockedWaits(path)], [0, 0], end);
  }
  release();
  assert.equal(lockNow(path), 0);
});

test('a worker is terminated in the moment in which its wait ends → nothing breaks, and the lock is free', onLinux, async (t) => {
  const rounds = 16;
  for (let round = 0; round < rounds; round++) {
    const { path, release } = heldLock(t);
    const thread = worker(t, path, `for (let i = 0; i < 8; i++) wait();`);
    await until(() => blockedWaits(path) === 8);
    // All eight have the lock at once, as their descriptors are duplicates of one.
    if (round % 2 === 0) release();
    const terminated = thread.terminate();
    release();
    await terminated;
    await until(() => waitThreads() === 0); // A thread that was joined is listed for a moment longer.
    assert.deepEqual([waitThreads(), lockNow(path)], [0, 0]);
  }
  t.diagnostic(`${rounds} workers terminated`);
});

test('a worker has ended → other threads continue to wait, and are woken', onLinux, async (t) => {
  const { path, release } = heldLock(t);
  const short = worker(t, path, 'wait();');
  await until(() => blockedWaits(path) === 1);
  const long = worker(t, path, 'parentPort.postMessage(await wait());');
  const woken = once(long, 'message');
  await until(() => blockedWaits(path) === 2);
  await short.terminate();
  release();
  assert.deepEqual(await woken, [0]);
});

test('a program has nothing to do but to wait → it stays, until it has the lock', onLinux, async (t) => {
  const { path, release } = heldLock(t);
  const all = 'console.log(await Promise.all([wait(), wait(), wait(), wait()]));';
  assert.deepEqual(await runProgram(t, path, all, release), { ended: 0, printed: '[ 0, 0, 0, 0 ]\n' });
});

test('a program exits, throws or is killed while it waits → it ends, and no wait is left', onLinux, async (t) => {
  const { path, release } = heldLock(t);
  const waits = 'for (let i = 0; i < 4; i++) wait();';
  const whenAllWait = (end: string) => `
    const fs = await import('node:fs');
    const { ino } = fs.statSync(path);
    setInterval(() => {
      const blocked = fs.readFileSync('/proc/locks', 'utf8').split('\\n').filter((line) => line.includes('-> FLOCK') && line.includes(':' + ino + ' '));
      if (blocked.length === 4) ${end};
    });`;
  const nothing = () => undefined;
  assert.equal((await runProgram(t, path, waits + whenAllWait('process.exit(7)'), nothing)).ended, 7);
  assert.equal((await runProgram(t, path, waits + whenAllWait(`throw new Error('meant')`), nothing)).ended, 1);
  assert.equal(
    (await runProgram(t, path, waits + whenAllWait(`process.kill(process.pid, 'SIGTERM')`), nothing)).ended,
    'SIGTERM',
  );
  assert.equal((await runProgram(t, path, `${waits} process.exit(7)`, nothing)).ended, 7, 'before the threads have begun');
  assert.equal(blockedWaits(path), 0);
  release();
  assert.equal(lockNow(path), 0);
});

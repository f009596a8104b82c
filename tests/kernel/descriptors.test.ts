import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { kernel } from '#dist/kernel/posix.js';
import { needs } from '../support/commands.js';

const posix = import.meta.resolve('#dist/kernel/posix.js');

function directory(t: TestContext): string {
  const path = fs.mkdtempSync(join(os.tmpdir(), 'ra-'));
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A thread that runs these statements; what it is asked to `post` comes as messages. */
function worker(t: TestContext, dir: string, statements: string): Worker {
  const thread = new Worker(
    `const { parentPort, workerData: dir } = require('node:worker_threads');
     const net = require('node:net');
     const post = (message) => parentPort.postMessage(message);
     const lockFlags = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
     import(${JSON.stringify(posix)}).then(async ({ kernel }) => { ${statements} });`,
    { eval: true, workerData: dir },
  );
  t.after(() => thread.terminate());
  return thread;
}

test('a worker opens and closes files and sockets with the same numbers → each layer closes its own, without a warning', async (t) => {
  const thread = worker(
    t,
    directory(t),
    `const warnings = [];
     process.on('warning', (warning) => warnings.push(warning.message));
     const numbers = new Set();
     const results = new Set();
     for (let i = 0; i < 3; i++) {
       const file = kernel.openat(-100, dir + '/' + i, lockFlags, 0o600);
       results.add(kernel.close(file));
       const socket = kernel.socket();
       results.add(kernel.close(socket));
       numbers.add(file).add(socket);
     }
     // libuv closes this one. Its number goes to a file next, which Node must close.
     const handed = kernel.socket();
     kernel.bind(handed, dir + '/socket');
     const server = net.createServer();
     await new Promise((listening) => server.listen({ fd: handed }, listening));
     await new Promise((closed) => server.close(closed));
     const file = kernel.openat(-100, dir + '/last', lockFlags, 0o600);
     numbers.add(file);
     results.add(kernel.close(file));
     setImmediate(() => post({ warnings, numbers: numbers.size, reused: file === handed, results: [...results] }));`,
  );
  const [report] = (await once(thread, 'message')) as [unknown];
  assert.deepEqual(report, { warnings: [], numbers: 1, reused: true, results: [0] });
});

test('a worker is terminated while it holds a lock, with a record → the lock is free', async (t) => {
  const dir = directory(t);
  const thread = worker(
    t,
    dir,
    `const fd = kernel.openat(-100, dir + '/lock', lockFlags, 0o600);
     kernel.pwrite(fd, 'record');
     kernel.mmap(fd, 'mapped');
     post(kernel.flock(fd, 'LOCK_EX|LOCK_NB'));
     setInterval(() => {}, 1_000_000);`,
  );
  assert.deepEqual(await once(thread, 'message'), [0]);
  const fd = kernel.openat(AT_FDCWD, `${dir}/lock`, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0) as number;
  t.after(() => kernel.close(fd));
  assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  await thread.terminate();
  assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 0);
});

/** Opens a file and closes it again, while the nth look of the addon at the file fails with EIO. */
function openAndClose(t: TestContext, nth: number): unknown {
  const path = join(directory(t), 'file');
  fs.writeFileSync(path, '');
  const script = `import fs from 'node:fs';
    const { kernel } = await import(${JSON.stringify(posix)});
    const opened = kernel.openat(-100, process.argv[1], 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    const closed = typeof opened === 'number' ? kernel.close(opened) : opened;
    const left = fs.readdirSync('/proc/self/fd').filter((fd) => {
      try { return fs.readlinkSync('/proc/self/fd/' + fd) === process.argv[1]; } catch { return false; }
    });
    console.log(JSON.stringify({ closed, left: left.length }));`;
  const strace = ['-qq', '-o', `${path}.log`, '-P', path, '-e', 'trace=statx,fstat,newfstatat'];
  const inject = ['-e', `inject=statx,fstat,newfstatat:error=EIO:when=${nth}`];
  const node = [process.execPath, '--input-type=module', '-e', script, path];
  const { stdout, stderr } = spawnSync('strace', [...strace, ...inject, ...node], { encoding: 'utf8' });
  assert.match(fs.readFileSync(`${path}.log`, 'utf8'), /INJECTED/, stderr);
  return JSON.parse(stdout);
}

test('the kernel cannot identify a file that is opened → the errno, and the descriptor is closed', needs('strace'), (t) => {
  assert.deepEqual(openAndClose(t, 1), { closed: 'EIO', left: 0 });
});

test('the kernel cannot identify a file that is closed → the descriptor is closed all the same', needs('strace'), (t) => {
  assert.deepEqual(openAndClose(t, 2), { closed: 0, left: 0 });
});

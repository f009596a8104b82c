import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

interface Report {
  /** How many calls of the addon the operation makes. */
  readonly calls: number;
  readonly seen: readonly string[];
  readonly wrong: readonly { readonly call: string }[];
}

/** The operations of the fixture, and some of the calls that must have thrown. */
const operations: Readonly<Record<string, readonly string[]>> = {
  'listen on a free path': ['openat', 'flock', 'socket', 'bind', 'listen', 'pwrite'],
  'listen, and watch the files': ['openat', 'flock', 'socket', 'bind', 'listen', 'mmap'],
  'listen with handover and a mode, over a stale socket': ['probe', 'renameat2', 'unlinkat', 'fchmod'],
  'claim an abstract name': ['socket', 'bind'],
  release: ['renameat2', 'mmap', 'close'],
  'release what claim gave': ['close'],
  'release, and remove the lock file': ['unlinkat', 'close'],
  'remove what both sides of a handover gave up': ['flock', 'probe', 'renameat2', 'unlinkat', 'close'],
  'remove a socket file under the preload': ['openat', 'flock', 'unlinkat', 'close'],
  'look whether a socket file is kept under the preload': ['openat', 'flock', 'probe', 'close'],
  connect: ['connect', 'owns', 'give'],
  'wait, and be woken': ['waitFlock'],
  'rebind, because the lock file is gone': ['openat', 'flock', 'mmap', 'close'],
  'rebind, because both files are gone': ['openat', 'flock', 'bind', 'unlinkat', 'mmap', 'close'],
  'take over, both sides of it': ['connect', 'peerCredentials', 'sendmsg', 'recvmsg', 'waitPoll', 'give', 'close'],
  'take over what claim gave': ['sendmsg', 'recvmsg', 'close'],
  'take over a socket of node:dgram': ['sendmsg', 'recvmsg', 'give', 'close'],
};

for (const [operation, expected] of Object.entries(operations)) {
  test(
    `each call of the addon throws once: ${operation} → nothing is left open, and the next start succeeds`,
    onLinux,
    async (t) => {
      // Node 24 and later read this file in a thread, while the fixture counts its descriptors.
      const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined };
      const child = fork(fixtureBeside(import.meta.url, 'throwing.mjs'), [operation, temporaryDirectory(t)], { env });
      t.after(() => child.kill('SIGKILL'));
      const ended = once(child, 'exit').then(([code, signal]) => assert.fail(`ended with ${code ?? signal}`));
      const [report] = (await Promise.race([once(child, 'message'), ended])) as [Report];
      assert.deepEqual(report.wrong, []);
      for (const call of expected)
        assert.ok(report.seen.includes(call), `${call} did not throw; these did: ${report.seen.join(' ')}`);
      t.diagnostic(`${report.calls} calls`);
    },
  );
}

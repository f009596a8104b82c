import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { claim } from 'reuseaddr';
import { failed } from '#dist/kernel/kernel.js';
import { ownPidfdInode } from '#dist/kernel/descriptors.js';
import { readEnvironment } from '#dist/server/inherit.js';
import { runtimes } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

interface Report {
  readonly worker: number;
  readonly main: number;
  readonly refused: { readonly code: string; readonly reason: string; readonly message: string };
  /** A thread that starts when the main thread has the socket. */
  readonly late: string;
  readonly answered: string;
  readonly reused: boolean;
  readonly again: string;
  readonly stillAnswered: string;
}

test(
  'a worker thread has the inherited socket → another thread is refused, and told so; each descriptor is closed by its own thread',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const [address, other] = [`${directory}/app.sock`, `${directory}/other.sock`];
    const held = [await claim(address), await claim(other)];
    t.after(() => Promise.all(held.map((one) => one.release())));
    for (const { name, path } of await runtimes()) {
      const variables = 'LISTEN_PID=$$; export LISTEN_PID; LISTEN_FDS=2; export LISTEN_FDS; exec "$@"';
      const args = ['-c', variables, 'sh', path, fixtureBeside(import.meta.url, 'threads.mjs'), address, other];
      const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit', ...held.map(({ fd }) => fd)] });
      let text = '';
      for await (const data of child.stdout!) text += String(data);
      assert.notEqual(text, '', `${name}: it ended with ${child.exitCode ?? child.signalCode}`);
      const report = JSON.parse(text) as Report;
      assert.deepEqual([report.worker, report.main, report.answered, report.stillAnswered], [3, 4, 'worker', 'main'], name);
      assert.deepEqual([report.refused.code, report.refused.reason], ['EADDRINUSE', 'other-thread'], name);
      assert.match(report.refused.message, /another thread listens on it/);
      assert.equal(report.late, 'other-thread', name);
      assert.equal(report.reused, true, name);
      // Its socket is closed in this process, and the claim is that of the process which passed it.
      assert.equal(report.again, 'held', name);
    }
  },
);

test(
  'LISTEN_PIDFDID is that of this process → the variables are ours; of another, or no number → they are left alone',
  onLinux,
  (t) => {
    const own = ownPidfdInode();
    if (failed(own)) return t.skip(`this kernel has no such number (${own})`);
    const ours = (number: string): boolean => {
      const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '0', LISTEN_PIDFDID: number };
      readEnvironment(environment);
      return Object.keys(environment).length === 0;
    };
    assert.equal(ours(String(own)), true);
    for (const number of [String(own + 1n), '0', '', 'x', `-${own}`, `${own} `]) assert.equal(ours(number), false, number);
  },
);

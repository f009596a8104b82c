/**
 * Reported faults of programs that are not changed, on the other versions of Node, each in the test
 * files of their kind. Tests that go through the versions by themselves are not among them.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runtimes } from '../runtimes/install.js';
import { onLinux } from '../support/privileges.js';

const files = [
  'claim/lockAccess',
  'cli/cleanLocks',
  'displaced/displaced',
  'errors/holders',
  'errors/messages',
  'preload/guard',
  'preload/lockFile',
  'programs/watchers',
  'run/bindSelf',
];

test('the files for unchanged programs on Node 22, 24 and 26 → as on the oldest', onLinux, async (t) => {
  for (const { name, path } of (await runtimes()).slice(1)) {
    await t.test(name, async () => {
      const args = ['--test', '--test-concurrency=2', '--test-reporter=tap', ...files.map((file) => `${file}.test.js`)];
      // It would take itself for a file of this run.
      const { NODE_TEST_CONTEXT: _, ...env } = process.env;
      const cwd = fileURLToPath(new URL('..', import.meta.url));
      const child = spawn(path, args, { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
      const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      assert.equal(status, 0, output);
      assert.ok(Number(/^# pass (\d+)$/m.exec(output)?.[1]) > files.length, output);
    });
  }
});

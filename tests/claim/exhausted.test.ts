import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { claim } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

test(
  'the address is held, and the process has no or few descriptors left → EMFILE or held, and never that it is starting',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    for (const address of [`${directory}/app.sock`, `@${directory}/app.sock`]) {
      const held = await claim(address);
      t.after(() => held.release());
      const script = 'ulimit -n 100; exec "$@"';
      const args = ['-c', script, 'sh', process.execPath, fixtureBeside(import.meta.url, 'exhausted.mjs'), address];
      const told = execFileSync('sh', args, { encoding: 'utf8' }).trim().split('\n');
      const kinds = new Set(told);
      assert.deepEqual(
        [...kinds].toSorted((a, b) => a.localeCompare(b)),
        ['EADDRINUSE held', 'EMFILE system'],
        told.join(', '),
      );
      assert.equal(told[0], 'EMFILE system');
      assert.equal(told.at(-1), 'EADDRINUSE held');
    }
  },
);

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { claim, listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

for (const [name, options] of [
  ['waited for', { wait: true }],
  ['asked for', { takeover: 60_000, wait: true }],
] as const) {
  test(
    `a relative path is ${name}, then comes a chdir → the claim is at the path that was meant`,
    onLinux,
    async (t: TestContext) => {
      const [meant, other, before] = [temporaryDirectory(t), temporaryDirectory(t), process.cwd()];
      t.after(() => process.chdir(before));
      const holder = await claim(`${meant}/app.sock`);
      process.chdir(meant);
      const waiting = listen(net.createServer(), './app.sock', options);
      process.chdir(other);
      await holder.release();
      const made = await waiting;
      assert.equal(made.address, `${meant}/app.sock`);
      assert.equal(made.lockPath, `${meant}/app.sock.lock`);
      assert.deepEqual(fs.readdirSync(other), []);
      await made.release();
    },
  );
}

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { runtimes } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

test(
  'sockets of node:dgram on each Node → messages in their order, handovers, threads; nothing is lost at a close',
  onLinux,
  async (t) => {
    for (const { name, path } of await runtimes()) {
      const args = [fixtureBeside(import.meta.url, 'binds.mjs'), temporaryDirectory(t)];
      const { stdout, stderr } = spawnSync(path, args, { encoding: 'utf8' });
      assert.notEqual(stdout, '', `${name}: ${stderr}`);
      assert.deepEqual(
        JSON.parse(stdout),
        {
          inOrder: true,
          handedOver: [200, ['after the handover'], true],
          closing: [
            ['m0', 'm1', 'm2'],
            ['m3', 'm4', 'm5', 'm6', 'm7'],
          ],
          worker: 'to the worker',
        },
        name,
      );
    }
  },
);

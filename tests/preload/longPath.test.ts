import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runtimes } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const register = import.meta.resolve('reuseaddr/register');
const fixture = fileURLToPath(new URL('../../../tests/preload/fixtures/longPath.mjs', import.meta.url));

const answers = [
  'net.connect(path): hello',
  'net.connect({ path }): hello',
  'net.createConnection(path, callback): hello',
  'new Socket().connect(path): hello',
  'a symlink: hello',
  'http.get: hello',
  'undici: hello',
  'nobody there: ENOENT /missing',
  'nobody there, http.get: ENOENT',
];

test(
  'a path that does not fit a socket address → every client reaches the server, also in a worker thread',
  onLinux,
  async (t) => {
    for (const { name, path } of await runtimes()) {
      const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '' };
      const { stdout } = await promisify(execFile)(path, ['--import', register, fixture, temporaryDirectory(t)], { env });
      assert.deepEqual(stdout.trim().split('\n'), [...answers, ...answers], name);
    }
  },
);

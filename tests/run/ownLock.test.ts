/** Programs that use `PATH.lock` themselves, which `reuseaddr run --bind-self` holds for them. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { run } from '../cli/support.js';
import { needs } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const withLock = 'const fs = require("fs"); ';

test(
  'a program waits for the lock file itself → it is stopped, and --lock-path is named',
  {
    skip: onLinux.skip || needs('flock').skip,
  },
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    // A child of the program, as the shell of a script would have it.
    const { status, stderr } = await run(['run', '--bind-self', path, '--', 'sh', '-c', `flock ${path}.lock true; true`]);
    assert.equal(status, 2);
    assert.match(stderr, /locks .*app\.sock\.lock itself.*--lock-path/s);
    assert.deepEqual(readdirSync(dirname(path)), []);
    assert.equal(
      (await run(['run', '--bind-self', `--lock-path=${path}.claim`, path, '--', 'flock', `${path}.lock`, 'true'])).status,
      0,
    );
  },
);

test(
  'another process waits for the lock, as a standby does → the program continues',
  {
    skip: onLinux.skip || needs('flock').skip,
  },
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const waits = `const { spawn } = require('child_process');
    spawn('setsid', ['-f', 'sh', '-c', 'sleep 0.3; exec flock ${path}.lock true'], { stdio: 'ignore' }).unref();
    setTimeout(() => process.exit(0), 1500);`;
    assert.equal((await run(['run', '--bind-self', path, '--', process.execPath, '-e', waits])).status, 0);
  },
);

test('a program makes the lock file itself, and fails because it is there → --lock-path is named', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const creates = `${withLock}fs.openSync(${JSON.stringify(`${path}.lock`)}, 'wx')`;
  const { status, stderr } = await run(['run', '--bind-self', path, '--', process.execPath, '-e', creates]);
  assert.equal(status, 1);
  assert.match(stderr, /If it uses .*app\.sock\.lock itself, give run another lock file with --lock-path\./);
  assert.deepEqual(readdirSync(dirname(path)), []);
});

test(
  'tmux → it is stopped, not left waiting without a word; with --lock-path it serves',
  {
    skip: onLinux.skip || needs('tmux').skip,
  },
  async (t) => {
    const path = `${temporaryDirectory(t)}/t.sock`;
    const tmux = ['tmux', '-S', path, 'new-session', '-d', 'sleep 5'];
    const { stderr } = await run(['run', '--bind-self', path, '--', ...tmux]);
    assert.match(stderr, /--lock-path/);
    assert.equal((await run(['run', '--bind-self', `--lock-path=${path}.claim`, path, '--', ...tmux])).status, 0);
    await run(['run', '--bind-self', `--lock-path=${path}.other`, `${path}2`, '--', 'tmux', '-S', path, 'kill-server']);
  },
);

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runtimes } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { reuseaddr, run } from './support.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * A program that listens, and starts another in `/`. Prints of both whether the preload is there.
 */
const program = `
  const { createServer } = require('node:net'), { spawnSync } = require('node:child_process');
  const loaded = 'Symbol.for("reuseaddr.register") in require("node:net").Server.prototype';
  createServer().listen(process.argv[1], () => {
    const child = spawnSync(process.execPath, ['-p', loaded], { cwd: '/', encoding: 'utf8' });
    console.log(eval(loaded), require('node:fs').existsSync(process.argv[1] + '.lock'), child.stdout.trim(), child.stderr);
    process.exit();
  });`;

function options(command: string, NODE_OPTIONS?: string): string {
  const env = { ...process.env, NODE_OPTIONS };
  return execFileSync(process.execPath, [command, 'node-options'], { encoding: 'utf8', env }).trimEnd();
}

test('NODE_OPTIONS of reuseaddr node-options → the preload is in the program and in its child in another directory', async (t) => {
  const NODE_OPTIONS = options(reuseaddr);
  assert.match(NODE_OPTIONS, /^--require=\/\S+$/);
  for (const { name, path } of await runtimes()) {
    const socket = join(temporaryDirectory(t), 'socket');
    const env = { ...process.env, REUSEADDR: '', NODE_OPTIONS };
    const stdout = execFileSync(path, ['-e', program, socket], { encoding: 'utf8', env, cwd: '/' });
    assert.equal(stdout, 'true true true \n', name);
  }
});

test('the package is in a directory with spaces, quotes and other signs in its name → NODE_OPTIONS works all the same', (t) => {
  const home = join(temporaryDirectory(t), `it's "my" dir #1 %41?`, 'reuseaddr');
  fs.mkdirSync(home, { recursive: true });
  for (const part of ['dist', 'prebuilt', 'package.json']) fs.cpSync(join(root, part), join(home, part), { recursive: true });
  const NODE_OPTIONS = options(join(home, 'dist/cli/main.js'));
  const socket = join(temporaryDirectory(t), 'socket');
  const env = { ...process.env, REUSEADDR: '', NODE_OPTIONS };
  const stdout = execFileSync(process.execPath, ['-e', program, socket], { encoding: 'utf8', env, cwd: '/' });
  assert.equal(stdout, 'true true true \n');
});

test('NODE_OPTIONS has options already → they are kept, and the preload is added once', () => {
  const once = options(reuseaddr, ' --no-warnings --max-old-space-size=900 ');
  assert.match(once, /^--no-warnings --max-old-space-size=900 --require=\S+$/);
  assert.equal(options(reuseaddr, once), once);
});

test('node-options is given an operand → status 2 and usage', async () => {
  const { status, stderr } = await run(['node-options', 'x']);
  assert.equal(status, 2);
  assert.match(stderr, /Too many operands: x/);
});

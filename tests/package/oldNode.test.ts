import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../readme/examples.js';
import { temporaryDirectory } from '../support/directory.js';

const bundle = join(root, 'dist/bundle');
const needs = 'reuseaddr needs Node.js 20.19, or 22.3 or later, and this is v18.20.8.';

test('the package says which Node it needs → it excludes each that lacks process.getBuiltinModule', () => {
  const { engines } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { engines: unknown };
  assert.deepEqual(engines, { node: '^20.19 || >=22.3' });
});

/** A version of Node that is too old, for all that the package looks at. */
const old = `delete process.getBuiltinModule; Object.defineProperty(process, 'version', { value: 'v18.20.8' });`;

test('Node is too old → one sentence says which is needed, by import, by require, as a preload and on the command line', (t) => {
  const preload = join(temporaryDirectory(t), 'old.cjs');
  fs.writeFileSync(preload, old);
  const run = (...args: readonly string[]): string =>
    spawnSync(process.execPath, ['--require', preload, ...args], { encoding: 'utf8', cwd: root }).stderr;
  const error = `Error: ${needs}`;
  const lines = (text: string): readonly string[] => text.split('\n');
  assert.ok(lines(run('--input-type=module', '-e', `import 'reuseaddr'`)).includes(error));
  assert.ok(lines(run('-e', `require('reuseaddr')`)).includes(error));
  assert.ok(lines(run('--require', join(bundle, 'register.cjs'), '-e', '')).includes(error));
  assert.equal(run(join(bundle, 'cli.cjs'), 'inspect', '/run/app.sock'), `${needs}\n`);
});

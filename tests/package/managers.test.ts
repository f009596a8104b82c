import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { pack } from './installed.js';

/** Prints whether the preload is in this process, and in a child in `/`. */
const program = `
  import net from 'node:net';
  import { spawnSync } from 'node:child_process';
  const loaded = Symbol.for('reuseaddr.register') in net.Server.prototype;
  console.log(loaded, process.argv[2] === 'child' ? '' : spawnSync(process.execPath, [import.meta.filename, 'child'], { cwd: '/', encoding: 'utf8' }).stdout.trim());`;

/** A folder where the packed file is to be installed, and a program that wants the preload. */
function project(directory: string): string {
  const filename = pack(directory);
  const folder = join(directory, 'project');
  fs.mkdirSync(folder);
  const manifest = { name: 'user', private: true, type: 'module', dependencies: { reuseaddr: `file:../${filename}` } };
  fs.writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  fs.writeFileSync(join(folder, 'app.mjs'), program);
  return folder;
}

/** Runs a manager's script: no network, no configuration and no cache of the user's. */
function manager(folder: string, script: string, ...args: readonly string[]): string {
  const home = join(folder, '..');
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    XDG_CACHE_HOME: home,
    XDG_DATA_HOME: home,
    YARN_ENABLE_GLOBAL_CACHE: '0',
    YARN_ENABLE_NETWORK: '0',
    YARN_ENABLE_TELEMETRY: '0',
  };
  return execFileSync(process.execPath, [script, ...args], { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' });
}

/** The command that a user writes: NODE_OPTIONS="$(… reuseaddr node-options)" … node app.mjs. */
function run(folder: string, script: string, ...exec: readonly string[]): string {
  const NODE_OPTIONS = manager(folder, script, ...exec, 'reuseaddr', 'node-options').trim();
  assert.match(NODE_OPTIONS, /--require=\//);
  const env = { ...process.env, NODE_OPTIONS };
  return execFileSync(process.execPath, [join(folder, 'app.mjs')], { cwd: '/', env, encoding: 'utf8' });
}

test('installed by pnpm → reuseaddr node-options gives a path that works in a child in /', async (t) => {
  const script = join(await installPackages('package/managers'), 'node_modules/pnpm/bin/pnpm.cjs');
  const folder = project(temporaryDirectory(t));
  manager(folder, script, 'install', '--offline', '--ignore-scripts');
  assert.equal(run(folder, script, 'exec'), 'true true\n');
});

test('installed by Yarn with Plug’n’Play → reuseaddr node-options gives a path that works in a child in /', async (t) => {
  const script = join(await installPackages('package/managers'), 'node_modules/@yarnpkg/cli-dist/bin/yarn.js');
  const folder = project(temporaryDirectory(t));
  fs.writeFileSync(join(folder, '.yarnrc.yml'), 'nodeLinker: pnp\n');
  fs.writeFileSync(join(folder, 'yarn.lock'), '');
  manager(folder, script, 'install');
  assert.ok(!fs.existsSync(join(folder, 'node_modules')));
  assert.equal(run(folder, script, 'exec'), 'true true\n');
});

/**
 * docs/frameworks.md: the program in one file, by each bundler, run where neither the project nor
 * its packages are.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { installPacked, root } from '../package/installed.js';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const bundle = join(root, 'tests/long/fixtures/bundle.mjs');
const addonName = `reuseaddr.${process.platform}-${process.arch}.node`;
const onLinuxX64 = { skip: onLinux.skip || (process.arch !== 'x64' && 'Bun is installed for x64') } as const;

let user = '';
let tools = '';
before(async () => {
  user = installPacked();
  tools = await installPackages('package/bundlers');
  const source = fs.readFileSync(join(root, 'tests/package/bundlers/package.json'), 'utf8');
  const { dependencies } = JSON.parse(source) as { readonly dependencies: Readonly<Record<string, string>> };
  console.log(
    Object.keys(dependencies)
      .map((name) => `  ${name} ${versionOf(name)}`)
      .join('\n'),
  );
});
after(() => fs.rmSync(user, { recursive: true, force: true }));

function versionOf(name: string): string {
  const manifest = fs.readFileSync(join(tools, 'node_modules', name, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { readonly version: string }).version;
}

/** Bundles into a directory of its own. Returns that, and the command that runs the result. */
async function bundled(t: TestContext, way: string, home = tools): Promise<{ out: string; command: readonly string[] }> {
  const out = temporaryDirectory(t);
  const { stdout } = await promisify(execFile)(process.execPath, [bundle, way, out, home], { cwd: user, encoding: 'utf8' });
  const file = join(out, stdout.trim().split('\n').at(-1)!);
  return { out, command: /\.[cm]?js$/.test(file) ? [process.execPath, file] : [file] };
}

/**
 * The output of the program. The folder that was bundled from has another name meanwhile, so
 * nothing in it is found.
 */
function run([file = '', ...args]: readonly string[], out: string): string {
  fs.renameSync(user, `${user}.away`);
  try {
    return execFileSync(file, [...args, join(out, 's')], { cwd: '/', encoding: 'utf8', env: { PATH: process.env['PATH'] } });
  } finally {
    fs.renameSync(`${user}.away`, user);
  }
}

for (const way of [
  'esbuild, CommonJS, copy',
  'esbuild, CommonJS, file',
  'esbuild, ES module, file',
  'esbuild, ES module, copy by name',
  'webpack, node-loader',
  'webpack, asset',
  'webpack, ES module, asset',
  'webpack, development',
  'rollup, ES module',
  'rollup, CommonJS',
  'rolldown, ES module',
  'rolldown, CommonJS',
  'vite, ssr, all bundled',
  'ncc',
  'nft',
  'sea',
]) {
  test(`bundled by ${way} → the program works elsewhere`, onLinux, async (t) => {
    const { out, command } = await bundled(t, way);
    assert.equal(run(command, out), 'hello\n');
  });
}

test(
  'a single executable application → loads its own addon, silently, and none of the directory in which it was built',
  onLinux,
  async (t) => {
    const { out, command } = await bundled(t, 'sea');
    const elsewhere = temporaryDirectory(t);
    fs.renameSync(command[0]!, join(elsewhere, 'app'));
    // Another package's addon can be loaded, and lacks the functions.
    const natives = fs.readdirSync(join(tools, 'node_modules/@rollup'), { recursive: true, encoding: 'utf8' });
    const other = natives.find((file) => file.endsWith('.node'))!;
    fs.copyFileSync(join(tools, 'node_modules/@rollup', other), join(out, addonName));
    const { stdout, stderr } = spawnSync(join(elsewhere, 'app'), [join(out, 's')], { cwd: '/', encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(stdout, 'hello\n');
  },
);

test('bundled by bun, for Node, for itself and as an executable → the program works elsewhere', onLinuxX64, async (t) => {
  const home = await installPackages('package/runtimes', ['--force']);
  const bun = join(home, 'node_modules/@oven/bun-linux-x64/bin/bun');
  console.log(`  bun ${execFileSync(bun, ['--version'], { encoding: 'utf8' }).trim()}`);
  for (const way of ['bun, for Node', 'bun, for Bun', 'bun, executable']) {
    const { out, command } = await bundled(t, way, home);
    assert.equal(run(way === 'bun, for Bun' ? [bun, command[1]!] : command, out), 'hello\n', way);
  }
});

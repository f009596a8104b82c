/** How the addon is found, and what is said where it is not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { build } from 'esbuild';
import { temporaryDirectory } from '../support/directory.js';
import { inMountNamespace, onLinux, withMounts } from '../support/privileges.js';
import { installPacked } from './installed.js';

const name = `reuseaddr.${process.platform}-${process.arch}.node`;

let user = '';
let installed = '';
before(() => {
  user = installPacked();
  installed = join(user, 'node_modules/reuseaddr/dist/bundle', name);
});
after(() => fs.rmSync(user, { recursive: true, force: true }));

/** The output of the program that listens once. */
function run(t: TestContext, command: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
  const socket = join(temporaryDirectory(t), 'socket');
  const [file = '', ...args] = command;
  const env = { PATH: process.env['PATH'], ...environment };
  const { stdout, stderr } = spawnSync(file, [...args, socket], { cwd: user, encoding: 'utf8', env });
  return stdout + stderr;
}

function withoutAddon(act: () => void): void {
  fs.renameSync(installed, `${installed}.away`);
  try {
    act();
  } finally {
    fs.renameSync(`${installed}.away`, installed);
  }
}

const node = (...options: readonly string[]): readonly string[] => [process.execPath, ...options, 'bundled.mjs'];
const refused = 'ERR_REUSEADDR_ADDON Cannot load reuseaddr’s native addon for'.replace('’', "'");

test('the addon is missing → the message names the file, and says how to get it', onLinux, (t) => {
  withoutAddon(() => {
    const said = run(t, node());
    assert.ok(said.startsWith(refused), said);
    assert.match(said, /reuseaddr\..*\.node is missing\. Install reuseaddr again; in a checkout of it, run `npm run build`\.$/m);
  });
});

test('the addon is for another processor → said so', onLinux, (t) => {
  const elsewhere = join(temporaryDirectory(t), 'addon.node');
  const bytes = fs.readFileSync(installed);
  bytes.writeUInt16LE(0xffff, 18); // e_machine, elf(5)
  fs.writeFileSync(elsewhere, bytes);
  const said = run(t, node(), { REUSEADDR_ADDON: elsewhere });
  // The C library of Debian says "No such file or directory", and musl names the format.
  assert.match(said, /addon\.node( is there, but it is not for this processor|: .*)\.$/m);
  assert.doesNotMatch(said, /No such file|does not exist/);
});

test('REUSEADDR_ADDON → that file and no other, and what is wrong with it', onLinux, (t) => {
  const elsewhere = join(temporaryDirectory(t), 'addon.node');
  fs.copyFileSync(installed, elsewhere);
  withoutAddon(() => assert.equal(run(t, node(), { REUSEADDR_ADDON: elsewhere }), 'hello\n'));
  assert.match(
    run(t, node(), { REUSEADDR_ADDON: 'addon.node' }),
    /REUSEADDR_ADDON is "addon\.node", which is not an absolute path\./,
  );
  assert.match(run(t, node(), { REUSEADDR_ADDON: `${elsewhere}.none` }), /\.none, which REUSEADDR_ADDON names, does not exist\./);
  fs.writeFileSync(elsewhere, 'text');
  assert.match(run(t, node(), { REUSEADDR_ADDON: elsewhere }), /addon\.node: .*\.$/m);
});

test('the addon is of another version → said at the first call of a function that it lacks', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const preload = join(directory, 'older.cjs');
  fs.writeFileSync(
    preload,
    'const load = process.dlopen; process.dlopen = (module, ...rest) => { load(module, ...rest); delete (module.exports = { ...module.exports }).bind; };',
  );
  const said = run(t, node('--require', preload));
  assert.ok(said.startsWith(refused), said);
  assert.match(said, /it has no function "bind", so it is of another version\. Copy that of the installed package again\./);
});

test('--no-addons and the permission model → the option to leave out, or to add', onLinux, (t) => {
  assert.match(
    run(t, node('--no-addons')),
    /Node was started with --no-addons\. Start it without that option, in NODE_OPTIONS, too\./,
  );
  const flag = Number(process.versions.node.split('.', 1)[0]) < 22 ? '--experimental-permission' : '--permission';
  const said = run(t, node(flag, '--allow-fs-read=*', '--allow-fs-write=*', '--no-warnings'));
  assert.match(said, /Node's permission model forbids addons\. Start Node with --allow-addons, too\./);
});

test('a file system that is mounted noexec → said so', { skip: onLinux.skip || withMounts.skip }, (t) => {
  const directory = temporaryDirectory(t);
  const mounted = inMountNamespace(directory, `mount -t tmpfs -o noexec x "$1" && cp "${installed}" "$1/addon.node"`);
  const said = run(t, [...mounted, ...node()], { REUSEADDR_ADDON: join(directory, 'addon.node') });
  assert.match(said, /the file system of .*addon\.node is mounted noexec\. Move the program, or set REUSEADDR_ADDON/);
});

for (const format of ['cjs', 'esm'] as const) {
  /** The bundle without the addon. */
  const bundle = async (out: string): Promise<string> => {
    const outfile = join(out, `app.${format === 'cjs' ? 'cjs' : 'mjs'}`);
    const options = { absWorkingDir: user, entryPoints: ['bundled.mjs'], external: ['*.node'], outfile, format };
    await build({ ...options, bundle: true, platform: 'node', logLevel: 'silent' });
    return outfile;
  };

  test(
    `a bundle (${format}) without the addon → the message says so and how to ship it; next to the bundle it is found`,
    onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      const app = await bundle(directory);
      const said = run(t, [process.execPath, app]);
      assert.ok(said.startsWith(refused), said);
      assert.match(
        said,
        /the program was bundled, and the addon is not with it\. Let the bundler ship \.node files, or copy node_modules/,
      );
      assert.ok(
        said.includes(`${name} to ${directory}, or set REUSEADDR_ADDON to its absolute path. See docs/frameworks.md.`),
        said,
      );
      fs.copyFileSync(installed, join(directory, name));
      assert.equal(run(t, [process.execPath, app]), 'hello\n');
    },
  );

  test(
    `a bundle (${format}) that may not load the addon next to it → the reason, and not that it is missing`,
    { skip: onLinux.skip || withMounts.skip },
    async (t) => {
      const directory = temporaryDirectory(t);
      const app = await bundle(directory);
      fs.copyFileSync(installed, join(directory, name));
      assert.match(run(t, [process.execPath, '--no-addons', app]), /Node was started with --no-addons\./);
      const mounted = inMountNamespace(directory, 'mount --bind "$1" "$1" && mount -o remount,bind,noexec "$1"');
      const said = run(t, [...mounted, process.execPath, app]);
      assert.ok(said.includes(`the file system of ${join(directory, name)} is mounted noexec. Move the program`), said);
      fs.writeFileSync(join(directory, name), 'text');
      assert.match(run(t, [process.execPath, app]), /\.node: .*\.$/m);
    },
  );

  test(
    `a bundle (${format}) below a directory in which others may create files → nothing of theirs is loaded`,
    onLinux,
    async (t) => {
      const shared = temporaryDirectory(t, 0o1777);
      const planted = ['prebuilt', `prebuilt/${process.platform}-${process.arch}`, 'dist/bundle', 'node_modules', '.', 'a'];
      for (const place of planted) {
        fs.mkdirSync(join(shared, place), { recursive: true });
        for (const file of [name, 'reuseaddr.node']) fs.copyFileSync(installed, join(shared, place, file));
      }
      const own = join(shared, 'a/b');
      fs.mkdirSync(own, { recursive: true });
      assert.match(run(t, [process.execPath, await bundle(own)]), /the program was bundled, and the addon is not with it/);
      const said = run(t, [process.execPath, await bundle(shared)]);
      assert.ok(said.includes(`it would be looked for in ${shared}, where every user may create files.`), said);
      assert.equal(run(t, [process.execPath, await bundle(shared)], { REUSEADDR_ADDON: installed }), 'hello\n');
    },
  );
}

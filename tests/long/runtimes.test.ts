/**
 * The packed file on every runtime that can be had here: Node 20 to 26, Deno, Bun, Node for arm64 under qemu, and Bun for musl. The
 * table "Platforms" of the README says what this shows, and a test holds the two together.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { fixtures, installPacked, root, run, takeTour, tour, tourWithout, type Runtime } from '../package/installed.js';
import { installPackages, runtimes } from '../runtimes/install.js';
import { onLinux } from '../support/privileges.js';

let folder = '';
before(() => {
  // As `npm run pack:all` does, where there is a compiler for it.
  const crossCompiler = '/usr/bin/aarch64-linux-gnu-gcc';
  if (fs.existsSync(crossCompiler)) execFileSync(process.execPath, [join(root, 'scripts/build-native.mjs'), '--arch', 'arm64']);
  folder = installPacked();
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const onLinuxX64 = { skip: onLinux.skip || (process.arch !== 'x64' && 'the packages are for x64') } as const;
const kinds = ['net', 'http'] as const;

/** Where something of ours is not to be had on a runtime. */
const missing = {
  net: ['rule', 'abstract'],
  http: ['hand-over', 'rule', 'abstract'],
} as const;

test('Node 20, 22, 24 and 26 → everything, and the preload', onLinuxX64, async (t) => {
  for (const { name, path: executable } of await runtimes()) {
    const runtime = { name, command: [executable] };
    for (const kind of kinds) {
      await t.test(`${name}, ${kind}`, async () => assert.deepEqual(await takeTour(runtime, kind, folder), tour));
    }
    await t.test(`${name}, require`, async () => {
      const program = `console.log(typeof require('reuseaddr').listen)`;
      assert.equal(await run(runtime, ['--no-warnings', '--input-type=commonjs', '--eval', program], folder), 'function\n');
    });
    await t.test(`${name}, preload`, async () => {
      const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
      const program = `import net from 'node:net'; net.createServer().listen(${JSON.stringify(path)}, () => { console.log('listening'); process.kill(process.pid, 'SIGKILL'); })`;
      for (let start = 0; start < 2; start++) {
        const args = ['--import', 'reuseaddr/register', '--input-type=module', '--eval', program];
        assert.match(await run(runtime, args, folder), /^listening\n/);
      }
    });
    await t.test(`${name}, tool`, async () => {
      assert.match(
        await run(runtime, ['node_modules/reuseaddr/dist/bundle/cli.cjs', 'inspect', join(folder, 'a.sock')], folder),
        /state +free/,
      );
    });
  }
});

test('Deno → net servers but for `allow` and abstract names; http servers listen by name', onLinuxX64, async (t) => {
  const home = await installPackages('package/runtimes', ['--force']);
  const deno = join(home, 'node_modules/@deno/linux-x64-glibc/deno');
  const environment = { DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1' };
  await tourAll(t, { name: 'Deno', command: [deno, 'run', '--allow-all'], environment });
});

test('Bun → likewise', onLinuxX64, async (t) => {
  const home = await installPackages('package/runtimes', ['--force']);
  await tourAll(t, { name: 'Bun', command: [join(home, 'node_modules/@oven/bun-linux-x64/bin/bun')] });
});

test('Bun for musl, in musl’s loader → the same addon as for glibc', onLinuxX64, async (t) => {
  const loader = '/lib/ld-musl-x86_64.so.1';
  if (!fs.existsSync(loader) || !fs.existsSync('/usr/bin/musl-gcc')) return t.skip('musl and musl-tools are not installed');
  const home = await installPackages('package/runtimes', ['--force']);
  const libraries = fs.mkdtempSync(join(folder, 'musl'));
  // There is no libstdc++ for musl in Debian. glibc's needs eight things that musl has not.
  for (const library of ['libstdc++.so.6', 'libgcc_s.so.1']) {
    const path = execFileSync('gcc', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
    fs.copyFileSync(path, join(libraries, library));
  }
  const source = join(fixtures, 'glibc-in-musl.c');
  execFileSync('musl-gcc', ['-shared', '-fPIC', '-O1', '-o', join(libraries, 'ld-linux-x86-64.so.2'), source], { stdio: 'pipe' });
  const bun = join(home, 'node_modules/@oven/bun-linux-x64-musl/bin/bun');
  await tourAll(t, { name: 'Bun, musl', command: [loader, bun], environment: { LD_LIBRARY_PATH: libraries } });
});

test('Node for arm64 under qemu → everything', onLinuxX64, async (t) => {
  const qemu = '/usr/bin/qemu-aarch64';
  if (!fs.existsSync(qemu) || !fs.existsSync('/usr/aarch64-linux-gnu'))
    return t.skip('qemu-user and a cross compiler are not installed');
  const home = await installPackages('package/runtimes', ['--force']);
  const node = join(home, 'node_modules/node-arm64/bin/node');
  const runtime = { name: 'Node, arm64', command: [qemu, '-L', '/usr/aarch64-linux-gnu', node] };
  assert.equal((await run(runtime, ['-p', 'process.arch'], folder)).trim(), 'arm64');
  assert.deepEqual(await takeTour(runtime, 'net', folder), tour);
});

async function tourAll(t: TestContext, runtime: Runtime): Promise<void> {
  for (const kind of kinds) {
    await t.test(`${runtime.name}, ${kind}`, async () => {
      assert.deepEqual(await takeTour(runtime, kind, folder), tourWithout(...missing[kind]));
    });
  }
}

/**
 * The packed file in an empty folder, with no compiler, no install script and no other package:
 * what a user has.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { onLinux } from '../support/privileges.js';
import { installPacked, root, run, takeTour, tour } from './installed.js';

const node = { name: 'Node', command: [process.execPath] };
const cli = 'node_modules/reuseaddr/dist/bundle/cli.cjs';

let folder = '';
before(() => {
  folder = installPacked();
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

test('installed with --ignore-scripts → one package, and no file that is not in it', () => {
  assert.deepEqual(
    fs.readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['reuseaddr'],
  );
});

for (const kind of ['net', 'http'] as const) {
  test(`a ${kind} server starts, is refused, restarts after SIGKILL, waits and hands over`, onLinux, async () => {
    assert.deepEqual(await takeTour(node, kind, folder), tour);
  });
}

test('require() → the same module as import', async () => {
  const program = `const { listen } = require('reuseaddr'); import('reuseaddr').then((esm) => console.log(esm.listen === listen))`;
  assert.equal(await run(node, ['--no-warnings', '--input-type=commonjs', '--eval', program], folder), 'true\n');
});

for (const option of ['--import', '--require']) {
  test(`the preload by ${option} → a stale socket file is replaced`, onLinux, async () => {
    const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
    const program = `import net from 'node:net'; net.createServer().listen(${JSON.stringify(path)}, () => { console.log('listening'); process.kill(process.pid, 'SIGKILL'); })`;
    for (let start = 0; start < 2; start++) {
      const printed = await run(node, [option, 'reuseaddr/register', '--input-type=module', '--eval', program], folder);
      assert.match(printed, /^listening\n/);
    }
  });
}

test('every command of the tool works from there', onLinux, async () => {
  const sockets = fs.mkdtempSync(join(folder, 'c'));
  const path = join(sockets, 'app.sock');
  const call = (...args: readonly string[]): Promise<string> => run(node, [cli, ...args], folder);
  assert.match(await call('--help'), /Commands:/);
  assert.match(await call('inspect', path), /free/);
  assert.match(await call('ls', sockets), /^ADDRESS|^$/);
  assert.equal(await call('clean', '--dry-run', sockets), '');
  assert.match(await call('connect', path), /no process listens there/);
  assert.match(await call('completion', 'bash'), /_reuseaddr/);
  const commands = [...(await call('--help')).matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name = '']) => name);
  assert.ok(commands.length >= 5);
  for (const name of commands) assert.match(await call(name, '--help'), /Usage:/, name);
  if (commands.includes('run'))
    assert.match(await call('run', path, '--', process.execPath, '-p', 'process.env.LISTEN_FDS'), /^1$/m);
});

test('types are found with node20 and bundler resolution', () => {
  const program = `import { createServer } from 'node:net';
import { listen, type Claim, type ListenOptions } from 'reuseaddr';
import 'reuseaddr/register';
const options: ListenOptions = { mode: 0o660, wait: 100 };
const held: Claim = await listen(createServer(), '/nowhere/app.sock', options);
// @ts-expect-error An option that there is not.
await listen(createServer(), held.address, { modes: 1 });
`;
  fs.writeFileSync(join(folder, 'types.mts'), program);
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const args = ['--strict', '--noEmit', '--target', 'es2023', '--lib', 'es2023,esnext.disposable', '--types', 'node'];
  const typeRoots = ['--typeRoots', join(root, 'node_modules/@types'), 'types.mts'];
  for (const resolution of [
    ['--module', 'node20'],
    ['--module', 'esnext', '--moduleResolution', 'bundler'],
  ])
    execFileSync(process.execPath, [compiler, ...args, ...resolution, ...typeRoots], { cwd: folder, stdio: 'pipe' });
});

for (const arch of ['x64', 'arm64']) {
  test(
    `the addon for linux-${arch} is built twice, once elsewhere → the same bytes, and no libc in its needed list`,
    onLinux,
    (t) => {
      const compiler = arch === process.arch ? 'cc' : 'aarch64-linux-gnu-gcc';
      if (process.arch !== 'x64' || !isCommand(compiler)) return t.skip(`there is no ${compiler}`);
      const elsewhere = fs.mkdtempSync(join(folder, 'b'));
      for (const part of ['native', 'scripts/build-native.mjs', 'node_modules/node-api-headers']) {
        fs.cpSync(join(root, part), join(elsewhere, part), { recursive: true });
      }
      const [here, there] = [join(folder, `${arch}.node`), join(folder, `${arch}-elsewhere.node`)];
      for (const [cwd, output] of [
        [root, here],
        [elsewhere, there],
      ] as const) {
        const builder = join(cwd, 'scripts/build-native.mjs');
        execFileSync(process.execPath, [builder, '--arch', arch, '--force', '--output', output], { cwd, stdio: 'pipe' });
      }
      assert.ok(fs.readFileSync(here).equals(fs.readFileSync(there)));
      const dynamic = execFileSync('readelf', ['--dynamic', '--wide', here], { encoding: 'utf8' });
      assert.ok(!dynamic.includes('(NEEDED)') && dynamic.includes('NODELETE'), dynamic);
      // Node's process has none of the compiler's own library to call.
      const symbols = execFileSync('readelf', ['--dyn-syms', '--wide', here], { encoding: 'utf8' });
      assert.doesNotMatch(symbols, /UND __(aarch64|stack_chk|\w+_chk)/);
    },
  );
}

function isCommand(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => fs.existsSync(join(directory, name)));
}

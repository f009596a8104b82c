/**
 * The packed file on every runtime that can be had here: Node 20 to 26, Deno, Bun, Node for arm64
 * under qemu, and Bun for musl. The table "Platforms" of the README says what this shows, and a
 * test holds the two together.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { fixtures, installPacked, kinds, root, run, takeTour, tour, type Kind, type Runtime } from '../package/installed.js';
import { installPackages, runtimes } from '../runtimes/install.js';
import { onLinux } from '../support/privileges.js';
import { replaceUnderLoad, type Load } from './load.js';

let folder = '';
before(() => {
  // As `npm run pack:all` does, where there is a compiler for it.
  const crossCompiler = '/usr/bin/aarch64-linux-gnu-gcc';
  if (fs.existsSync(crossCompiler)) execFileSync(process.execPath, [join(root, 'scripts/build-native.mjs'), '--arch', 'arm64']);
  folder = installPacked();
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const onLinuxX64 = { skip: onLinux.skip || (process.arch !== 'x64' && 'the packages are for x64') } as const;

test('Node 20, 22, 24 and 26 → everything, and the preload', onLinuxX64, async (t) => {
  for (const { name, path: executable } of await runtimes()) {
    const runtime = { name, command: [executable] };
    for (const kind of ['net', 'http'] as const) {
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

test('Deno → everything, and the preload', onLinuxX64, async (t) => {
  const deno = await findDeno('--allow-all');
  for (const kind of kinds) {
    await t.test(`${deno.name}, ${kind}`, async () => assert.deepEqual(await takeTour(deno, kind, folder), tour));
  }
  await preloadAll(t, deno, `--preload=${register}`);
  await inheritAll(t, deno);
});

test('Deno, and a program that survives an error → its socket file stays', onLinuxX64, async () => {
  const deno = await findDeno('--allow-all');
  const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
  for (const way of ['event', 'node', 'capture'])
    for (const failing of ['throws', 'rejects'])
      assert.equal(await run(deno, ['survivor.mjs', path, way, failing], folder), 'survived true\n', `${way}, ${failing}`);
});

test(
  'Deno with only --allow-ffi, and --allow-read for the package → everything; without --allow-ffi, the message says so',
  onLinuxX64,
  async () => {
    const read = `--allow-read=${folder}`;
    const deno = await findDeno('--no-prompt', '--allow-ffi', read);
    const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
    assert.equal(
      await run(deno, ['permitted.mjs', path], folder),
      'listened, refused: held by us, handed over, waited, denied, abstract\n',
    );
    const without = await run(await findDeno('--no-prompt', read), ['permitted.mjs', path], folder);
    assert.match(without, /Cannot load reuseaddr's native addon for linux-x64: Deno does not permit it: .*--allow-ffi/);
  },
);

test('Deno, 50,000 requests while 10 servers hand over → none fails', onLinuxX64, async () => {
  assertServed(await replaceUnderLoad(await findDeno('--allow-all'), 'http', folder, load));
});

test('Bun → everything, and the preload', onLinuxX64, async (t) => {
  const bun = await findBun();
  await tourAll(t, bun, kinds);
  await preloadAll(t, bun, `--preload=${register}`);
  await inheritAll(t, bun);
});

test(
  'Bun, and REUSEADDR asks for what takes time → the preload refuses to start, and nothing is created',
  onLinuxX64,
  async () => {
    const bun = await findBun();
    const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
    for (const choice of ['wait', 'takeover', 'handover', 'rebind']) {
      const asking = { ...bun, environment: { REUSEADDR: choice } };
      const output = await run(asking, [`--preload=${register}`, 'unchanged.mjs', path, 'net', 'closed'], folder);
      assert.match(output, new RegExp(`Cannot load reuseaddr/register: .*REUSEADDR=${choice}`));
      assert.match(output, /status 1\n$/);
    }
    assert.deepEqual(fs.readdirSync(join(path, '..')), []);
  },
);

test('Bun, a peer of node:http → its credentials with a rule; without one, the message says so', onLinuxX64, async () => {
  const bun = await findBun();
  const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
  const asked = async (...rule: string[]): Promise<string> => await run(bun, ['peer.mjs', path, ...rule], folder);
  assert.equal(await asked('allow'), `${process.getuid?.()}\n`);
  assert.match(await asked(), /^ENOTSUP unsupported .*Bun does not show the descriptor.*\{ allow \}/);
});

test('bun --hot, and the preload → the changed program serves under the same claim, and ends it', onLinuxX64, async (t) => {
  const bun = await findBun();
  for (const kind of ['http', 'serve']) {
    await t.test(kind, async () => {
      const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
      const lines = ['run 1: answer 1', 'run 2: answer 2', 'app.sock app.sock.lock', 'closed: '];
      assert.equal(await run(bun, ['--hot', `--preload=${register}`, 'hot.mjs', path, kind], folder), `${lines.join('\n')}\n`);
    });
  }
});

test('Bun, 50,000 requests while 10 servers hand over → none fails', onLinuxX64, async () => {
  assertServed(await replaceUnderLoad(await findBun(), 'http', folder, load));
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
  await tourAll(
    t,
    { name: 'Bun, musl', command: [loader, bun], environment: { LD_LIBRARY_PATH: libraries } },
    ['net', 'http'],
    withoutCluster,
  );
});

test('Node for arm64 under qemu → everything', onLinuxX64, async (t) => {
  const qemu = '/usr/bin/qemu-aarch64';
  if (!fs.existsSync(qemu) || !fs.existsSync('/usr/aarch64-linux-gnu'))
    return t.skip('qemu-user and a cross compiler are not installed');
  const home = await installPackages('package/runtimes', ['--force']);
  const node = join(home, 'node_modules/node-arm64/bin/node');
  const runtime = { name: 'Node, arm64', command: [qemu, '-L', '/usr/aarch64-linux-gnu', node] };
  assert.equal((await run(runtime, ['-p', 'process.arch'], folder)).trim(), 'arm64');
  // qemu-user passes no sock_diag(7) on, which tells the backlog.
  const emulated = withoutCluster.map((line) => line.replace(/^(listen: .*) 9$/, '$1 unknown'));
  assert.deepEqual(await takeTour(runtime, 'net', folder), emulated);
});

/** A runtime in an emulator, or in a loader, cannot start a worker of node:cluster. */
const withoutCluster = tour.map((line) => (line.startsWith('cluster:') ? 'cluster: not run' : line));

/** The command line is a program for Node, and what it runs is not. */
async function inheritAll(t: TestContext, { name, command, environment = {} }: Runtime): Promise<void> {
  const node = { name: 'Node', command: [process.execPath], environment };
  for (const kind of ['net', 'http']) {
    // A wrapper such as npm passes no descriptor on: the program asks for it.
    for (const [way, wrapper] of [
      ['', []],
      [' behind a wrapper', ['/bin/sh', '-c', '"$@"; exit $?', 'sh']],
    ] as const)
      await t.test(`${name}, a socket from reuseaddr run${way}, ${kind}`, async () => {
        const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
        const tool = ['node_modules/reuseaddr/dist/bundle/cli.cjs', 'run', path, '--', ...wrapper, ...command];
        assert.equal(await run(node, [...tool, 'inherited.mjs', path, kind], folder), 'inherited hello\n');
      });
  }
}

async function tourAll(t: TestContext, runtime: Runtime, of: readonly Kind[], expected: readonly string[] = tour): Promise<void> {
  for (const kind of of) {
    await t.test(`${runtime.name}, ${kind}`, async () => {
      assert.deepEqual(await takeTour(runtime, kind, folder), expected);
    });
  }
}

const register = './node_modules/reuseaddr/dist/bundle/register.mjs';

/**
 * Unchanged programs with every function that listens: each is killed, is refused while another
 * listens, throws, and closes.
 */
async function preloadAll(t: TestContext, runtime: Runtime, option: string): Promise<void> {
  await t.test(`${runtime.name}, preload, a program that uses the library`, async () => {
    const preloaded = { ...runtime, command: [...runtime.command, option] };
    const lines = await takeTour(preloaded, 'http', folder);
    assert.deepEqual(lines.slice(0, tour.length), tour);
    // The tour removes the socket file of a live server.
    assert.match(lines[tour.length] ?? '', /REUSEADDR_SOCKET_KEPT/);
  });
  for (const kind of ['net', 'http', 'listen', 'serve']) {
    await t.test(`${runtime.name}, preload, ${kind}`, async () => {
      const path = join(fs.mkdtempSync(join(folder, 'p')), 'app.sock');
      const start = async (ending: string): Promise<string> =>
        await run(runtime, [option, 'unchanged.mjs', path, kind, ending], folder);
      const listening = `listening on ${path}, locked: hello\n`;
      assert.ok((await start('killed')).startsWith(listening));
      assert.ok(fs.existsSync(path));
      const second = await start('second');
      assert.ok(second.startsWith(`${listening}EADDRINUSE listen true true\nclosed: app.sock.lock\n`), second);
      assert.match(second, /REUSEADDR_SOCKET_KEPT/);
      assert.match(await start('thrown'), /on purpose[^]*status 1\n$/);
      assert.ok(!fs.existsSync(path));
      fs.rmSync(`${path}.lock`);
      assert.equal(await start('closed'), `${listening}closed: \n`);
    });
  }
}

const load = { requests: 50_000, replacements: 10 } as const;

function assertServed({ errors, servers, ends }: Load): void {
  assert.deepEqual(errors, []);
  assert.equal(servers, load.replacements + 1);
  assert.deepEqual(ends, Array(load.replacements).fill(0));
}

async function findBun(): Promise<Runtime> {
  const home = await installPackages('package/runtimes', ['--force']);
  return { name: 'Bun', command: [join(home, 'node_modules/@oven/bun-linux-x64/bin/bun')] };
}

/**
 * Deno with these permissions. Its cache of compiled code is off: it takes a file of the same
 * length for the same file.
 */
async function findDeno(...permissions: readonly string[]): Promise<Runtime> {
  const home = await installPackages('package/runtimes', ['--force']);
  const deno = join(home, 'node_modules/@deno/linux-x64-glibc/deno');
  const environment = { DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1' };
  return { name: 'Deno', command: [deno, 'run', '--no-code-cache', ...permissions], environment };
}

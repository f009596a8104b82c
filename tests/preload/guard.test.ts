import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen } from 'reuseaddr';
import { findKept, forbidRename, removeSocket } from '#dist/preload/kept.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { asRoot, stranger } from '../support/privileges.js';

const register = import.meta.resolve('reuseaddr/register');

/** Runs a few statements with `fs`, `net` and `path`, under the preload. */
function run(path: string, statements: string, environment: NodeJS.ProcessEnv = {}, as: { uid?: number; gid?: number } = {}) {
  const program = `const fs = require('node:fs'), net = require('node:net'), path = process.argv[1]; ${statements}`;
  const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '', ...environment };
  const args = ['--import', register, '-e', program, path];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8', ...as });
  return { status, stdout, stderr };
}

/** A socket file that no process is bound to. */
async function stale(path: string): Promise<void> {
  const program = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  const env = { ...process.env, NODE_OPTIONS: '' };
  await once(spawn(process.execPath, ['-e', program, path], { env, stdio: 'ignore' }), 'exit');
  assert.ok(fs.lstatSync(path).isSocket());
}

/** Answers, but holds no lock. */
async function unclaimed(path: string): Promise<net.Server> {
  const server = net.createServer().listen(path);
  await once(server, 'listening');
  return server;
}

test('the file of a live server is removed three times → one warning, with a code and the process that holds it', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  const { stdout, stderr } = run(
    path,
    `process.on('warning', ({ code, message }) => console.log(code + ' ' + message));
     fs.unlinkSync(path); fs.rmSync(path); fs.unlink(path, (error) => console.log(error));`,
  );
  const [first, second, ...others] = stdout.trim().split('\n').toSorted();
  assert.match(first ?? '', /^REUSEADDR_SOCKET_KEPT /);
  assert.ok(first?.includes(`${path}, which stays. Process ${process.pid} (`), first);
  assert.deepEqual([second, others], ['null', []]);
  assert.equal(stderr.match(/REUSEADDR_SOCKET_KEPT/g)?.length, 1);
  assert.ok(fs.existsSync(path));
  await claim.release();
});

test('REUSEADDR=off → every function of node:fs is that of Node', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  const { status } = run(path, 'fs.unlinkSync(path)', { REUSEADDR: 'off' });
  assert.equal(status, 0);
  assert.ok(!fs.existsSync(path));
  await claim.release();
});

test('a stale socket is removed → under the lock, and the lock file that this takes is gone again', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  await stale(path);
  assert.equal(removeSocket(path), true);
  assert.deepEqual(fs.readdirSync(directory), []);
});

test('a stale socket whose lock file was there before is removed → the lock file stays', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  await (await listen(net.createServer(), path)).release();
  await stale(path);
  assert.equal(removeSocket(path), true);
  assert.deepEqual(fs.readdirSync(directory), ['socket.lock']);
});

test('a live socket that no process has claimed is removed and renamed → as in plain Node', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  const first = await unclaimed(path);
  assert.equal(forbidRename(path, join(directory, 'other')), undefined);
  assert.deepEqual(fs.readdirSync(directory), ['socket'], 'the question creates nothing');
  assert.equal(removeSocket(path), true);
  assert.deepEqual(fs.readdirSync(directory), []);
  first.close();
});

test('the lock file is another program’s own file → it says nothing, and node:fs decides', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  const server = await unclaimed(path);
  fs.writeFileSync(`${path}.lock`, '4711\n');
  assert.equal(findKept(path), undefined);
  assert.equal(removeSocket(path), false, 'left to node:fs');
  assert.equal(fs.readFileSync(`${path}.lock`, 'utf8'), '4711\n');
  server.close();
});

test('a claim is held and its socket file is dead, as between two instances of a program → it stays', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  fs.unlinkSync(path);
  await stale(path);
  assert.equal(removeSocket(path), true);
  assert.ok(fs.existsSync(path));
  await claim.release();
});

test('the socket on which a holder serves handovers is removed by another program → it stays', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path, { handover: true });
  run(path, 'fs.unlinkSync(path + ".handover")');
  assert.ok(fs.existsSync(`${path}.handover`));
  await claim.release();
});

test('a directory with sockets of other processes is removed → they and their lock files stay, and nothing else', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'run/deep/socket');
  fs.mkdirSync(join(directory, 'run/deep/empty'), { recursive: true });
  fs.mkdirSync(join(directory, 'run/deep-but-not'));
  fs.writeFileSync(join(directory, 'run/file'), '');
  const claim = await listen(net.createServer(), path);
  await stale(join(directory, 'run/stale'));
  const { status, stderr } = run(join(directory, 'run'), 'fs.rmSync(path, { recursive: true });');
  assert.equal(status, 0, stderr);
  assert.deepEqual((fs.readdirSync(directory, { recursive: true }) as string[]).toSorted(), [
    'run',
    'run/deep',
    'run/deep/socket',
    'run/deep/socket.lock',
  ]);
  await claim.release();
});

test('a holder’s lock file may not be opened → the kernel’s list of locks says whether the socket stays', asRoot, async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  fs.chmodSync(directory, 0o777);
  const claim = await listen(net.createServer(), path);
  fs.chmodSync(`${path}.lock`, 0o600);
  const { status, stderr } = run(path, 'fs.unlinkSync(path);', {}, stranger);
  assert.equal(status, 0, stderr);
  assert.deepEqual(fs.readdirSync(directory), ['socket', 'socket.lock']);
  await claim.release();
  await stale(path);
  assert.equal(run(path, 'fs.unlinkSync(path);', {}, stranger).status, 0);
  assert.deepEqual(fs.readdirSync(directory), ['socket.lock'], 'no process holds it');
});

test('the file of a live server is renamed, or another is renamed onto it → EBUSY, and both stay', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  await stale(join(directory, 'other'));
  const attempt = (from: string, to: string): string =>
    run(directory, `try { fs.renameSync(path + '/${from}', path + '/${to}'); } catch ({ code }) { console.log(code); }`).stdout;
  assert.equal(attempt('socket', 'other'), 'EBUSY\n');
  assert.equal(attempt('other', 'socket'), 'EBUSY\n');
  assert.equal(attempt('other', 'free'), '');
  assert.deepEqual(fs.readdirSync(directory).toSorted(), ['free', 'socket', 'socket.lock']);
});

test('names that no process can claim, and directories that are not there → node:fs decides, and no descriptor is left', async (t) => {
  const directory = temporaryDirectory(t);
  const claim = await listen(net.createServer(), join(directory, 'socket'));
  t.after(() => claim.release());
  const open = openDescriptors();
  assert.equal(findKept(join(directory, 'none/socket')), undefined);
  assert.equal(findKept(join(directory, 'x'.repeat(200))), undefined);
  assert.ok(findKept(claim.address));
  assert.equal(openDescriptors(), open);
});

test('a claim on a name that looks like a handover socket → its own lock decides', async (t) => {
  const path = join(temporaryDirectory(t), 'app.handover');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  fs.writeFileSync(path.replace('.handover', '.lock'), '');
  assert.ok(findKept(path));
});

test('a directory is emptied one name at a time → the socket of a live server and its lock file stay, and other lock files go', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  const ways = ['fs.unlinkSync(each)', 'fs.rmSync(each, { force: true, recursive: true })', 'await fs.promises.rm(each)'];
  for (const remove of ways) {
    fs.writeFileSync(join(directory, 'none.lock'), '');
    await stale(join(directory, 'stale'));
    fs.writeFileSync(join(directory, 'stale.lock'), '');
    const names = `fs.readdirSync(path).toSorted().toReversed()`;
    const empty = `(async () => { for (let turn = 0; turn < 2; turn++) for (const name of ${names}) { const each = path + '/' + name; ${remove}; } })()`;
    const { status, stderr } = run(directory, empty);
    assert.equal(status, 0, stderr);
    assert.deepEqual(fs.readdirSync(directory), ['socket', 'socket.lock'], remove);
  }
});

test('a directory without sockets of other processes is removed, in each way → gone, and sockets elsewhere are guarded', async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(join(directory, 'run-2'));
  const claim = await listen(net.createServer(), join(directory, 'run-2/socket'));
  t.after(() => claim.release());
  const options = '{ recursive: true }';
  const ways = {
    sync: `fs.rmSync(run, ${options}); then();`,
    callback: `fs.rm(run, ${options}, then);`,
    promise: `fs.promises.rm(run, ${options}).then(then);`,
  };
  for (const [name, remove] of Object.entries(ways)) {
    const { stdout, stderr } = run(
      directory,
      `const run = path + '/run', other = path + '/run-2/socket', own = run + '/socket';
       fs.mkdirSync(run);
       const server = net.createServer().listen(own, () => { ${remove} fs.unlinkSync(other); });
       const then = () => {
         console.log(fs.existsSync(run), fs.existsSync(other));
         fs.mkdirSync(run);
         server.close();
         net.createServer().listen(own, () => {
           fs.unlinkSync(own);
           console.log(fs.existsSync(own));
           process.exit();
         });
       };`,
    );
    assert.equal(stdout, 'false true\ntrue\n', `${name}: ${stderr}`);
    fs.rmSync(join(directory, 'run'), { recursive: true });
  }
});

test('a directory with another process’s socket: calls that node:fs refuses, links to it, and what is set aside → nothing of it goes', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'run/socket');
  fs.mkdirSync(join(directory, 'run'));
  const claim = await listen(net.createServer(), path, { handover: true });
  t.after(() => claim.release());
  fs.writeFileSync(join(directory, 'run/file'), '');
  fs.writeFileSync(join(directory, 'run/.reuseaddr-aside.socket'), '');
  fs.symlinkSync('.', join(directory, 'here'));
  const link = join(directory, 'link');
  fs.symlinkSync('run', link);
  const before = fs.readdirSync(join(directory, 'run')).toSorted();
  const codes = run(
    join(directory, 'run'),
    `for (const call of [() => fs.rmSync(path), () => fs.rmdirSync(path), () => fs.unlink(path + '/socket')])
       try { call(); console.log('done'); } catch ({ code }) { console.log(code); }`,
  ).stdout;
  assert.equal(codes, 'ERR_FS_EISDIR\nENOTEMPTY\nERR_INVALID_ARG_TYPE\n');
  run(link, 'fs.rmSync(path, { recursive: true })');
  assert.equal(fs.existsSync(link), false);
  assert.deepEqual(fs.readdirSync(join(directory, 'run')).toSorted(), before);
  const { stdout } = run(
    join(directory, 'here/run'),
    `fs.rmSync(path, { recursive: true }); fs.unlinkSync(path + '/socket'); console.log(fs.existsSync(path + '/socket'))`,
  );
  assert.equal(stdout, 'true\n');
  assert.deepEqual(
    fs.readdirSync(join(directory, 'run')).toSorted(),
    before.filter((name) => name !== 'file'),
  );
});

test('a call of fs.unlink that Node refuses → nothing is removed', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  await stale(path);
  const { stdout } = run(path, 'try { fs.unlink(path); } catch ({ code }) { console.log(code); }');
  assert.equal(stdout, 'ERR_INVALID_ARG_TYPE\n');
  assert.ok(fs.existsSync(path));
});

test('the path is a Uint8Array that is no Buffer, or a URL → the file of a live server stays, and is not renamed', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  const { stdout, stderr } = run(
    path,
    `for (const each of [new Uint8Array(Buffer.from(path)), Buffer.from(path), require('node:url').pathToFileURL(path)]) {
       fs.unlinkSync(each);
       fs.rmSync(each, { force: true });
       try { fs.renameSync(each, path + '.away'); } catch ({ code }) { console.log(code); }
     }`,
  );
  assert.equal(stdout, 'EBUSY\nEBUSY\nEBUSY\n', stderr);
  assert.ok(fs.existsSync(path));
});

test('a worker of eval: true under --require, for which Node loads no --import → is guarded', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  const required = createRequire(import.meta.url).resolve('reuseaddr/register');
  const { stdout } = run(
    path,
    `const { Worker } = require('node:worker_threads');
     new Worker("require('node:fs').unlinkSync(" + JSON.stringify(path) + ")", { eval: true }).on('exit', console.log);`,
    { NODE_OPTIONS: `--require=${JSON.stringify(required)}` },
  );
  assert.equal(stdout, '0\n');
  assert.ok(fs.existsSync(path));
});

test('a module has imported a function of node:fs before the preload → it is guarded, too', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const claim = await listen(net.createServer(), path);
  t.after(() => claim.release());
  const early = `import { unlinkSync } from 'node:fs'; globalThis.early = (path) => unlinkSync(path);`;
  const args = ['--import', `data:text/javascript,${encodeURIComponent(early)}`, '--import', register];
  const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '' };
  const { status, stderr } = spawnSync(process.execPath, [...args, '-e', 'early(process.argv[1])', path], {
    env,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.ok(fs.existsSync(path));
});

test('the functions that are replaced → have the names and lengths of Node’s', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const look = `console.log(['unlink', 'rm', 'rmdir', 'rename'].map((name) => [name, name + 'Sync'].map((each) => fs[each].name + fs[each].length)
    + fs.promises[name].name + fs.promises[name].length).join())`;
  assert.equal(run(path, look).stdout, run(path, look, { REUSEADDR: 'off' }).stdout);
});

test('a user who may not remove a stale socket → the error is that of node:fs', asRoot, async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  await stale(path);
  const { stdout } = run(
    path,
    'try { fs.unlinkSync(path); } catch ({ code, syscall }) { console.log(code, syscall); }',
    {},
    stranger,
  );
  assert.equal(stdout, 'EACCES unlink\n');
  assert.deepEqual(fs.readdirSync(directory), ['socket']);
});

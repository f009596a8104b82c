import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';

const register = import.meta.resolve('reuseaddr/register');
const fixtures = fileURLToPath(new URL('../../../tests/preload/fixtures', import.meta.url));
const dist = fileURLToPath(new URL('../../../dist', import.meta.url));

interface Said {
  readonly what: string;
  readonly pid: number;
  readonly listening?: boolean;
  readonly address?: string;
  readonly code?: string;
  readonly error?: Readonly<Record<string, unknown>>;
}

/** A program under the preload, and its messages that the test has not read yet. */
class Preloaded {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly #said: Said[] = [];
  #wake = (): void => undefined;

  constructor(t: TestContext, path: string, environment: NodeJS.ProcessEnv = {}, preloads = [register]) {
    const args = [...preloads.flatMap((url) => ['--import', url]), join(fixtures, 'listener.mjs'), path];
    const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '', ...environment };
    this.child = spawn(process.execPath, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.pid = this.child.pid!;
    t.after(() => this.child.kill('SIGKILL'));
    this.child.on('message', (message) => {
      this.#said.push(message as Said);
      this.#wake();
    });
    this.child.on('exit', () => this.#wake());
  }

  /** The next thing of this kind that it says; the others before it stay. */
  async says(what: string): Promise<Said> {
    for (;;) {
      const index = this.#said.findIndex((said) => said.what === what);
      if (index >= 0) return this.#said.splice(index, 1)[0]!;
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`It ended before it said "${what}".`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Its messages that the test has not read. */
  get unasked(): readonly string[] {
    return this.#said.map(({ what }) => what);
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

async function whoAnswers(socketPath: string): Promise<number> {
  const request = http.request({ socketPath, agent: false }).end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response) text += String(part);
  return Number(text);
}

/** Runs a few statements under the preload. */
function script(statements: string, REUSEADDR = 'wait'): { readonly status: number | null; readonly stdout: string } {
  const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR };
  const { status, stdout } = spawnSync(process.execPath, ['--import', register, '-e', statements], { env, encoding: 'utf8' });
  return { status, stdout };
}

test('an address in use → Node’s own error, with the process that has it and what to do', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const first = new Preloaded(t, path);
  await first.says('listening');
  const second = new Preloaded(t, path);
  const { error } = await second.says('error');
  assert.equal(error?.['code'], 'EADDRINUSE');
  assert.equal(error?.['errno'], -98);
  assert.equal(error?.['syscall'], 'listen');
  assert.equal(error?.['address'], path);
  assert.equal(error?.['port'], -1);
  assert.equal(error?.['reason'], 'held');
  assert.equal((error?.['holder'] as { pid: number } | undefined)?.pid, first.pid);
  const message = String(error?.['message']);
  assert.ok(message.startsWith(`listen EADDRINUSE: address already in use ${path}. Process ${first.pid} (`), message);
  assert.match(message, /Stop it, or wait for it with REUSEADDR=wait\.$/);
  assert.doesNotMatch(message, /[{}]/, 'options of listen() are of no use to a user who runs a program');
  assert.match(String(error?.['stack']).split('\n')[1] ?? '', /listener\.mjs/, "the stack begins at the program's call");
});

test('the preload is given twice, and a second copy of the package too → installed once', async (t) => {
  const directory = temporaryDirectory(t);
  const copy = join(directory, 'copy');
  fs.cpSync(dist, join(copy, 'dist'), { recursive: true });
  fs.writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
  const other = `file://${copy}/dist/register.js`;
  const path = join(directory, 'socket');
  const program = new Preloaded(t, path, {}, [register, register, other]);
  await program.says('listening');
  assert.equal(await whoAnswers(path), program.pid);
  await program.kill();
  const next = new Preloaded(t, path, {}, [other, register]);
  await next.says('listening');
  assert.equal(await whoAnswers(path), next.pid);

  const comparison = `import net from 'node:net'; await import(${JSON.stringify(register)}); const { _listen2 } = net.Server.prototype;
    await import(${JSON.stringify(other)}); console.log(_listen2 === net.Server.prototype._listen2);`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', comparison], { encoding: 'utf8' });
  assert.equal(stdout, 'true\n');
});

test("a program imports 'reuseaddr/register' itself → the same", (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const program = `import ${JSON.stringify(register)}; import net from 'node:net'; import fs from 'node:fs';
    const path = ${JSON.stringify(path)};
    net.createServer().listen(path, function () { console.log('locked', fs.existsSync(path + '.lock')); this.close(); });`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.deepEqual([status, stdout], [0, 'locked true\n']);
});

test('a program that has no socket, and removes a file and a lock file → loads one file of the package', (t) => {
  const directory = temporaryDirectory(t);
  const program = `
    const fs = require('node:fs');
    require('node:http').createServer().listen(0, '127.0.0.1', function () { this.close(); });
    fs.writeFileSync('file', '');
    fs.writeFileSync('file.lock', '');
    fs.unlinkSync('file');
    fs.rmSync('file.lock');
    console.log(Object.keys(require.cache).filter((file) => !file.includes('[eval]')).join(' '));`;
  const required = createRequire(import.meta.url).resolve('reuseaddr/register');
  const ran = spawnSync(process.execPath, ['--require', required, '-e', program], { cwd: directory, encoding: 'utf8' });
  assert.deepEqual([ran.stdout.trim(), ran.stderr], [required, '']);
});

test('REUSEADDR=off → plain Node: no lock file, and a stale socket is in the way', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const first = new Preloaded(t, path, { REUSEADDR: 'off' });
  await first.says('listening');
  await first.kill();
  assert.ok(!fs.existsSync(`${path}.lock`));
  const second = new Preloaded(t, path, { REUSEADDR: 'off' });
  assert.equal((await second.says('error')).error?.['reason'], undefined);
});

test('REUSEADDR is misspelt → the program does not start, and is told why', () => {
  const env = { ...process.env, REUSEADDR: 'takover' };
  const { status, stderr } = spawnSync(process.execPath, ['--import', register, '-e', 'console.log(1)'], {
    env,
    encoding: 'utf8',
  });
  assert.notEqual(status, 0);
  assert.match(stderr, /REUSEADDR="takover": there is no option "takover"/);
});

test('a server of listen() holds the address → the preloaded program is refused; it closes → the program gets it', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const held = await listen(net.createServer(), path);
  const program = new Preloaded(t, path);
  assert.equal((await program.says('error')).error?.['reason'], 'held');
  await held.release();
  program.child.send('listen');
  await program.says('listening');
  assert.equal(await whoAnswers(path), program.pid);
});

test('REUSEADDR=wait: the holder is killed → the standby listens', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const holder = new Preloaded(t, path);
  await holder.says('listening');
  const standby = new Preloaded(t, path, { REUSEADDR: 'wait' });
  assert.equal((await standby.says('called')).listening, false);
  assert.equal(await whoAnswers(path), holder.pid);
  await holder.kill();
  const said = await standby.says('listening');
  assert.deepEqual([said.address, said.listening], [path, true]);
  assert.equal(await whoAnswers(path), standby.pid);
});

test('REUSEADDR=wait: the standby closes its server while it waits → the wait is called off, and it can listen again', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const holder = new Preloaded(t, path);
  await holder.says('listening');
  const standby = new Preloaded(t, path, { REUSEADDR: 'wait' });
  await standby.says('called');
  standby.child.send('close');
  assert.equal((await standby.says('closed')).code, 'ERR_SERVER_NOT_RUNNING', 'as of a server that looks a host name up');
  await holder.kill();
  const next = new Preloaded(t, path);
  await next.says('listening');
  assert.equal(await whoAnswers(path), next.pid);
  await next.kill();
  standby.child.send('listen');
  await standby.says('listening');
  assert.equal(await whoAnswers(path), standby.pid);
  assert.deepEqual(standby.unasked, ['close'], 'nothing else was said, and no error');
});

test('REUSEADDR=wait: the standby listens elsewhere while it waits → it stays there, and the address is free for others', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'socket');
  const elsewhere = join(directory, 'elsewhere');
  const holder = new Preloaded(t, path);
  await holder.says('listening');
  const standby = new Preloaded(t, path, { REUSEADDR: 'wait' });
  await standby.says('called');
  standby.child.send({ listen: elsewhere });
  assert.equal((await standby.says('listening')).address, elsewhere);
  await holder.kill();
  const next = new Preloaded(t, path, { REUSEADDR: 'wait' });
  await next.says('listening');
  assert.equal(await whoAnswers(path), next.pid);
  assert.equal(await whoAnswers(elsewhere), standby.pid);
  assert.deepEqual(standby.unasked, [], 'no error');
});

test('REUSEADDR=wait: nothing keeps a program alive that closed its server while it waited', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const holder = new Preloaded(t, path);
  await holder.says('listening');
  const { status } = script(
    `const server = require('node:net').createServer().listen(${JSON.stringify(path)}); setImmediate(() => server.close());`,
  );
  assert.equal(status, 0);
  assert.equal(await whoAnswers(path), holder.pid);
});

test('REUSEADDR=wait: the server is closed by its own listening listener → the claim is released', (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const { stdout } = script(`const server = require('node:net').createServer();
    server.listen(${JSON.stringify(path)}, () => server.close());
    server.on('close', () => setImmediate(() => console.log(require('node:fs').existsSync(${JSON.stringify(path)}))));`);
  assert.equal(stdout, 'false\n');
});

test('REUSEADDR=takeover: the server is closed by its own listening listener → the claim is released', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const holder = new Preloaded(t, path, { REUSEADDR: 'handover' });
  await holder.says('listening');
  const statements = `const server = require('node:net').createServer();
    server.listen(${JSON.stringify(path)}, () => server.close());
    process.prependListener('exit', () => console.log(require('node:fs').existsSync(${JSON.stringify(path)})));`;
  assert.deepEqual(script(statements, 'takeover'), { status: 0, stdout: 'false\n' });
  await holder.says('close');
});

test('readableAll and writableAll on a path that does not fit a socket address → that file has them', (t) => {
  const path = join(temporaryDirectory(t), 'd'.repeat(80), 'x'.repeat(40));
  fs.mkdirSync(dirname(path));
  const { stdout } = script(
    `process.umask(0o077); const server = require('node:net').createServer();
    server.listen({ path: ${JSON.stringify(path)}, readableAll: true, writableAll: true });
    console.log((require('node:fs').statSync(${JSON.stringify(path)}).mode & 0o777).toString(8)); server.close();`,
    '',
  );
  assert.equal(stdout, '766\n');
});

test('REUSEADDR=handover and REUSEADDR=takeover,handover → the address goes from one to the next, and back to a third', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  let holder = new Preloaded(t, path, { REUSEADDR: 'handover' });
  await holder.says('listening');
  const inode = fs.lstatSync(path).ino;
  for (let i = 0; i < 2; i++) {
    const next = new Preloaded(t, path, { REUSEADDR: 'takeover,handover' });
    await next.says('listening');
    await holder.says('close');
    assert.equal(await whoAnswers(path), next.pid);
    assert.equal(fs.lstatSync(path).ino, inode, 'it is the same socket all the time');
    holder = next;
  }
});

test('REUSEADDR=takeover from a holder that hands nothing over → EADDRINUSE, and the holder continues', async (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const holder = new Preloaded(t, path);
  await holder.says('listening');
  const next = new Preloaded(t, path, { REUSEADDR: 'takeover' });
  assert.equal((await next.says('error')).error?.['code'], 'EADDRINUSE');
  assert.equal(await whoAnswers(path), holder.pid);
});

for (const REUSEADDR of ['rebind', 'rebind,handover']) {
  test(`REUSEADDR=${REUSEADDR}: all files of the socket are removed, and its directory → the program listens there again`, async (t) => {
    const directory = join(temporaryDirectory(t), 'run');
    const path = join(directory, 'socket');
    fs.mkdirSync(directory);
    const program = new Preloaded(t, path, { REUSEADDR });
    await program.says('listening');
    for (const name of fs.readdirSync(directory)) fs.unlinkSync(join(directory, name));
    await program.says('listening');
    assert.equal(await whoAnswers(path), program.pid);
    // The program may make its files again meanwhile.
    fs.rmSync(directory, { recursive: true, maxRetries: 10, retryDelay: 20 });
    fs.mkdirSync(directory);
    await program.says('listening');
    assert.equal(await whoAnswers(path), program.pid);
    const second = new Preloaded(t, path);
    assert.equal((await second.says('error')).error?.['reason'], 'held');
    program.child.send('close');
    await program.says('closed');
    assert.deepEqual(fs.readdirSync(directory), []);
  });
}

test('LISTEN_FDS has a socket of this address → it is used, and no lock is taken', (t) => {
  const path = join(temporaryDirectory(t), 'socket');
  const server = net.createServer();
  server.listen(path);
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const program = `const net = require('node:net'); const server = net.createServer();
    server.listen(${JSON.stringify(path)}, () => { console.log('listening', server.address()); process.exit(); });`;
  const { stdout } = spawnSync(
    'sh',
    ['-c', 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', 'sh', process.execPath, '--import', register, '-e', program],
    { env: { ...process.env, LISTEN_FDS: '1' }, stdio: ['ignore', 'pipe', 'inherit', fd], encoding: 'utf8' },
  );
  assert.equal(stdout, `listening ${path}\n`);
  assert.ok(!fs.existsSync(`${path}.lock`));
  assert.ok(fs.existsSync(path), 'the socket file belongs to the process that passed the socket');
  server.close();
});

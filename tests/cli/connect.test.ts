import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { leaveStale, reuseaddr, run, runProgram } from './support.js';

async function serve(t: TestContext, onConnection: (socket: net.Socket) => void): Promise<string> {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  const held = await listen(server, path);
  t.after(() => held.release());
  return path;
}

/** The command with its stdin left open, as on a terminal. */
function start(t: TestContext, args: readonly string[]) {
  const child = spawn(process.execPath, [reuseaddr, 'connect', ...args], { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  child.stdout.setEncoding('utf8');
  child.stderr.setEncoding('utf8');
  return child;
}

test('stdin ends → our half is closed, the whole answer is printed, status 0', async (t) => {
  const path = await serve(t, (socket) => {
    let heard = '';
    socket.on('data', (text) => (heard += text.toString()));
    socket.on('end', () => socket.end(`heard ${heard.length}`));
  });
  assert.deepEqual(await run(['connect', path], { input: 'x'.repeat(1_000_000) }), {
    status: 0,
    stdout: 'heard 1000000',
    stderr: '',
  });
});

test('a large answer → all of it comes through a pipe', async (t) => {
  const path = await serve(t, (socket) => socket.end(Buffer.alloc(5_000_000, 'y')));
  assert.equal((await run(['connect', path])).stdout.length, 5_000_000);
});

test('the server closes the connection while stdin is open → it ends, status 0', async (t) => {
  const path = await serve(t, (socket) => {
    socket.end('bye', () => socket.destroy());
  });
  const child = start(t, [path]);
  const [said] = (await once(child.stdout, 'data')) as [string];
  assert.deepEqual([said, await once(child, 'close')], ['bye', [0, null]]);
});

test('the server ends only its half → what stdin says still reaches it', async (t) => {
  let heard = '';
  const path = await serve(t, (socket) => {
    socket.end('your turn');
    socket.on('data', (text) => (heard += text.toString()));
  });
  const child = start(t, [path]);
  await once(child.stdout, 'data');
  child.stdin.end('thank you');
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.equal(heard, 'thank you');
});

test('the server goes before it had all of the input → that is said, status 1', async (t) => {
  const path = await serve(t, (socket) => socket.once('data', () => socket.destroy()));
  const { status, stderr } = await run(['connect', path], { input: 'x'.repeat(10_000_000) });
  assert.equal(status, 1);
  assert.match(stderr, /^reuseaddr: The connection to .* broke: /);
});

test('no server, or a stale socket, and no --wait → the error at once, status 1', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const absent = await run(['connect', path]);
  assert.deepEqual([absent.status, absent.stdout], [1, '']);
  assert.match(absent.stderr, /^reuseaddr: Cannot connect to .*: no process listens there/);
  leaveStale(path);
  assert.match((await run(['connect', path])).stderr, /its server is gone/);
  assert.match((await run(['connect', '--wait=0.5', path])).stderr, /Gave up after [\d.]+ m?s\./);
});

test('--wait → it waits until the server is there', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  leaveStale(path);
  const child = start(t, ['--wait', path]);
  child.stdin.end('hello');
  const server = net.createServer((socket) => socket.pipe(socket));
  // Its first try may come before or after this: what is asked is that it ends well either way.
  const held = await listen(server, path);
  t.after(() => held.release());
  const [said] = (await once(child.stdout, 'data')) as [string];
  assert.deepEqual([said, await once(child, 'close')], ['hello', [0, null]]);
});

test('the reader of stdout has gone → it ends without a crash', async (t) => {
  const path = await serve(t, (socket) => {
    const more = (): void => void socket.write('z'.repeat(10_000), (error) => error || setImmediate(more));
    more();
  });
  const pipe = `${process.execPath} ${reuseaddr} connect ${path} </dev/null | head -c 1; echo " $\{PIPESTATUS[0]}"`;
  assert.deepEqual(await runProgram(['bash', '-c', pipe]), { status: 0, stdout: 'z 0\n', stderr: '' });
});

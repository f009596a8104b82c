import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { claim, connect, listen, SocketAddressError } from 'reuseaddr';
import { pauseMs } from '#dist/client/pause.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { needs } from '../support/commands.js';

/** A server that says back what it hears, and ends after its client. */
async function echo(t: TestContext, address: string): Promise<void> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  const held = await listen(server, address);
  t.after(() => held.release());
}

async function ask(socket: net.Socket, text: string): Promise<string> {
  let said = '';
  socket.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  socket.end(text);
  await once(socket, 'close');
  return said;
}

/** A socket file that no process is bound to. */
function leaveStale(path: string): void {
  const fd = kernel.socket();
  assert.ok(typeof fd === 'number');
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.close(fd), 0);
}

function refusal(code: string, reason: string, message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof SocketAddressError, String(error));
    assert.deepEqual({ code: error.code, reason: error.reason, syscall: error.syscall }, { code, reason, syscall: 'connect' });
    assert.match(error.message, message);
    return true;
  };
}

test('a server listens → the socket is connected when the promise is fulfilled, and works both ways', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  await echo(t, path);
  const socket = await connect(path);
  assert.equal(socket.connecting, false);
  assert.equal(socket.readyState, 'open');
  assert.equal(await ask(socket, 'hello'), 'hello');
});

test('no server until the deadline → ENOENT, and the message says for how long it was tried', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  await assert.rejects(
    connect(path, { timeout: 30 }),
    refusal('ENOENT', 'absent', /^Cannot connect to \/.*app\.sock: no process listens there\..* Gave up after \d+ ms\.$/),
  );
  await assert.rejects(
    connect(`${directory}/none/app.sock`, { timeout: 0 }),
    refusal('ENOENT', 'no-directory', /there is no directory \/.*\/none\./),
  );
  const { address } = abstractName();
  if (process.platform === 'linux')
    await assert.rejects(connect(address, { timeout: 0 }), refusal('ECONNREFUSED', 'absent', /no process listens there/));
});

test('a timeout of 0 → there is one try, and no waiting', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  let settled = false;
  const refused = connect(path, { timeout: 0 }).catch((error: unknown) => {
    settled = true;
    return error;
  });
  await setImmediate();
  assert.equal(settled, true);
  assert.doesNotMatch(String(await refused), /tried for/);
});

test('the server starts while the client waits → connected', async (t) => {
  const directory = `${temporaryDirectory(t)}/later`;
  const path = `${directory}/app.sock`;
  const connecting = connect(path, { timeout: Infinity });
  fs.mkdirSync(directory);
  leaveStale(path);
  await echo(t, path);
  assert.equal(await ask(await connecting, 'hello'), 'hello');
});

test('the server has died → ECONNREFUSED says that the socket is stale; once it is started again → connected', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  leaveStale(path);
  await assert.rejects(connect(path, { timeout: 0 }), refusal('ECONNREFUSED', 'stale', /its server is gone/));
  const connecting = connect(path, { timeout: Infinity });
  await echo(t, path);
  assert.equal(await ask(await connecting, 'back'), 'back');
});

test('a server is bound and does not listen yet → it is not called stale', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const fd = kernel.socket();
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, path), 0);
  await assert.rejects(connect(path, { timeout: 5 }), refusal('ECONNREFUSED', 'starting', /does not listen/));
  const connecting = connect(path, { timeout: Infinity });
  assert.equal(kernel.listen(fd, 1), 0);
  (await connecting).destroy();
});

test('the backlog is full until the deadline → EAGAIN, and which process does not accept', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(path, { backlog: 0 });
  t.after(() => held.release());
  const first = await connect(path);
  t.after(() => first.destroy());
  await assert.rejects(connect(path, { timeout: 20 }), (error: SocketAddressError) => {
    assert.equal(error.holder?.pid, process.pid);
    return refusal('EAGAIN', 'backlog-full', new RegExp(`its backlog is full: this very process \\(${process.pid}\\) `))(error);
  });
});

test('the path leads to a full server by another spelling → which process does not accept', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/real`);
  fs.symlinkSync('real', `${directory}/alias`);
  const held = await claim(`${directory}/real/app.sock`, { backlog: 0 });
  t.after(() => held.release());
  const first = await connect(held.address);
  t.after(() => first.destroy());
  for (const path of [`${directory}/alias/app.sock`, `${directory}/./real/app.sock`]) {
    await assert.rejects(connect(path, { timeout: 0 }), (error: SocketAddressError) => {
      assert.equal(error.holder?.pid, process.pid);
      return refusal('EAGAIN', 'backlog-full', /this very process/)(error);
    });
  }
});

test('an error that waiting does not fix → reported at once, even without a deadline', needs('python3'), async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/file`, '');
  fs.symlinkSync('loop', `${directory}/loop`);
  const forever = { timeout: Infinity };
  await assert.rejects(
    connect(`${directory}/file`, forever),
    refusal('ENOTSOCK', 'not-a-socket', /: it is a .*, not a socket\. Connect to a socket\.$/),
  );
  await assert.rejects(
    connect(directory, forever),
    refusal('ENOTSOCK', 'not-a-socket', /: it is a .*, not a socket\. Connect to a socket\.$/),
  );
  await assert.rejects(connect(`${directory}/file/app.sock`, forever), refusal('ENOTDIR', 'system', /ENOTDIR/));
  await assert.rejects(connect(`${directory}/loop`, forever), refusal('ELOOP', 'system', /ELOOP/));
  for (const path of [`${directory}/${'n'.repeat(300)}`, `${directory}/${'n'.repeat(300)}/app.sock`]) {
    const longPart = refusal('ENAMETOOLONG', 'system', /: a part of the path is longer than the file system allows\. /);
    await assert.rejects(connect(path, forever), longPart);
  }
  const datagram = 's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print(); sys.stdin.read()';
  const server = spawn('python3', ['-u', '-c', `import socket, sys; ${datagram}`, `${directory}/datagram`]);
  t.after(() => server.kill('SIGKILL'));
  await once(server.stdout, 'data');
  await assert.rejects(connect(`${directory}/datagram`, forever), refusal('EPROTOTYPE', 'not-a-stream', /datagram/));
});

test('this user may not connect → EACCES at once', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o755);
  await echo(t, `${directory}/app.sock`);
  const connecting = as(stranger.uid, () => connect(`${directory}/app.sock`, { timeout: Infinity }));
  await assert.rejects(connecting, refusal('EACCES', 'denied', /user \S+ may not connect: that takes write permission/));
});

/** Begins something as another user: the first try is made before `connect` returns. */
function as<Result>(uid: number, begin: () => Result): Result {
  process.seteuid!(uid);
  try {
    return begin();
  } finally {
    process.seteuid!(0);
  }
}

test('it is called off → the reason of the signal, no descriptor and no listener is left, whenever it was', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  await connect(path, { timeout: 0 }).catch(() => {});
  const before = openDescriptors();
  await assert.rejects(connect(path, { signal: AbortSignal.abort() }), { name: 'AbortError' });

  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const connecting = connect(path, { timeout: Infinity, signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(connecting, (error) => error === reason);

  const byDefault = new AbortController();
  const second = connect(path, { timeout: Infinity, signal: byDefault.signal });
  await setImmediate();
  byDefault.abort();
  await assert.rejects(second, { name: 'AbortError', code: 20 });
  assert.ok(openDescriptors() <= before, 'a descriptor was left open');

  await echo(t, path);
  const late = new AbortController();
  const socket = await connect(path, { signal: late.signal });
  late.abort();
  assert.equal(await ask(socket, 'still here'), 'still here');
});

test('an abstract name → exactly its bytes, on every Node', onLinux, async (t) => {
  const name = `@reuseaddr-connect-${process.pid}`;
  await echo(t, name);
  assert.equal(await ask(await connect(name), 'hello'), 'hello');
  assert.equal(await ask(await connect(`\0${name.slice(1)}`), "Node's spelling"), "Node's spelling");
  await echo(t, `${name}\0with a NUL`);
  assert.equal(await ask(await connect(`${name}\0with a NUL`), 'hello'), 'hello');
  await assert.rejects(connect(`${name}\0`, { timeout: 0 }), refusal('ECONNREFUSED', 'absent', /\\u0000: no process/));
});

test(
  'a path that is longer than a socket address → connected, through a symlink and from the directory too',
  onLinux,
  async (t) => {
    const directory = `${temporaryDirectory(t)}/${'d'.repeat(150)}`;
    fs.mkdirSync(directory);
    const path = `${directory}/app.sock`;
    await echo(t, path);
    fs.symlinkSync(path, `${directory}/link`);
    const before = openDescriptors();
    for (const address of [path, `${directory}/link`]) assert.equal(await ask(await connect(address), 'hello'), 'hello');
    const home = process.cwd();
    process.chdir(directory);
    t.after(() => process.chdir(home));
    for (const address of ['app.sock', './app.sock', '../'.concat('d'.repeat(150), '/app.sock')]) {
      assert.equal(await ask(await connect(address), 'hello'), 'hello');
    }
    assert.ok(openDescriptors() <= before, 'a descriptor was left open');
    await assert.rejects(connect(`${path}.none`, { timeout: 0 }), refusal('ENOENT', 'absent', /no process listens/));
  },
);

test('a relative path and a chdir(2) while waiting → the directory is still the one of the call', async (t) => {
  const directory = temporaryDirectory(t);
  const home = process.cwd();
  t.after(() => process.chdir(home));
  process.chdir(directory);
  const connecting = connect('app.sock', { timeout: Infinity });
  process.chdir(home);
  await echo(t, `${directory}/app.sock`);
  assert.equal(await ask(await connecting, 'hello'), 'hello');
});

test('allowHalfOpen → our half stays open after the server has ended its own', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  let heard = '';
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.end('first');
    socket.on('data', (text) => {
      heard += text.toString();
    });
  });
  const held = await listen(server, path);
  t.after(() => held.release());
  const socket = await connect(path, { allowHalfOpen: true });
  socket.resume();
  await once(socket, 'end');
  socket.end('then I');
  await once(socket, 'close');
  await until(() => heard !== '');
  assert.equal(heard, 'then I');
});

test('bad input → it is refused before anything is tried, with what is wrong', async () => {
  const bad = async (address: unknown, options: object, code: string, reason: string) =>
    await assert.rejects(connect(address as string, options), refusal(code, reason, /^Cannot connect to /));
  await bad('', {}, 'EINVAL', 'bad-address');
  await bad('/run/', {}, 'EISDIR', 'bad-address');
  await bad('/run/a\0b', {}, 'EINVAL', 'bad-address');
  await bad(42, {}, 'ERR_INVALID_ARG_TYPE', 'bad-address');
  for (const timeout of [-1, NaN, '5']) await bad('/run/app.sock', { timeout }, 'EINVAL', 'bad-option');
  await bad('/run/app.sock', { signal: {} }, 'EINVAL', 'bad-option');
});

test('the pauses between tries → they grow, up to a limit, and chance spreads each over its second half', () => {
  const longest = Array.from({ length: 100 }, (_, tries) => pauseMs(tries, 1));
  assert.equal(longest[0], 1);
  for (const [index, pause] of longest.entries()) {
    assert.ok(pause >= (longest[index - 1] ?? 0) && pause <= 50);
    assert.equal(pauseMs(index, 0), pause / 2);
  }
  assert.equal(longest.at(-1), 50);
});

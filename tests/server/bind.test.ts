import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { bind, claim, inspect, listen, type BindOptions, type Claim } from 'reuseaddr';
import { fcntl } from '#dist/kernel/descriptors.js';
import { failed } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { readRequest } from '#dist/request/readRequest.js';
import { DatagramAcceptor } from '#dist/server/datagramAcceptor.js';
import { Pending } from '#dist/server/pending.js';
import { abstractName } from '../support/abstract.js';
import { inodeAt, leftOpen, openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';

interface Bound {
  readonly socket: Socket;
  readonly claim: Claim;
  /** Waits until so many messages have come, and gives all of them. */
  came(count: number): Promise<readonly string[]>;
}

/** A socket that does not keep the test running, whatever becomes of it. */
function newSocket(t: TestContext, family: 'udp4' | 'udp6' = 'udp4'): Socket {
  const socket = createSocket(family);
  t.after(() => {
    try {
      socket.close();
    } catch {
      // It is closed.
    }
  });
  return socket;
}

/** Receives what comes, as text. A long message is given by its length. */
async function bound(t: TestContext, address: string, options?: BindOptions): Promise<Bound> {
  const socket = newSocket(t);
  const messages: string[] = [];
  socket.on('message', (message) => messages.push(message.length > 100 ? String(message.length) : String(message)));
  const held = await bind(socket, address, options);
  t.after(() => held.release());
  const came = async (count: number): Promise<readonly string[]> => {
    while (messages.length < count) await once(socket, 'message');
    return messages;
  };
  return { socket, claim: held, came };
}

/** A process' end of a connected datagram socket. */
function sender(t: TestContext, address: string): (text: string, fds?: readonly number[]) => number | string {
  const fd = kernel.connect(address.replace(/^@/, '\0'), 'datagram');
  assert.ok(!failed(fd), String(fd));
  t.after(() => kernel.close(fd));
  return (text, fds = []) => kernel.sendmsg(fd, text, fds);
}

for (const [kind, addressIn] of [
  ['path', (t: TestContext) => `${temporaryDirectory(t)}/log.sock`],
  ['abstract name', () => abstractName().address],
] as const)
  test(
    `a socket of node:dgram at a ${kind} → datagrams arrive as messages, in their order, and close releases the claim`,
    onLinux,
    async (t) => {
      const address = addressIn(t);
      const before = openDescriptors();
      const { socket, claim: held, came } = await bound(t, address);
      assert.equal(held.address, address);
      assert.deepEqual([(await inspect(address)).state, (await inspect(address)).type], ['listening', 'datagram']);
      const send = sender(t, address);
      for (const text of ['a', 'b', '', 'c']) assert.equal(send(text), text.length);
      assert.deepEqual(await came(4), ['a', 'b', '', 'c']);
      await assert.rejects(bind(newSocket(t, 'udp6'), address), { code: 'EADDRINUSE', reason: 'held' });
      socket.close();
      assert.equal((await inspect(address)).state, 'free');
      const again = await claim(address, { type: 'datagram' });
      await again.release();
      assert.ok(openDescriptors() <= before + 1, 'the sender alone is left');
    },
  );

test('descriptors come along with a message → none of them is left open, and the message arrives', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const { came } = await bound(t, address);
  const send = sender(t, address);
  const file = fs.openSync('/dev/null', 'r');
  t.after(() => fs.closeSync(file));
  const before = openDescriptors();
  send('with descriptors', [file, file, file]);
  assert.deepEqual(await came(1), ['with descriptors']);
  assert.equal(openDescriptors(), before);
});

test('a message over 65,536 bytes → it is cut to that, as the page says', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const { came } = await bound(t, address);
  const { spawnSync } = await import('node:child_process');
  const python = `import socket,sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for n in (65535, 65536, 65537, 100000): s.sendto(b'x' * n, sys.argv[1])`;
  const { status } = spawnSync('python3', ['-c', python, address]);
  if (status === null) return t.skip('python3 is not installed');
  assert.deepEqual(await came(4), ['65535', '65536', '65536', '65536']);
});

test('the socket is bound, closed, pending, or none → an error before anything is made', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/log.sock`;
  const udp = newSocket(t).bind(0, '127.0.0.1');
  await once(udp, 'listening');
  await assert.rejects(bind(udp, address), { code: 'ERR_SOCKET_ALREADY_BOUND', reason: 'already-listening' });
  const closed = newSocket(t);
  closed.close();
  await assert.rejects(bind(closed, address), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING', message: /the socket is closed/ });
  for (const [value, advice] of [
    [undefined, /createSocket\('udp4'\)/],
    [null, /createSocket\('udp4'\)/],
    [address, /claim\(address, \{ type: 'datagram' \}\)/],
    [net.createServer(), /Write listen\(server, address\)/],
    [{}, /createSocket/],
  ] as const)
    await assert.rejects(bind(value as unknown as Socket, address), { code: 'ERR_INVALID_ARG_TYPE', message: advice });
  await assert.rejects(listen(newSocket(t) as unknown as net.Server, address), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /Write bind\(socket, address\)/,
  });
  const methods = { bind() {}, send() {}, addMembership() {}, close() {}, once() {} };
  for (const state of [undefined, {}, { handle: { close() {} } }])
    await assert.rejects(bind({ ...methods, [Symbol('state symbol')]: state } as unknown as Socket, address), {
      code: 'ENOTSUP',
      message: /this runtime does not let a socket of node:dgram read from a descriptor/,
    });
  const options = [{ type: 'stream' }, { type: 'seqpacket' }, { allow: { uid: [0] } }, { backlog: 3 }, null, () => undefined];
  for (const wrong of options) {
    const socket = newSocket(t);
    await assert.rejects(bind(socket, address, wrong as BindOptions), { name: 'SocketAddressError' });
  }
  const withCallback = bind as (...args: readonly unknown[]) => Promise<Claim>;
  await assert.rejects(
    withCallback(newSocket(t), address, {}, () => undefined),
    { message: /Leave the callback out/ },
  );
  assert.deepEqual(fs.readdirSync(directory), []);
});

test(
  'a socket that waits for its address is bound by the program → it is refused; close calls the wait off',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/log.sock`;
    const { claim: held } = await bound(t, address);
    const socket = newSocket(t);
    const waits = bind(socket, address, { wait: true });
    assert.throws(() => socket.bind(0), { code: 'ERR_SOCKET_ALREADY_BOUND' });
    await assert.rejects(bind(socket, `${address}.other`), { code: 'ERR_SOCKET_ALREADY_BOUND' });
    socket.close();
    await assert.rejects(waits, { code: 'ECANCELED', reason: 'cancelled', message: /: a call of close\(\) ended the wait\.$/ });
    await held.release();
    assert.equal((await inspect(address)).state, 'free');
  },
);

test('a listener of listening closes the socket → the claim is released', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const socket = newSocket(t).once('listening', () => socket.close());
  const held = await bind(socket, `${directory}/log.sock`);
  assert.deepEqual([held.toJSON().released, fs.readdirSync(directory)], [true, ['log.sock.lock']]);
});

test('a bound socket → a second bind is refused, send fails, and unref lets the program end', onLinux, async (t) => {
  const { socket } = await bound(t, `${temporaryDirectory(t)}/log.sock`);
  assert.throws(() => socket.bind(0), { code: 'ERR_SOCKET_ALREADY_BOUND' });
  assert.equal(socket.unref(), socket);
  assert.equal(socket.ref(), socket);
  const error = await new Promise((resolve) => socket.send('x', 9, '127.0.0.1', resolve));
  assert.ok(error instanceof Error);
});

test('the file of a bound socket is removed, with rebind → messages arrive again, on another inode', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const { socket, claim: held, came } = await bound(t, address, { onDisplaced: 'rebind' });
  const first = inodeAt(address);
  const again = once(socket, 'listening');
  const displaced = once(held, 'displaced');
  fs.unlinkSync(address);
  await displaced;
  await again;
  assert.ok(inodeAt(address) !== undefined);
  assert.notEqual(first, undefined);
  sender(t, address)('after');
  assert.deepEqual(await came(1), ['after']);
  socket.close();
  assert.deepEqual(leftOpen(address.slice(0, address.lastIndexOf('/'))), []);
});

test('listeners of listening throw → uncaught exceptions; a start, a takeover and a rebind are complete all the same', async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const script = `
    import { createSocket } from 'node:dgram';
    import { once } from 'node:events';
    import fs from 'node:fs';
    import { bind } from 'reuseaddr';
    const errors = [];
    process.on('uncaughtException', ({ message }, origin) => errors.push([message, origin]));
    const path = ${JSON.stringify(address)};
    const throwing = (text) => createSocket('udp4').on('listening', () => { throw new Error(text); });
    const held = await bind(throwing('first'), path, { handover: true });
    const taken = await bind(throwing('second'), path, { takeover: true, onDisplaced: 'rebind' });
    const displaced = once(taken, 'displaced');
    fs.unlinkSync(path);
    await displaced;
    await new Promise((turn) => setImmediate(turn));
    const released = [held, taken].map((claim) => claim.toJSON().released);
    const bound = fs.existsSync(path);
    await taken.release();
    const closing = createSocket('udp4');
    const closed = await bind(closing.on('listening', () => { closing.close(); throw new Error('closed'); }), path);
    released.push(closed.toJSON().released);
    await new Promise((turn) => setImmediate(turn));
    console.log(JSON.stringify({ errors, released, bound }));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    cwd: new URL('../../..', import.meta.url),
  });
  const errors = ['first', 'second', 'second', 'closed'].map((text) => [text, 'uncaughtException']);
  assert.deepEqual(JSON.parse(out), { errors, released: [true, false, true], bound: true });
});

test('bind of the socket throws → the error is that of the start, and nothing is left', async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.bind = () => {
    throw new Error('thrown by bind');
  };
  await assert.rejects(bind(socket, address), /thrown by bind/);
  assert.deepEqual(leftOpen(address), []);
});

test('a handover between two sockets of node:dgram → the old one closes, and each message arrives once', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const old = await bound(t, address, { handover: true });
  const send = sender(t, address);
  send('to the old one');
  await old.came(1);
  const closed = once(old.socket, 'close');
  const handover = once(old.claim, 'handover');
  const next = await bound(t, address, { takeover: true });
  await Promise.all([closed, handover]);
  send('to the next one');
  assert.deepEqual([await next.came(1), await old.came(1)], [['to the next one'], ['to the old one']]);
  await old.claim.release();
  assert.equal((await inspect(address)).state, 'listening');
});

/** An acceptor alone, with the calls that a handover makes of it. */
function acceptorOf(socket: Socket, address: string): { acceptor: DatagramAcceptor; pending: Pending<Socket> } {
  const entry = { name: 'bind', startedCode: 'ERR_SOCKET_ALREADY_BOUND', hasStarted: () => false } as const;
  const pending = new Pending(socket, readRequest(address, { type: 'datagram' }), entry);
  return { acceptor: new DatagramAcceptor(pending), pending };
}

test(
  'a holder takes its claim back after the socket was bound → the socket is unbound again, and can be bound to UDP',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/log.sock`;
    const fd = boundSocket(t, address);
    const socket = newSocket(t);
    const { acceptor, pending } = acceptorOf(socket, address);
    acceptor.start(fd, address, true);
    acceptor.stop();
    assert.throws(() => fs.fstatSync(fd), { code: 'EBADF' });
    assert.throws(() => socket.bind(0), { code: 'ERR_SOCKET_ALREADY_BOUND' }, 'it is pending again');
    pending.end();
    await once(socket.bind(0, '127.0.0.1'), 'listening');
    const message = once(socket, 'message');
    socket.send('over UDP', socket.address().port, '127.0.0.1');
    assert.equal(String((await message)[0]), 'over UDP');
  },
);

/** A datagram socket at a path, by the addon that the acceptor below uses. */
function boundSocket(t: TestContext, path: string): number {
  const fd = kernel.socket('datagram') as number;
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, path), 0);
  return fd;
}

test(
  'a program closes its socket before, in and after the start → the start fails, and the socket stays closed',
  onLinux,
  (t) => {
    const address = `${temporaryDirectory(t)}/log.sock`;
    const fd = boundSocket(t, address);
    const copy = (): number => fcntl(fd, 'F_DUPFD_CLOEXEC') as number;

    const before = newSocket(t);
    const first = acceptorOf(before, address);
    before.close();
    const unused = copy();
    assert.throws(() => first.acceptor.start(unused, address), { code: 'ECANCELED' });
    assert.equal(kernel.close(unused), 0, 'the descriptor is still that of the caller');

    const inside = newSocket(t).once('listening', () => inside.close());
    const second = acceptorOf(inside, address);
    assert.throws(() => second.acceptor.start(copy(), address, true), { code: 'ECANCELED' });
    second.acceptor.stop();
    second.pending.end();
    assert.throws(() => inside.bind(0), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' });

    const closedFd = copy();
    kernel.close(closedFd);
    assert.throws(() => acceptorOf(newSocket(t), address).acceptor.start(closedFd, address), { code: 'EBADF', syscall: 'open' });
  },
);

test('a listener of listening closes the socket in a takeover → the holder keeps its address', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const old = await bound(t, address, { handover: true });
  const socket = newSocket(t).once('listening', () => socket.close());
  await assert.rejects(bind(socket, address, { takeover: true }), { code: 'ECANCELED', reason: 'cancelled' });
  sender(t, address)('still the old one');
  assert.deepEqual(await old.came(1), ['still the old one']);
  assert.equal(old.claim.toJSON().released, false);
});

test('a takeover of a holder with a stream → the socket is unbound again, and can be bound', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const holder = await Program.start(t);
  await holder.ask('listen', { address, options: { handover: true } });
  // The holder has a stream, so this ends after the socket was prepared, and before it is bound.
  const socket = newSocket(t);
  await assert.rejects(bind(socket, address, { takeover: true }), /Its socket is of another type/);
  await holder.ask('release', { address });
  const held = await bind(socket, address);
  const message = once(socket, 'message');
  sender(t, address)('text');
  assert.equal(String((await message)[0]), 'text');
  await held.release();
});

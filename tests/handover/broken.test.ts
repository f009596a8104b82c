import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { claim, listen } from '#dist/index.js';
import { hear } from '#dist/handover/offer.js';
import { format, parse } from '#dist/handover/message.js';
import { kernel } from '#dist/kernel/posix.js';
import { waitingKernel } from '#dist/kernel/wait.js';
import { runAsync } from '#dist/kernel/kernel.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';
import { connectedPair } from '../support/sockets.js';
import { until } from '../support/waits.js';

const program = fixtureBeside(import.meta.url, 'server.mjs');
/** As in src/handover/handoverService.ts. */
const silentMax = 16;
const requestTimeoutMs = 1000;

const both = { takeover: true, handover: true } as const;

function greeter(text: string): net.Server {
  return net.createServer((connection) => connection.end(text));
}

/** The faults of a peer. Each gets its connection, and leaves it as the peer would. */
const breaches: Readonly<Record<string, (fd: number) => void>> = {
  'says nothing and goes': (fd) => void kernel.close(fd),
  'a bad form': (fd) => say(fd, 'hand over\n'),
  'no end of line': (fd) => say(fd, 'reuseaddr 1 request'),
  'an unknown version': (fd) => say(fd, 'reuseaddr 2 request\n'),
  'another message': (fd) => say(fd, 'reuseaddr 1 ready\n'),
  garbage: (fd) => say(fd, '\u0000\u0007\u001b[2J\u00ff'.repeat(20)),
  huge: (fd) => say(fd, 'x'.repeat(4096)),
  'descriptors with the request': (fd) => say(fd, 'reuseaddr 1 request\n', [fd, fd]),
  'too many descriptors': (fd) => say(fd, 'reuseaddr 1 request\n', [fd, fd, fd, fd, fd, fd]),
  'asks and goes': (fd) => say(fd, 'reuseaddr 1 request\n'),
  'two messages at once': (fd) => say(fd, 'reuseaddr 1 request\nreuseaddr 1 ready\n'),
};

function say(fd: number, text: string, fds: readonly number[] = []): void {
  kernel.sendmsg(fd, text, fds);
  kernel.close(fd);
}

test(
  '1,000 broken requests → the holder continues to serve with the same number of open descriptors, and hands over after that',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    const before = openDescriptors();
    const kinds = Object.values(breaches);
    for (let count = 0; count < 1000; count++) {
      const fd = kernel.connect(`${address}.handover`);
      if (typeof fd === 'string') assert.equal(fd, 'EAGAIN');
      else kinds[count % kinds.length]!(fd);
      if (count % 20 === 0) await setImmediate();
    }
    await until(() => openDescriptors() <= before);
    assert.equal(await greeting(address), 'first');
    const left = once(held, 'handover');
    const taken = await listen(greeter('second'), address, both);
    await left;
    assert.equal(await greeting(address), 'second');
    await taken.release();
    t.diagnostic(`1000 requests of ${kinds.length} kinds`);
  },
);

test(
  'a peer says something else than that it asks, and stays → its connection is closed, and it was given nothing',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    t.after(() => held.release());
    const texts = [
      'hand over\n',
      'reuseaddr 1 request',
      'reuseaddr 2 request\n',
      'reuseaddr 1 ready\n',
      'reuseaddr 1 request 1\n',
      '\n',
    ];
    for (const [text, sends] of [...texts.map((one) => [one, false] as const), ['reuseaddr 1 request\n', true] as const]) {
      const fd = kernel.connect(`${address}.handover`);
      if (typeof fd === 'string') assert.fail(fd);
      kernel.sendmsg(fd, text, sends ? [fd] : []);
      assert.equal(await waitingKernel().poll(fd, Infinity), 0);
      const said = kernel.recvmsg(fd, 128, 3);
      assert.ok(said === 'ECONNRESET' || (typeof said === 'object' && said.text === '' && said.fds.length === 0), text);
      kernel.close(fd);
    }
  },
);

test(
  'the holder takes back what it has offered → claim() and listen() close all of it, and the connection last',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    t.after(() => held.release());
    const { dev, ino } = fs.statSync(address, { bigint: true });
    const fds = claimOf(address);
    const asks = [() => claim(address, { takeover: true }), () => listen(greeter('second'), address, { takeover: true })];
    for (const ask of asks) {
      const { connect } = kernel;
      const connection = await connectedPair(t);
      kernel.connect = () => {
        kernel.connect = () => 'ECONNREFUSED';
        kernel.sendmsg(connection.server, `reuseaddr 1 offer ${dev} ${ino}\n`, [fds.listen, fds.handover, fds.lock]);
        kernel.sendmsg(connection.server, 'reuseaddr 1 abort\n', []);
        return connection.client;
      };
      const before = openDescriptors();
      await assert.rejects(ask(), { code: 'EADDRINUSE', message: /It serves no handovers/ });
      kernel.connect = connect;
      assert.ok(openDescriptors() < before);
      connection.clientClosed();
      assert.equal(await greeting(address), 'first');
    }
  },
);

test(
  'peers answer an offer with something else than ready, send descriptors, or go → the offer is taken back, and nothing is left open',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    const before = openDescriptors();
    const answers: ((fd: number) => void)[] = [
      () => undefined,
      (fd) => kernel.sendmsg(fd, 'rubbish\n', []),
      (fd) => kernel.sendmsg(fd, 'reuseaddr 1 request\n', []),
      (fd) => kernel.sendmsg(fd, 'reuseaddr 1 done\n', [fd, fd, fd]),
      (fd) => kernel.sendmsg(fd, 'reuseaddr 1 ready\n', [fd, fd, fd, fd]),
      (fd) => kernel.sendmsg(fd, 'x'.repeat(4096), []),
      (fd) => kernel.sendmsg(fd, 'reuseaddr 1 ready\nreuseaddr 1 ready\n', []),
    ];
    for (const answer of answers) {
      const fd = kernel.connect(`${address}.handover`) as number;
      kernel.sendmsg(fd, format({ kind: 'request' }), []);
      assert.equal(await waitingKernel().poll(fd, Infinity), 0);
      const offer = kernel.recvmsg(fd, 128, 3);
      if (typeof offer === 'string') assert.fail(offer);
      assert.equal(parse(offer.text.trimEnd())?.kind, 'offer');
      for (const each of offer.fds) kernel.close(each);
      answer(fd);
      if (answer !== answers[0]) {
        assert.equal(await waitingKernel().poll(fd, Infinity), 0);
        assert.deepEqual(kernel.recvmsg(fd, 128, 3), { text: 'reuseaddr 1 abort\n', fds: [] });
      }
      kernel.close(fd);
      await until(() => openDescriptors() <= before);
    }
    assert.equal(await greeting(address), 'first');
    await held.release();
  },
);

test(
  'one silent peer more than are waited for → the first is dropped, before its time is over; the others stay',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    t.after(() => held.release());
    const hears = (fd: number): boolean => kernel.recvmsg(fd, 128, 3) !== 'EAGAIN';
    // An event within `requestTimeoutMs` is no timeout. On a machine that was too slow for that,
    // the test tries again.
    for (let attempt = 0; attempt < 10; attempt++) {
      const start = performance.now();
      const [first, ...others] = Array.from({ length: silentMax + 1 }, () => kernel.connect(`${address}.handover`) as number);
      await until(() => hears(first!));
      const dropped = others.filter(hears).length;
      const tookMs = performance.now() - start;
      for (const fd of [first!, ...others]) kernel.close(fd);
      if (tookMs < requestTimeoutMs) return assert.equal(dropped, 0);
    }
    assert.fail('the first was dropped by its timeout only');
  },
);

test(
  'hundreds of silent peers stay connected → none of them is given anything, and a good newcomer gets the address at once',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    await listen(greeter('first'), address, { handover: true });
    const silent: number[] = [];
    for (let count = 0; count < 300; count++) {
      const fd = kernel.connect(`${address}.handover`);
      if (typeof fd === 'number') silent.push(fd);
      await setImmediate();
    }
    const taken = await listen(greeter('second'), address, both);
    assert.equal(await greeting(address), 'second');
    for (const fd of silent) {
      const said = kernel.recvmsg(fd, 128, 3);
      assert.ok(
        said === 'EAGAIN' || said === 'ECONNRESET' || (typeof said === 'object' && said.text === '' && said.fds.length === 0),
      );
      kernel.close(fd);
    }
    await taken.release();
    t.diagnostic(`${silent.length} silent peers`);
  },
);

test(
  'a peer keeps its offer and says nothing → others may not have the address, until it goes; the server continues',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    await listen(greeter('first'), address, { handover: true });
    const fd = kernel.connect(`${address}.handover`) as number;
    kernel.sendmsg(fd, format({ kind: 'request' }), []);
    assert.equal(await waitingKernel().poll(fd, Infinity), 0);
    const offer = kernel.recvmsg(fd, 128, 3);
    if (typeof offer === 'string') assert.fail(offer);
    await assert.rejects(listen(greeter('second'), address, { takeover: 50 }), { code: 'EADDRINUSE', reason: 'held' });
    assert.equal(await greeting(address), 'first');
    const taken = listen(greeter('second'), address, { takeover: 60_000 });
    for (const each of [...offer.fds, fd]) kernel.close(each);
    const made = await taken;
    assert.equal(await greeting(address), 'second');
    await made.release();
  },
);

test('another user asks → it may not connect; where it may, it is given nothing', asRoot, async (t) => {
  const address = `${temporaryDirectory(t, 0o755)}/app.sock`;
  const holder = await Program.start(t, { program });
  await holder.ask('listen', { address, options: both });
  const asks = async (): Promise<string> => {
    const script = `
      const client = require('node:net').connect(process.argv[1]);
      let text = '';
      client.on('connect', () => client.write('reuseaddr 1 request\\n'));
      client.on('data', (data) => { text += data; client.destroy(); });
      client.on('error', ({ code }) => { text += code; });
      client.on('close', () => console.log(text));`;
    const { execFile } = await import('node:child_process');
    return await new Promise((done) =>
      execFile(process.execPath, ['-e', script, `${address}.handover`], { ...stranger, cwd: '/' }, (_error, out) =>
        done(out.trim()),
      ),
    );
  };
  assert.equal(await asks(), 'EACCES');
  fs.chmodSync(`${address}.handover`, 0o777);
  assert.match(await asks(), /^(ECONNRESET|EPIPE)?$/);
  assert.equal(await greeting(address), String(holder.pid));
  const newcomer = await Program.start(t, { program });
  await newcomer.ask('listen', { address, options: both });
});

test('a connection of another user is heard → no, and nothing is read', asRoot, async (t) => {
  const { server } = await connectedPair(t);
  let read = 0;
  const strange = {
    ...waitingKernel(),
    peerCredentials: () => ({ pid: 1, ...stranger }),
    recvmsg: () => (read++, 'EAGAIN' as const),
  };
  assert.equal(await runAsync(strange, hear(server, 1000)), false);
  assert.equal(await runAsync({ ...strange, peerCredentials: () => 'EINVAL' as const }, hear(server, 1000)), false);
  assert.equal(read, 0);
});

test(
  'a server of another user is bound where the handover socket should be, and offers a lock and sockets → it is not trusted',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o1777);
    const address = `${directory}/app.sock`;
    const held = await listen(greeter('first'), address);
    const script = `
    const { kernel } = await import(process.argv[1]);
    const net = await import('node:net');
    const server = net.createServer((c) => {
      const { fd } = c._handle;
      kernel.sendmsg(fd, 'reuseaddr 1 offer 1 1\\n', [fd, fd, fd]);
    }).listen(process.argv[2] + '.handover', () => { process.send?.('ready'); });
    `;
    const { spawn } = await import('node:child_process');
    const liar = spawn(
      process.execPath,
      ['--input-type=module', '-e', script, import.meta.resolve('#dist/kernel/posix.js'), address],
      {
        ...stranger,
        cwd: '/',
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    t.after(() => liar.kill('SIGKILL'));
    await once(liar, 'message');
    fs.chmodSync(`${address}.handover`, 0o777);
    const before = openDescriptors();
    await assert.rejects(listen(greeter('second'), address, { takeover: true }), {
      code: 'EADDRINUSE',
      reason: 'held',
      message: /Only the same user and root get a handover/,
    });
    assert.ok(openDescriptors() <= before, 'a descriptor was left open');
    assert.equal(await greeting(address), 'first');
    await held.release();
  },
);

test(
  'the handover socket of a holder offers something other than the claim → refused, and every descriptor is closed',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const held = await listen(greeter('first'), address, { handover: true });
    const another = await listen(greeter('another'), `${address}.another`, { handover: true });
    const lock = fs.openSync(`${address}.lock`, 'r+');
    const anotherLock = fs.openSync(`${address}.another.lock`, 'r+');
    t.after(() => {
      fs.closeSync(lock);
      fs.closeSync(anotherLock);
    });
    const { dev, ino } = fs.statSync(address, { bigint: true });
    const genuine = `reuseaddr 1 offer ${dev} ${ino}\n`;
    const hold = claimOf(address);
    const offers: readonly (readonly [what: string, text: string, fds: readonly number[]])[] = [
      ['no descriptors', genuine, []],
      ['too few', genuine, [hold.listen, hold.handover]],
      ['too many', genuine, [hold.listen, hold.handover, hold.lock, hold.lock]],
      ['a lock file that is open, and not locked', genuine, [hold.listen, hold.handover, lock]],
      ['the lock of another address', genuine, [hold.listen, hold.handover, claimOf(`${address}.another`).lock]],
      ['a listening socket of another address', genuine, [claimOf(`${address}.another`).listen, hold.handover, hold.lock]],
      ['a handover socket of another address', genuine, [hold.listen, claimOf(`${address}.another`).handover, hold.lock]],
      ['another inode', `reuseaddr 1 offer ${dev} ${ino + 1n}\n`, [hold.listen, hold.handover, hold.lock]],
      ['another version', `reuseaddr 2 offer ${dev} ${ino}\n`, [hold.listen, hold.handover, hold.lock]],
      ['no numbers', `reuseaddr 1 offer x y\n`, [hold.listen, hold.handover, hold.lock]],
    ];
    for (const [what, text, fds] of offers) {
      // Any process may answer at the socket. The holder's own is bound there, so that it is found
      // where it should be.
      const { connect } = kernel;
      const connection = await connectedPair(t);
      kernel.connect = () => {
        kernel.connect = connect;
        kernel.sendmsg(connection.server, text, fds);
        return connection.client;
      };
      const before = openDescriptors();
      await assert.rejects(
        listen(greeter('second'), address, { takeover: true }),
        { code: 'EADDRINUSE', message: /something other than the claim/ },
        what,
      );
      assert.ok(openDescriptors() < before, what); // Descriptors of earlier tests may be closed meanwhile.
      connection.clientClosed();
      assert.equal(await greeting(address), 'first', what);
    }
    await held.release();
    await another.release();
    t.diagnostic(`${offers.length} offers`);
  },
);

/** The descriptors of a claim that this process has. */
function claimOf(address: string): { lock: number; listen: number; handover: number } {
  const table = fs.readFileSync('/proc/net/unix', 'utf8');
  const inode = (path: string): string => new RegExp(`01 +(\\d+) ${path.replaceAll('.', '\\.')}$`, 'm').exec(table)![1]!;
  const open = new Map(
    fs
      .readdirSync('/proc/self/fd')
      .flatMap((fd) => {
        try {
          return [[fs.readlinkSync(`/proc/self/fd/${fd}`), Number(fd)] as const];
        } catch {
          return [];
        }
      })
      .reverse(),
  );
  return {
    lock: open.get(`${address}.lock`)!,
    listen: open.get(`socket:[${inode(address)}]`)!,
    handover: open.get(`socket:[${inode(`${address}.handover`)}]`)!,
  };
}

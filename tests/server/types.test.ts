import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim, inspect, SocketAddressError, type Claim, type ListenOptions } from 'reuseaddr';
import { socketTypes, type SocketType } from '#dist/address/socketType.js';
import { acquire } from '#dist/claim/acquire.js';
import { resolve } from '#dist/claim/place.js';
import { release } from '#dist/claim/release.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { AT_FDCWD, failed, run, type Kernel } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { needs } from '../support/commands.js';
import { inodeAt, leftOpen, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { closingOrder } from './closingOrder.js';

const places = {
  path: (t: TestContext) => `${temporaryDirectory(t)}/app.sock`,
  'long path': (t: TestContext) => {
    const directory = `${temporaryDirectory(t)}/${'d'.repeat(100)}`;
    fs.mkdirSync(directory);
    return `${directory}/app.sock`;
  },
  'abstract name': () => abstractName().address,
} as const;

async function refusal(address: string, options: ListenOptions): Promise<SocketAddressError> {
  const outcome = await claim(address, options).catch((error: unknown) => error);
  if (!(outcome instanceof SocketAddressError)) {
    await (outcome as Claim).release();
    assert.fail(`a ${options.type} socket was claimed`);
  }
  return outcome;
}

/**
 * Whether a client of this type reaches a socket at the address: it connects there, and is gone
 * again.
 */
function reaches(address: string, type: SocketType): boolean {
  if (address.startsWith('/') && address.length > 107) return reachesFile(address, type);
  const fd = kernel.connect(address.replace(/^@/, '\0'), type);
  if (!failed(fd)) kernel.close(fd);
  return !failed(fd);
}

function reachesFile(path: string, type: SocketType): boolean {
  const file = kernel.openat(AT_FDCWD, path, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0) as number;
  const reached = reaches(`/proc/self/fd/${file}`, type);
  kernel.close(file);
  return reached;
}

for (const type of socketTypes) {
  for (const [kind, addressIn] of Object.entries(places)) {
    test(
      `a ${type} socket at a ${kind} → clients of its type reach it, others do not, and a start of any type that is one address with it is refused`,
      onLinux,
      async (t) => {
        const address = addressIn(t);
        const held = await claim(address, { type });
        t.after(() => held.release());
        for (const other of socketTypes) {
          assert.equal(reaches(address, other), other === type, other);
          if (kind === 'abstract name' && other !== type) continue;
          const { reason, code, holder } = await refusal(address, { type: other });
          assert.deepEqual([reason, code, holder?.pid], ['held', 'EADDRINUSE', process.pid]);
        }
        const seen = await inspect(address);
        assert.deepEqual([seen.state, seen.type, seen.holder?.pid], ['listening', type, process.pid]);
        await held.release();
        assert.equal((await inspect(address)).state, 'free');
      },
    );
  }

  test(`a ${type} holder is killed → a start of each type gets the path`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    for (const next of socketTypes) {
      const address = `${directory}/${next}.sock`;
      const holder = await Program.start(t);
      await holder.ask('claim', { address, options: { type } });
      await holder.kill();
      assert.equal((await inspect(address)).state, 'stale');
      const held = await claim(address, { type: next });
      assert.ok(reaches(address, next));
      await held.release();
      assert.deepEqual(
        fs.readdirSync(directory).filter((name) => !name.endsWith('.lock')),
        [],
      );
    }
  });

  test(`a ${type} socket of a program without the lock → no start of another type takes it for dead`, onLinux, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const fd = kernel.socket(type) as number;
    t.after(() => kernel.close(fd));
    assert.equal(kernel.bind(fd, address), 0);
    const inode = inodeAt(address);
    for (const other of socketTypes) {
      const { reason, holder } = await refusal(address, { type: other });
      assert.equal(reason, 'stray');
      if (type === 'datagram') assert.equal(holder?.pid, process.pid);
    }
    assert.equal(inodeAt(address), inode);
    assert.deepEqual([(await inspect(address)).state, (await inspect(address)).type], ['stray', type]);
  });

  test(`a standby waits for a path with a ${type} holder → it gets it with its own type`, onLinux, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    for (const next of socketTypes) {
      const held = await claim(address, { type });
      const waits = claim(address, { type: next, wait: true });
      await held.release();
      const got = await waits;
      assert.ok(reaches(address, next));
      await got.release();
    }
  });
}

test(
  'one abstract name, a process for each type → each is its own address, and an error names the right holder',
  onLinux,
  async (t) => {
    const { address } = abstractName();
    const holders = new Map<SocketType, number>();
    for (const type of socketTypes) {
      const holder = await Program.start(t);
      await holder.ask('claim', { address, options: { type, handover: address.length < 90 } });
      holders.set(type, holder.pid);
    }
    for (const type of socketTypes) assert.equal((await refusal(address, { type })).holder?.pid, holders.get(type));
  },
);

test('one abstract name, a process for each type, which serve handovers → each hands over its own', onLinux, async (t) => {
  const address = `@reuseaddr-types-${process.pid}`;
  for (const type of socketTypes) {
    const holder = await Program.start(t);
    await holder.ask('claim', { address, options: { type, handover: true } });
  }
  for (const type of socketTypes) {
    const taken = await claim(address, { type, takeover: true });
    t.after(() => taken.release());
    assert.deepEqual(kernel.socketType(taken.fd), { type });
  }
});

test(
  'datagrams are queued → starts, looks and a handover leave them, and the next holder reads them in their order',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const holder = await Program.start(t);
    await holder.ask('claim', { address, options: { type: 'datagram', handover: true } });
    const sender = kernel.connect(address, 'datagram') as number;
    t.after(() => kernel.close(sender));
    for (const text of ['first', 'second', 'third']) assert.equal(kernel.sendmsg(sender, text, []), text.length);
    for (const type of socketTypes) await refusal(address, { type });
    await inspect(address);
    const taken = await claim(address, { type: 'datagram', takeover: true });
    t.after(() => taken.release());
    const read = ['first', 'second', 'third'].map(() => kernel.recvmsg(taken.fd, 100, 0));
    assert.deepEqual(
      read,
      ['first', 'second', 'third'].map((text) => ({ text, fds: [] })),
    );
    assert.equal(kernel.recvmsg(taken.fd, 100, 0), 'EAGAIN');
  },
);

test(
  'a handover to a start of another type → it is refused and says why, and the holder keeps the address',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    for (const [held, asked] of [
      ['stream', 'datagram'],
      ['datagram', 'seqpacket'],
      ['seqpacket', 'stream'],
    ] as const) {
      const holder = await Program.start(t);
      await holder.ask('claim', { address, options: { type: held, handover: true } });
      const { message, reason, code } = await refusal(address, { type: asked, takeover: true });
      assert.match(message, /Its socket is of another type/);
      assert.deepEqual([reason, code], ['held', 'EADDRINUSE']);
      assert.ok(reaches(address, held));
      await holder.ask('release', { address });
    }
  },
);

const bad: readonly (readonly [what: string, options: object, message: RegExp])[] = [
  ['an unknown type', { type: 'dgram' }, /type must be 'stream' or 'datagram' or 'seqpacket', and this is "dgram"/],
  ['a long text', { type: 'd'.repeat(1000) }, /and this is "d{20}"/],
  ['a number', { type: 2 }, /and this is a number/],
  ['null', { type: null }, /and this is null/],
  ['a member of every object', { type: 'toString' }, /and this is "toString"/],
  ['peers of a datagram socket', { type: 'datagram', allow: { uid: [0] } }, /allow is for servers of stream connections/],
  ['peers of a seqpacket socket', { type: 'seqpacket', allow: { uid: [0] } }, /allow is for servers of stream connections/],
  [
    'a backlog without connections',
    { type: 'datagram', backlog: 5 },
    /backlog is for connections, and a datagram socket has none/,
  ],
];

test('the mode of an abstract name → the advice is an option that this type has', async () => {
  for (const [type, advice] of [
    ['stream', /Restrict peers with \{ allow \}/],
    ['datagram', /Use a path/],
    ['seqpacket', /Use a path/],
  ] as const)
    assert.match((await refusal('@abstract', { type, mode: 0o600 })).message, advice);
});

for (const [what, options, message] of bad)
  test(`bad input, ${what} → an error before anything is made`, async (t) => {
    const directory = temporaryDirectory(t);
    const error = await refusal(`${directory}/app.sock`, options);
    assert.deepEqual([error.code, error.reason], ['EINVAL', 'bad-option']);
    assert.match(error.message, message);
    assert.deepEqual(snapshot(directory), {});
  });

for (const [platform, missing] of [
  ['darwin', ['seqpacket']],
  ['win32', ['datagram', 'seqpacket']],
] as const)
  test(`the types that ${platform} does not have → ENOTSUP before anything is made`, async (t) => {
    const directory = temporaryDirectory(t);
    const before = Object.getOwnPropertyDescriptor(process, 'platform')!;
    t.after(() => Object.defineProperty(process, 'platform', before));
    Object.defineProperty(process, 'platform', { ...before, value: platform });
    for (const type of missing) {
      const error = await refusal(`${directory}/app.sock`, { type });
      assert.deepEqual([error.code, error.reason], ['ENOTSUP', 'unsupported']);
      assert.match(error.message, new RegExp(`this system has no Unix sockets of type ${type}`));
    }
    assert.deepEqual(snapshot(directory), {});
  });

test('listen with another type → it is refused, and says which function to call', async (t) => {
  const { listen } = await import('reuseaddr');
  const net = await import('node:net');
  const directory = temporaryDirectory(t);
  for (const type of ['datagram', 'seqpacket'] as const)
    await assert.rejects(listen(net.createServer(), `${directory}/app.sock`, { type }), {
      code: 'EINVAL',
      message: /type must be 'stream' here, and this is '\w+'\. Use claim\(\), or bind\(\)/,
    });
  assert.deepEqual(snapshot(directory), {});
});

for (const type of socketTypes)
  test(
    `G6: a ${type} socket for another group → between bind and chown, no group may send to it if that is possible`,
    asRoot,
    (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const modes: number[] = [];
      const watching: Kernel = {
        ...kernel,
        bind(fd, name) {
          const bound = kernel.bind(fd, name);
          modes.push(fs.lstatSync(path).mode & 0o777);
          return bound;
        },
      };
      const target = run(watching, resolve({ kind: 'pathname', path }));
      assert.ok(!isRefusal(target) && 'place' in target);
      const terms = { type, mode: 0o660, gid: stranger.gid, backlog: 1, record: '' };
      const claimed = run(watching, acquire(target.place, terms));
      assert.ok(!isRefusal(claimed));
      const file = fs.lstatSync(path);
      assert.deepEqual([file.mode & 0o777, file.gid], [0o660, stranger.gid]);
      // Before listen(2), nothing can connect.
      assert.deepEqual(modes, [type === 'datagram' ? 0o600 : modes[0]]);
      run(kernel, release(target.place, claimed));
      assert.deepEqual(leftOpen(path), []);
    },
  );

for (const type of socketTypes)
  test(`a worker that holds a ${type} socket is terminated → the socket is closed before the lock`, needs('strace'), (t) => {
    const { socket, lock } = closingOrder(temporaryDirectory(t), type);
    assert.ok(socket >= 0 && lock >= 0, 'strace saw both closes');
    assert.ok(socket < lock);
  });

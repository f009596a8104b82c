import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { claim, inspect, listen, type Inspection } from 'reuseaddr';
import { lock } from '#dist/claim/lock.js';
import { inspectPlace } from '#dist/inspect/inspect.js';
import { Snapshot } from '#dist/inspect/snapshot.js';
import { run, type Kernel } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { inodeAt, leftOpen, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { placeAt } from '../support/place.js';

function placeOf(path: string) {
  const place = placeAt(path);
  return place;
}

/** Listens without reuseaddr. */
async function stray(t: TestContext, path: string): Promise<void> {
  const server = net.createServer();
  t.after(() => server.close());
  await new Promise<void>((listening) => server.listen(path, listening));
}

/** Leaves a socket file that no process is bound to. */
function stale(path: string): void {
  const fd = kernel.socket();
  assert.ok(typeof fd === 'number');
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.close(fd), 0);
}

/**
 * Prepares an address. Returns the expected answer of `inspect`, and perhaps a function that ends
 * it.
 */
type State = (t: TestContext, path: string) => Promise<{ readonly expected: Partial<Inspection>; readonly pid?: number }>;

const states: Readonly<Record<string, State>> = {
  'nothing is there': async () => ({ expected: { state: 'free' } }),
  'a lock file is left': async (_, path) => {
    fs.writeFileSync(`${path}.lock`, '');
    return { expected: { state: 'free' } };
  },
  'a holder listens': async (t, path) => {
    const server = net.createServer(() => assert.fail('it sees a connection'));
    const held = await listen(server, path, { mode: 0o640, backlog: 7 });
    t.after(() => held.release());
    return { expected: { state: 'listening', mode: 0o640, type: 'stream', waiting: 0, backlog: 7 }, pid: process.pid };
  },
  'a holder in another process listens': async (t, path) => {
    const holder = await Program.start(t);
    await holder.ask('listen', { address: path });
    return { expected: { state: 'listening', mode: 0o600 }, pid: holder.pid };
  },
  'a stopped holder listens': async (t, path) => {
    const holder = await Program.start(t);
    await holder.ask('listen', { address: path });
    holder.signal('SIGSTOP');
    return { expected: { state: 'listening' }, pid: holder.pid };
  },
  'a holder was killed': async (t, path) => {
    const holder = await Program.start(t);
    await holder.ask('listen', { address: path });
    await holder.kill();
    return { expected: { state: 'stale', mode: 0o600 } };
  },
  'a process has the lock, and no socket': async (t, path) => {
    const fd = run(kernel, lock(placeOf(path), false));
    assert.ok(typeof fd === 'number');
    t.after(() => kernel.close(fd));
    return { expected: { state: 'starting' }, pid: process.pid };
  },
  'a process has the lock, and the socket file is stale': async (t, path) => {
    const fd = run(kernel, lock(placeOf(path), false));
    assert.ok(typeof fd === 'number');
    t.after(() => kernel.close(fd));
    stale(path);
    return { expected: { state: 'starting' }, pid: process.pid };
  },
  'a socket file is stale': async (_, path) => {
    stale(path);
    return { expected: { state: 'stale' } };
  },
  'a stray listens': async (t, path) => {
    await stray(t, path);
    return { expected: { state: 'stray', type: 'stream' }, pid: process.pid };
  },
  'a process holds the lock of this address, for another one': async (t, path) => {
    const held = await claim(`${path}.other`, { lockPath: `${path}.lock` });
    t.after(() => held.release());
    return { expected: { state: 'starting' }, pid: process.pid };
  },
  'a regular file is there': async (_, path) => {
    fs.writeFileSync(path, 'text');
    return { expected: { state: 'blocked', reason: 'not-a-socket' } };
  },
  'a directory is there': async (_, path) => {
    fs.mkdirSync(path);
    return { expected: { state: 'blocked', reason: 'not-a-socket' } };
  },
  'a dangling symlink is there': async (_, path) => {
    fs.symlinkSync('nowhere', path);
    return { expected: { state: 'blocked', reason: 'not-a-socket' } };
  },
  'a symlink to a live socket is there': async (t, path) => {
    await stray(t, `${path}.live`);
    fs.symlinkSync(`${path}.live`, path);
    return { expected: { state: 'blocked', reason: 'not-a-socket' } };
  },
  'the lock file is a directory': async (_, path) => {
    fs.mkdirSync(`${path}.lock`);
    return { expected: { state: 'blocked', reason: 'lock-not-a-file' } };
  },
  'the lock file is another program’s text': async (_, path) => {
    fs.writeFileSync(`${path}.lock`, 'text');
    return { expected: { state: 'blocked', reason: 'lock-foreign-content' } };
  },
};

const ownLocks = (): string[] =>
  fs
    .readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${process.pid} `));

for (const [name, set] of Object.entries(states)) {
  test(`${name} → inspect says so, and changes nothing`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const { expected, pid } = await set(t, path);
    const [files, locks, open] = [snapshot(directory), ownLocks().map((line) => line.replace(/^\d+/, '')), leftOpen(directory)];
    for (let look = 0; look < 20; look++) {
      const found = await inspect(path);
      const fields = Object.fromEntries(Object.keys(expected).map((field) => [field, found[field as keyof Inspection]]));
      assert.deepEqual(fields, expected, JSON.stringify({ ...found, inode: String(found.inode) }));
      assert.deepEqual([found.address, found.lockPath, found.holder?.pid], [path, `${path}.lock`, pid]);
      if (found.mode !== undefined) assert.equal(found.inode, inodeAt(path));
    }
    assert.deepEqual(snapshot(directory), files);
    assert.deepEqual(
      ownLocks().map((line) => line.replace(/^\d+/, '')),
      locks,
    );
    assert.deepEqual(leftOpen(directory), open);
    await new Promise(setImmediate); // A connection would be seen now.
  });
}

test('inspect of every state → it makes only system calls that change nothing and lock nothing', onLinux, async (t) => {
  const harmless = new Set(['fstatat', 'openat', 'pread', 'close', 'probe', 'realpath']);
  const made = new Map<string, number>();
  const watched = new Proxy(kernel, {
    get: (real, call: keyof Kernel) => {
      made.set(call, (made.get(call) ?? 0) + 1);
      assert.ok(harmless.has(call), `inspect calls ${call}`);
      if (call !== 'openat') return real[call];
      return (directory: number, name: string, flags: Parameters<Kernel['openat']>[2], mode: number) => {
        assert.match(flags, /^(O_RDONLY|O_PATH)\|O_NOFOLLOW\|/);
        return real.openat(directory, name, flags, mode);
      };
    },
  });
  for (const set of Object.values(states)) {
    const path = `${temporaryDirectory(t)}/app.sock`;
    await set(t, path);
    run(watched, inspectPlace(placeOf(path), new Snapshot()));
  }
  t.diagnostic([...made].map(([call, count]) => `${call} ${count}`).join(', '));
});

test('abstract names → free, listening with the pid, and free again', onLinux, async (t) => {
  const { address } = abstractName();
  assert.equal((await inspect(address)).state, 'free');
  const holder = await Program.start(t);
  await holder.ask('listen', { address });
  const { state, holder: found, address: shown } = await inspect(address);
  assert.deepEqual([state, found?.pid, shown], ['listening', holder.pid, address]);
  await holder.kill();
  assert.equal((await inspect(address)).state, 'free');
});

test('a directory that others may write to → a warning, before the start as well; a sticky one → none', onLinux, async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  const { state, reason } = await inspect(`${directory}/app.sock`);
  assert.deepEqual([state, reason], ['free', 'shared-directory']);
  const held = await claim(`${directory}/app.sock`);
  t.after(() => held.release());
  assert.deepEqual(
    [(await inspect(held.address)).state, (await inspect(held.address)).reason],
    ['listening', 'shared-directory'],
  );
  fs.chmodSync(directory, 0o1777);
  assert.equal((await inspect(held.address)).reason, undefined);
});

test(
  'another user inspects a socket that it may not connect to → it is told that a holder listens, or that it is denied',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o755);
    const path = `${directory}/app.sock`;
    const other = await Program.start(t, stranger);
    const held = await claim(path);
    const { state, mode } = await other.ask<Inspection>('inspect', { address: path });
    assert.deepEqual([state, mode], ['listening', 0o600]);
    await held.release();
    await stray(t, path);
    fs.chmodSync(path, 0o600);
    const { state: strayState } = await other.ask<Inspection>('inspect', { address: path });
    assert.match(strayState, /^(blocked|stray)$/);
  },
);

test('two processes inspect without pause amid starts and crashes → no start fails', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const inspectors = await Promise.all([Program.start(t), Program.start(t)]);
  for (const inspector of inspectors) await inspector.ask('startInspecting', { address: path });
  const starts = 300;
  for (let start = 0; start < starts; start++) {
    if (start % 3 === 0) stale(path);
    const held = await claim(path);
    await held.release();
    if (start % 20 === 0) await Promise.all(inspectors.map((inspector) => inspector.ask('ping')));
  }
  const seen = await Promise.all(
    inspectors.map((inspector) => inspector.ask<{ states: object; count: number }>('stopInspecting')),
  );
  t.diagnostic(
    `${starts} starts; ${seen.map(({ count, states: by }) => `${count} inspections: ${JSON.stringify(by)}`).join('; ')}`,
  );
  for (const { count } of seen) assert.ok(count > 0);
});

/**
 * The work of `clean` at an address, one system call at a time: the lock file that it makes, and
 * the starts that come between.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { acquire } from '#dist/claim/acquire.js';
import { restsForCleanMs, restsMs } from '#dist/claim/lock.js';
import { pinDirectory } from '#dist/claim/place.js';
import { cleaningRecord, isCleaning } from '#dist/claim/record.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { removeStale } from '#dist/claim/removeStale.js';
import { ownRecord } from '#dist/holder/self.js';
import { placeAndGuards, type Guarded } from '#dist/inspect/guardedPlace.js';
import { perform, run, type Operation, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { leaveStale, reuseaddr, runProgram } from '../cli/support.js';
import { asUser, nobody } from '../peers/clients.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';

const terms = { mode: 0o600, backlog: 1, record: ownRecord() };

function staleAt(t: TestContext, directory: string, name = 'app.sock'): Guarded {
  leaveStale(`${directory}/${name}`);
  const pinned = run(kernel, pinDirectory(directory));
  assert.ok(!isRefusal(pinned));
  t.after(() => kernel.close(pinned.fd));
  const found = placeAndGuards(pinned, name);
  assert.ok(found);
  return found;
}

/** An operation on the real kernel, some of whose calls give what `instead` says. */
class Stepped<Outcome> {
  outcome: Outcome | undefined;
  readonly #operation: Operation<Outcome>;
  readonly #instead: (call: SystemCall) => unknown;
  #step: IteratorResult<SystemCall, Outcome>;

  constructor(operation: Operation<Outcome>, instead: (call: SystemCall) => unknown = () => undefined) {
    this.#operation = operation;
    this.#instead = instead;
    this.#step = operation.next();
  }

  /**
   * Continues until the next call is one that `wanted` knows, and returns that call; or to the end.
   */
  until(wanted: (call: SystemCall) => boolean): SystemCall | undefined {
    while (this.#step.done !== true) {
      const call = this.#step.value;
      if (wanted(call)) return call;
      this.next();
    }
    this.outcome = this.#step.value;
    return undefined;
  }

  /** Makes the next call. */
  next(): unknown {
    if (this.#step.done === true) return undefined;
    const result = this.#instead(this.#step.value) ?? perform(kernel, this.#step.value);
    this.#step = this.#operation.next(result);
    return result;
  }

  end(): Outcome {
    this.until(() => false);
    return this.outcome as Outcome;
  }
}

function clean({ place, guards }: Guarded, instead?: (call: SystemCall) => unknown) {
  return new Stepped(removeStale({ place, guards, record: cleaningRecord(ownRecord()) }), instead);
}

const named = (name: SystemCall['name']) => (call: SystemCall) => call.name === name;

/** As on a file system that has no files without a name. */
const withoutTmpfile = ({ name, args }: SystemCall): unknown =>
  name === 'openat' && args[2].includes('O_TMPFILE') ? 'EOPNOTSUPP' : undefined;

test('clean makes a lock file → it has its name only when it is locked, and records its process; none is left', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const found = staleAt(t, directory);
  const cleaning = clean(found);
  cleaning.until(named('linkat'));
  assert.deepEqual(fs.readdirSync(directory), ['app.sock']);
  assert.equal(cleaning.next(), 0);
  const path = `${directory}/app.sock.lock`;
  assert.equal(fs.statSync(path).mode & 0o7777, 0o1600);
  assert.ok(isCleaning(fs.readFileSync(path, 'utf8')));
  const fd = kernel.openat(found.place.directory.fd, 'app.sock.lock', 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0) as number;
  assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 'EAGAIN');
  kernel.close(fd);
  assert.deepEqual(cleaning.end(), { outcome: 'removed' });
  assert.deepEqual(fs.readdirSync(directory), []);
});

for (const [how, instead] of [
  ['', undefined],
  [', on a file system without O_TMPFILE', withoutTmpfile],
] as const)
  test(`a start while clean has the lock${how} → it rests until clean has let it go, and succeeds`, onLinux, (t) => {
    const found = staleAt(t, temporaryDirectory(t));
    const cleaning = clean(found, instead);
    // Stopped in the middle, as on a busy machine.
    cleaning.until(named('renameat2'));
    let rests = 0;
    const start = new Stepped(acquire(found.place, terms), ({ name }) => (name === 'sleep' ? 0 : undefined));
    while (start.until(named('sleep')) !== undefined && rests++ < restsMs.length + restsForCleanMs.length - 1) start.next();
    assert.deepEqual(cleaning.end(), { outcome: 'removed' });
    const claim = start.end();
    assert.ok(!isRefusal(claim), inspect(claim));
    run(kernel, release(found.place, claim));
  });

test('clean is stopped for good with the lock → a start is refused at last, and names it', onLinux, (t) => {
  const found = staleAt(t, temporaryDirectory(t));
  clean(found).until(named('renameat2'));
  let restedMs = 0;
  const start = new Stepped(acquire(found.place, terms), (call) => {
    if (call.name !== 'sleep') return undefined;
    restedMs += call.args[0];
    return 0;
  });
  const refusal = start.end();
  assert.ok(isRefusal(refusal) && refusal.refused === 'starting' && isCleaning(refusal.record));
  assert.ok(restedMs > 500 && restedMs < 1000, `${restedMs} ms`);
});

test('a start has opened the lock file of clean, which removes it → the start makes another, and holds that', onLinux, (t) => {
  const found = staleAt(t, temporaryDirectory(t));
  const cleaning = clean(found);
  cleaning.until(named('renameat2'));
  const start = new Stepped(acquire(found.place, terms));
  start.until(named('flock'));
  assert.deepEqual(cleaning.end(), { outcome: 'removed' });
  assert.equal(start.next(), 0, 'it locks the file that has no name any more');
  const claim = start.end();
  assert.ok(!isRefusal(claim));
  assert.equal((kernel.fstat(claim.lockFd) as { nlink: number }).nlink, 1);
  run(kernel, release(found.place, claim));
});

test('without O_TMPFILE, a start has locked the file that clean made → it is the start’s, and stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const found = staleAt(t, directory);
  const cleaning = clean(found, (call) => withoutTmpfile(call) ?? (call.name === 'sleep' ? 0 : undefined));
  cleaning.until(named('flock'));
  const start = run(kernel, acquire(found.place, terms));
  assert.ok(!isRefusal(start));
  const outcome = cleaning.end();
  assert.ok(isRefusal(outcome) && outcome.refused === 'held');
  assert.deepEqual(fs.readdirSync(directory), ['app.sock', 'app.sock.lock']);
  run(kernel, release(found.place, start));
});

test('another file has been put in the place of the lock file that clean made → it stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const cleaning = clean(staleAt(t, directory));
  cleaning.until(({ name, args }) => name === 'unlinkat' && args[1].includes('aside'));
  fs.renameSync(`${directory}/app.sock.lock`, `${directory}/moved`);
  fs.writeFileSync(`${directory}/app.sock.lock`, '');
  assert.deepEqual(cleaning.end(), { outcome: 'removed' });
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock', 'moved']);
});

test('a lock file that is there → it stays, and is empty as after a release', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const found = staleAt(t, directory);
  fs.writeFileSync(`${directory}/app.sock.lock`, ownRecord());
  const inode = fs.statSync(`${directory}/app.sock.lock`).ino;
  assert.deepEqual(clean(found).end(), { outcome: 'removed' });
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  assert.equal(fs.statSync(`${directory}/app.sock.lock`).ino, inode);
  assert.match(fs.readFileSync(`${directory}/app.sock.lock`, 'utf8'), /^\0*$/);
});

test('a handover socket, and a name that was set aside → the lock of the address is taken as well as its own', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['app.sock.handover', '.reuseaddr-aside.app.sock']) {
    const cleaning = clean(staleAt(t, directory, name));
    cleaning.until(named('renameat2'));
    assert.deepEqual(fs.readdirSync(directory).toSorted(), [name, `${name}.lock`, 'app.sock.lock'].toSorted());
    assert.deepEqual(cleaning.end(), { outcome: 'removed' });
    assert.deepEqual(fs.readdirSync(directory), []);
  }
});

for (const [where, mode, owner, heir] of [
  ['a sticky directory of root’s', 0o1777, { uid: 0, gid: 0 }, 'socket'],
  ['a directory to which its owner alone may write', 0o755, stranger, 'directory'],
] as const)
  for (const [how, instead] of [
    ['', undefined],
    [', without O_TMPFILE', withoutTmpfile],
  ] as const)
    test(
      `root cleans in ${where}, and is killed in the middle${how} → its lock file belongs to the user that starts there, and that user does`,
      asRoot,
      async (t) => {
        const directory = temporaryDirectory(t, mode);
        const found = staleAt(t, directory);
        fs.chownSync(directory, owner.uid, owner.gid);
        const socket = heir === 'socket' ? stranger : { uid: 0, gid: 0 };
        fs.chownSync(`${directory}/app.sock`, socket.uid, socket.gid);
        fs.chmodSync(`${directory}/app.sock`, 0o777);
        const umask = process.umask(0o777);
        const cleaning = clean(found, instead);
        cleaning.until(named('renameat2'));
        process.umask(umask);
        const { ino, uid, gid, mode: lockMode } = fs.statSync(`${directory}/app.sock.lock`);
        assert.deepEqual([uid, gid, lockMode & 0o7777], [stranger.uid, stranger.gid, 0o1600]);
        // The kernel closes what a killed process has; here it is the lock alone.
        const lock = fs.readdirSync('/proc/self/fd').find((fd) => inodeOf(fd) === ino);
        assert.equal(kernel.close(Number(lock)), 0);
        const started = await runProgram([
          ...asUser(stranger),
          process.execPath,
          reuseaddr,
          'run',
          `${directory}/app.sock`,
          '--',
          'true',
        ]);
        assert.deepEqual(started, { status: 0, stdout: '', stderr: '' });
      },
    );

function inodeOf(fd: string): number | undefined {
  return fs.statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false })?.ino;
}

test(
  'another user’s lock file, in a sticky directory, and that user’s dead socket → root cleans it under that lock',
  asRoot,
  (t) => {
    const directory = temporaryDirectory(t, 0o1777);
    const found = staleAt(t, directory);
    fs.writeFileSync(`${directory}/app.sock.lock`, '', { mode: 0o600 });
    for (const name of ['app.sock', 'app.sock.lock']) fs.chownSync(`${directory}/${name}`, stranger.uid, stranger.gid);
    assert.deepEqual(clean(found).end(), { outcome: 'removed' });
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  },
);

/** The flags with which files were opened. */
function noting(flags: string[], also: (call: SystemCall) => unknown = () => undefined): (call: SystemCall) => unknown {
  return (call) => {
    if (call.name === 'openat') flags.push(call.args[2]);
    return also(call);
  };
}

test('nothing is stale → no lock file is opened, or made for a moment', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const found = staleAt(t, directory);
  fs.unlinkSync(`${directory}/app.sock`);
  const flags: string[] = [];
  assert.deepEqual(clean(found, noting(flags)).end(), { outcome: 'gone' });
  const live = kernel.socket() as number;
  t.after(() => kernel.close(live));
  kernel.bind(live, `${directory}/app.sock`);
  assert.deepEqual(clean(found, noting(flags)).end(), { outcome: 'kept', why: 'live' });
  assert.deepEqual(flags, []);
});

test('a start makes its lock file just before clean does → clean takes that, and makes none', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const found = staleAt(t, directory);
  const flags: string[] = [];
  const cleaning = clean(found, noting(flags));
  cleaning.until(named('linkat'));
  fs.writeFileSync(`${directory}/app.sock.lock`, '');
  assert.deepEqual(cleaning.end(), { outcome: 'removed' });
  assert.ok(!flags.some((each) => each.includes('O_CREAT')));
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
});

test(
  'a user who may not give files away, without O_TMPFILE → no lock file keeps the owner of the socket out, for a moment either',
  asRoot,
  (t) => {
    const directory = temporaryDirectory(t, 0o1777);
    const found = staleAt(t, directory);
    const flags: string[] = [];
    fs.chownSync(`${directory}/app.sock`, nobody.uid, nobody.gid);
    const asStranger = ({ name }: SystemCall): unknown => (name === 'geteuid' ? stranger.uid : undefined);
    const outcome = clean(
      found,
      noting(flags, (call) => withoutTmpfile(call) ?? asStranger(call)),
    ).end();
    assert.ok(isRefusal(outcome) && outcome.syscall === 'chown');
    assert.ok(!flags.some((each) => each.includes('O_CREAT')));
  },
);

for (const errno of ['EPERM', 'EINVAL'] as const)
  test(
    `the lock file cannot be given to its owner (${errno}), as in a container → nothing is left, and nothing was done`,
    asRoot,
    (t) => {
      for (const other of [() => undefined, withoutTmpfile]) {
        const directory = temporaryDirectory(t, 0o1777);
        const found = staleAt(t, directory);
        fs.chownSync(`${directory}/app.sock`, stranger.uid, stranger.gid);
        const outcome = clean(found, (call) => (call.name === 'fchownat' ? errno : other(call))).end();
        assert.ok(isRefusal(outcome) && outcome.syscall === 'chown' && outcome.errno === errno);
        assert.deepEqual(fs.readdirSync(directory), ['app.sock']);
      }
    },
  );

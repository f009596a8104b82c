import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { acquire, acquireAbstract, type PathnameClaim } from '#dist/claim/acquire.js';
import type { Terms } from '#dist/claim/bindUnderLock.js';
import { close, resolve, type Place } from '#dist/claim/place.js';
import { isRefusal, type Refusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { inspectPlace } from '#dist/inspect/inspect.js';
import { Snapshot } from '#dist/inspect/snapshot.js';
import {
  AT_FDCWD,
  failed,
  perform,
  run,
  type Errno,
  type Kernel,
  type Conversation,
  type SystemCall,
} from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { inodeAt, openDescriptors, snapshot, temporaryDirectory } from '../support/directory.js';
import { onLinux, stranger } from '../support/privileges.js';
import { placeAt } from '../support/place.js';

/** The errnos with which each call may fail, by its man page. EWOULDBLOCK is EAGAIN. */
const documented: Readonly<Partial<Record<keyof Kernel, string>>> = {
  openat:
    'EACCES EBUSY EDQUOT EEXIST EINTR EINVAL EIO EISDIR ELOOP EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP EOVERFLOW EPERM EROFS ETXTBSY EAGAIN ESTALE',
  close: 'EBADF EINTR EIO ENOSPC EDQUOT',
  fstat: 'EBADF EIO ENOMEM EOVERFLOW ESTALE',
  fstatat: 'EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW ESTALE',
  realpath: 'EACCES EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR',
  flock: 'EAGAIN EBADF EINTR EINVAL EIO ENOLCK ENOSYS EOPNOTSUPP ESTALE',
  pread: 'EAGAIN EBADF EINTR EINVAL EIO EISDIR ENXIO EOVERFLOW ESTALE',
  pwrite: 'EAGAIN EBADF EDQUOT EFBIG EINTR EINVAL EIO ENOSPC EPERM ESTALE',
  mmap: 'EACCES EAGAIN EBADF EFAULT EFBIG EINVAL EIO EMFILE ENFILE ENODEV ENOMEM ENOSYS EOVERFLOW EPERM ESPIPE ETXTBSY',
  ftruncate: 'EACCES EBADF EFBIG EINTR EINVAL EIO EPERM EROFS ETXTBSY',
  unlinkat: 'EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS',
  linkat: 'EACCES EDQUOT EEXIST EIO ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS EXDEV',
  renameat2:
    'EACCES EBUSY EDQUOT EEXIST EINVAL EIO EISDIR ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOSYS ENOTDIR ENOTEMPTY EPERM EROFS EXDEV',
  socket: 'EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT',
  fchmod: 'EACCES EBADF EINVAL EIO ENOMEM ENOTDIR EOPNOTSUPP EPERM EROFS',
  fchmodat: 'EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOPNOTSUPP EPERM EROFS',
  fchownat: 'EACCES EDQUOT EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS',
  bind: 'EACCES EADDRINUSE EADDRNOTAVAIL EBADF EDQUOT EINTR EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR ENOTSOCK EPERM EROFS',
  listen: 'EACCES EADDRINUSE EBADF EINVAL ENOTSOCK EOPNOTSUPP',
  // Not ECONNREFUSED: that is the answer "dead", no failure.
  probe: 'EACCES EAGAIN EINTR EIO ELOOP EMFILE ENAMETOOLONG ENFILE ENOBUFS ENOENT ENOMEM ENOTDIR EPERM EPROTOTYPE',
  sock_diag: 'EACCES EAGAIN EBADF EINTR EIO EMFILE ENFILE ENOBUFS ENOENT ENOMEM ENOSYS ENOTSOCK EPERM EPROTONOSUPPORT',
};

const terms: Terms = { mode: 0o600, backlog: 5, record: '{"reuseaddr":1,"pid":1}\n' };

/**
 * The real kernel, whose `nth` call (from 0) fails with `errno`. A close(2) that fails has closed
 * all the same (close(2), "Dealing with error returns"), and no process has to wait.
 */
function failingAt(nth: number, errno: Errno, calls: SystemCall[]): Kernel {
  const answer = (call: SystemCall): unknown => {
    calls.push(call);
    if (call.name === 'sleep') return 0;
    if (calls.length - 1 !== nth) return perform(kernel, call);
    if (call.name === 'close') kernel.close(...call.args);
    return errno;
  };
  return new Proxy(kernel, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        answer({ name, args } as unknown as SystemCall),
  });
}

interface World {
  readonly place: Place;
  /** The files that must be there afterwards just as they were before. */
  readonly kept?: readonly string[];
  /** Ends what the scenario set up, so that a start must succeed then. */
  readonly end?: () => void;
  readonly claim?: PathnameClaim;
}

interface Scenario {
  readonly name: string;
  readonly set: (directory: string) => World;
  readonly operation: (world: World) => Conversation<unknown>;
  /** The result when nothing fails. */
  readonly outcome: 'claim' | Refusal['refused'] | 'other';
}

function value<T>(result: T | Errno): T {
  assert.ok(!failed(result), `failed with ${String(result)}`);
  return result;
}

function placeIn(directory: string, name = 'app.sock'): Place {
  return placeAt(`${directory}/${name}`);
}

function start(place: Place, with_: Terms = terms): PathnameClaim {
  const claim = run(kernel, acquire(place, with_));
  assert.ok(!isRefusal(claim), inspect(claim));
  return claim;
}

/**
 * A socket file with a socket behind it; the function that it gives ends the socket and leaves the
 * file.
 */
function bindSocket(path: string): () => void {
  const fd = value(kernel.socket());
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.listen(fd, 5), 0);
  return () => assert.equal(kernel.close(fd), 0);
}

function crashedAt(place: Place, path = place.path): void {
  fs.writeFileSync(place.lockPath, '', { mode: 0o600 });
  bindSocket(path)();
}

/** A group that this process may give a file to, and that new files don't have. */
const anotherGroup = process.geteuid?.() === 0 ? stranger.gid : process.getgroups?.().find((gid) => gid !== process.getegid?.());

const acquiring = ({ place }: World): Conversation<unknown> => acquire(place, terms);

const scenarios: readonly Scenario[] = [
  {
    name: 'resolve, with a lock file in another directory',
    set: (directory) => ({ place: placeIn(directory) }),
    *operation({ place }) {
      const target = yield* resolve({ kind: 'pathname', path: place.path, lockPath: `${place.directory.path}/../lock` });
      if (!isRefusal(target)) yield* close(target);
      return target;
    },
    outcome: 'other',
  },
  { name: 'first start', set: (directory) => ({ place: placeIn(directory) }), operation: acquiring, outcome: 'claim' },
  {
    name: 'start with a lock file that was left',
    set(directory) {
      const place = placeIn(directory);
      fs.writeFileSync(place.lockPath, terms.record, { mode: 0o600 });
      return { place };
    },
    operation: acquiring,
    outcome: 'claim',
  },
  {
    name: 'start with a lock file that its owner may not open',
    set(directory) {
      const place = placeIn(directory);
      fs.writeFileSync(place.lockPath, '', { mode: 0 });
      return { place };
    },
    operation: acquiring,
    outcome: 'claim',
  },
  {
    name: 'start over a stale socket',
    set(directory) {
      const place = placeIn(directory);
      crashedAt(place);
      return { place };
    },
    operation: acquiring,
    outcome: 'claim',
  },
  {
    name: 'start after a crash that left a dead socket aside',
    set(directory) {
      const place = placeIn(directory);
      crashedAt(place, place.asidePath);
      return { place };
    },
    operation: acquiring,
    outcome: 'claim',
  },
  {
    name: 'start after a crash that left a live socket aside: it gets its name back',
    set(directory) {
      const place = placeIn(directory);
      const end = bindSocket(place.asidePath);
      return { place, end, kept: [place.path, place.asidePath] };
    },
    operation: acquiring,
    outcome: 'stray',
  },
  {
    name: 'start with a live socket at the path and another aside',
    set(directory) {
      const place = placeIn(directory);
      const ends = [bindSocket(place.path), bindSocket(place.asidePath)];
      return { place, end: () => ends.forEach((end) => end()), kept: [place.path, place.asidePath] };
    },
    operation: acquiring,
    outcome: 'stray',
  },
  {
    name: 'start with a group, and a mode that the umask narrows',
    set: (directory) => ({ place: placeIn(directory) }),
    operation: ({ place }) => acquire(place, { ...terms, mode: 0o777, gid: anotherGroup }),
    outcome: 'claim',
  },
  {
    name: 'start with a path that is too long for sun_path',
    set(directory) {
      const deep = `${directory}/${'d'.repeat(100)}`;
      fs.mkdirSync(deep);
      const place = placeIn(deep);
      assert.equal(place.long, true);
      fs.writeFileSync(place.lockPath, '', { mode: 0o600 });
      const claim = start(place);
      kernel.close(claim.listenFd);
      kernel.close(claim.lockFd);
      return { place };
    },
    operation: acquiring,
    outcome: 'claim',
  },
  {
    name: 'a process holds it',
    set(directory) {
      const place = placeIn(directory);
      const claim = start(place);
      return { place, kept: [place.path, place.lockPath], end: () => run(kernel, release(place, claim)) };
    },
    operation: acquiring,
    outcome: 'held',
  },
  {
    name: 'a stray has the path',
    set(directory) {
      const place = placeIn(directory);
      return { place, kept: [place.path], end: bindSocket(place.path) };
    },
    operation: acquiring,
    outcome: 'stray',
  },
  {
    name: 'a regular file has the path',
    set(directory) {
      const place = placeIn(directory);
      fs.writeFileSync(place.path, 'text');
      return { place, kept: [place.path], end: () => fs.rmSync(place.path) };
    },
    operation: acquiring,
    outcome: 'not-a-socket',
  },
  {
    name: 'something else has the lock path',
    set(directory) {
      const place = placeIn(directory);
      fs.writeFileSync(place.lockPath, 'text');
      return { place, kept: [place.lockPath], end: () => fs.rmSync(place.lockPath) };
    },
    operation: acquiring,
    outcome: 'lock-foreign-content',
  },
  {
    name: 'release',
    set(directory) {
      const place = placeIn(directory);
      return { place, claim: start(place) };
    },
    operation: ({ place, claim }) => release(place, claim!),
    outcome: 'other',
  },
  {
    name: 'release after a program has replaced the socket file',
    set(directory) {
      const place = placeIn(directory);
      const claim = start(place);
      fs.rmSync(place.path);
      return { place, claim, kept: [place.path], end: bindSocket(place.path) };
    },
    operation: ({ place, claim }) => release(place, claim!),
    outcome: 'other',
  },
  {
    name: 'inspect a holder',
    set(directory) {
      const place = placeIn(directory);
      const claim = start(place);
      return { place, kept: [place.path, place.lockPath], end: () => run(kernel, release(place, claim)) };
    },
    operation: ({ place }) => inspectPlace(place, new Snapshot()),
    outcome: 'other',
  },
  {
    name: 'inspect a stale socket',
    set(directory) {
      const place = placeIn(directory);
      crashedAt(place);
      return { place, kept: [place.path, place.lockPath] };
    },
    operation: ({ place }) => inspectPlace(place, new Snapshot()),
    outcome: 'other',
  },
];

/**
 * Runs a scenario in a directory of its own with one fault, or with none; gives the calls that were
 * made.
 */
function runWithFault(scenario: Scenario, directory: string, nth: number, errno: Errno): readonly SystemCall[] {
  fs.mkdirSync(directory);
  const before = openDescriptors();
  const world = scenario.set(directory);
  const { place } = world;
  const files = world.kept?.map(inodeAt);
  const calls: SystemCall[] = [];
  const said = () => `${scenario.name}: call ${nth}, ${calls[nth]?.name} fails with ${errno}`;
  const open = openDescriptors();

  const outcome = run(failingAt(nth, errno, calls), scenario.operation(world));

  if (nth < 0) assertOutcome(scenario, outcome);
  if (scenario.name.startsWith('release')) {
    assert.equal(openDescriptors(), open - 2, `${said()}: the claim's own descriptors must be closed`);
  } else if (isRefusal(outcome)) {
    assert.equal(openDescriptors(), open, `${said()}: a descriptor was left open: ${inspect(outcome)}`);
    if (nth >= 0 && outcome.refused === 'system') assert.ok(outcome.errno === errno, `${said()}: ${inspect(outcome)}`);
  } else if (typeof outcome === 'object' && outcome !== null && 'lockFd' in outcome) {
    assert.equal(openDescriptors(), open + 2, said());
    assert.equal(failed(kernel.fstatat(AT_FDCWD, place.path)), false, `${said()}: a claim without a socket file`);
    run(kernel, release(place, outcome as PathnameClaim));
  } else {
    assert.equal(openDescriptors(), open, `${said()}: a descriptor was left open`);
  }
  if (calls[nth]?.name === 'flock' && errno !== 'EAGAIN') {
    assert.ok(isRefusal(outcome) && outcome.refused === 'system', `${said()}: only EAGAIN means that it is held`);
  }
  // A file that was set aside and could not be put back may have the other of its two names, but it
  // is there.
  const survivors = new Set([...(world.kept ?? []), place.path, place.asidePath].map(inodeAt));
  for (const inode of files ?? []) assert.ok(inode === undefined || survivors.has(inode), `${said()}: a file was removed`);

  world.end?.();
  run(kernel, release(place, start(place)));
  assert.deepEqual(
    [inodeAt(place.path), inodeAt(place.asidePath)],
    [undefined, undefined],
    `${said()}: a start did not clean up`,
  );
  run(kernel, close({ place }));
  assert.equal(openDescriptors(), before, said());
  fs.rmSync(directory, { recursive: true });
  return calls;
}

function assertOutcome({ name, outcome: expected }: Scenario, outcome: unknown): void {
  const got = isRefusal(outcome)
    ? outcome.refused
    : typeof outcome === 'object' && outcome !== null && 'lockFd' in outcome
      ? 'claim'
      : 'other';
  assert.equal(got, expected, `${name}: ${inspect(outcome)}`);
}

const injectedByCall = new Map<string, number>();

for (const scenario of scenarios) {
  test(
    `every call fails once with each documented errno: ${scenario.name} → no descriptor left, nothing lost, the next start succeeds`,
    onLinux,
    (t) => {
      const umask = process.umask(0o077);
      t.after(() => process.umask(umask));
      const directory = temporaryDirectory(t);
      const calls = runWithFault(scenario, `${directory}/none`, -1, 'EIO');
      let injected = 0;
      for (const [nth, { name }] of calls.entries()) {
        for (const errno of documented[name]?.split(' ') ?? []) {
          runWithFault(scenario, `${directory}/${injected++}`, nth, errno as Errno);
          injectedByCall.set(name, (injectedByCall.get(name) ?? 0) + 1);
        }
      }
      t.diagnostic(`${injected} faults in ${calls.length} calls: ${calls.map(({ name }) => name).join(' ')}`);
    },
  );
}

test(
  'every call fails once with each documented errno: an abstract name → no descriptor left, the next start succeeds',
  onLinux,
  (t) => {
    const name = `reuseaddr-faults-${process.pid}`;
    const calls: SystemCall[] = [];
    const attempt = (nth: number, errno: Errno) => run(failingAt(nth, errno, calls), acquireAbstract(name, terms));
    const before = openDescriptors();
    const claim = attempt(-1, 'EIO');
    assert.ok(!isRefusal(claim));
    kernel.close(claim.listenFd);
    let injected = 0;
    for (const [nth, call] of [...calls].entries()) {
      for (const errno of documented[call.name]?.split(' ') ?? []) {
        calls.length = 0;
        const outcome = attempt(nth, errno as Errno);
        assert.ok(isRefusal(outcome) && outcome.errno === errno, `${call.name} ${errno}: ${inspect(outcome)}`);
        assert.equal(openDescriptors(), before);
        injected++;
      }
    }
    t.diagnostic(`${injected} faults`);
  },
);

test('the faults above → each call of the protocol that can fail was failed', onLinux, (t) => {
  const counts = [...injectedByCall].sort(([, a], [, b]) => b - a);
  t.diagnostic(
    `${counts.reduce((sum, [, count]) => sum + count, 0)} faults in all: ${counts.map((count) => count.join(' ')).join(', ')}`,
  );
  const missed = Object.keys(documented).filter((name) => !injectedByCall.has(name));
  // linkat(2) is for systems without renameat2(2): see the test below; realpath(3) for those
  // without /proc.
  assert.deepEqual(missed, anotherGroup === undefined ? ['realpath', 'linkat', 'fchownat'] : ['realpath', 'linkat']);
});

test('renameat2 is not there (EINVAL, ENOSYS) → a stale socket is replaced and a stray kept, without it', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  for (const errno of ['EINVAL', 'ENOSYS'] as const) {
    const without = new Proxy(kernel, {
      get: (real, name: keyof Kernel) =>
        name === 'renameat2'
          ? (where: number, from: string, to: string, flags: string) =>
              flags === '' ? real.renameat2(where, from, to, '') : errno
          : real[name],
    });
    const place = placeIn(directory, errno);
    crashedAt(place);
    const claim = run(without, acquire(place, terms));
    assert.ok(!isRefusal(claim));
    run(without, release(place, claim));
    assert.deepEqual(
      fs.readdirSync(directory).filter((name) => !name.endsWith('.lock')),
      [],
    );
    const end = bindSocket(place.asidePath);
    const inode = inodeAt(place.asidePath);
    const refused = run(without, acquire(place, terms));
    assert.ok(isRefusal(refused) && refused.refused === 'stray');
    assert.equal(inodeAt(place.path), inode, 'what was aside has its name back');
    end();
    fs.rmSync(place.path);
  }
});

test('a claim is made twice in one process → the second is refused, nothing is touched, the first continues', async (t: TestContext) => {
  const directory = temporaryDirectory(t);
  const place = placeIn(directory);
  const claim = start(place);
  const before = snapshot(directory);
  const second = run(kernel, acquire(place, terms));
  assert.ok(isRefusal(second) && second.refused === 'held');
  assert.deepEqual(snapshot(directory), before);
  await new Promise<void>((connected, reject) => net.connect(place.path, connected).on('error', reject).unref());
  run(kernel, release(place, claim));
});

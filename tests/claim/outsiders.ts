import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { hasConnections, type SocketType } from '#dist/address/socketType.js';
import { inspect } from 'node:util';
import { acquire, type PathnameClaim } from '#dist/claim/acquire.js';
import type { Terms } from '#dist/claim/bindUnderLock.js';
import { close, type Place } from '#dist/claim/place.js';
import { lock } from '#dist/claim/lock.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { failed, perform, run, type Kernel, type Conversation, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { placeAt } from '../support/place.js';

/**
 * The schedules of one outsider, all of them and on the real kernel: before each system call of a
 * start or a release, a program who knows nothing of the lock does something to the files. Whatever
 * is his stays as it is.
 */

export const terms = { mode: 0o640, backlog: 5, record: '{"reuseaddr":1,"pid":1}\n' };

/** The outsider's file, which must survive; `end` ends it, so that a start must succeed then. */
interface Deed {
  readonly inode?: bigint;
  readonly mode?: bigint;
  readonly end?: () => void;
  /** Whether he has the claim now, by the rules: then the start must be refused. */
  readonly holds?: true;
}

interface Outsider {
  readonly name: string;
  readonly act: (place: Place) => Deed;
  /** The file that it leaves at the path is a socket. */
  readonly leavesSocket?: true;
  /** It removes the file at the path, of any program. */
  readonly replaces?: true;
}

function removeFile(path: string): void {
  fs.rmSync(path, { force: true, recursive: true });
}

export function bindSocket(path: string, type?: SocketType): () => void {
  const fd = kernel.socket(type);
  assert.ok(!failed(fd));
  assert.equal(kernel.bind(fd, path), 0);
  if (hasConnections(type)) assert.equal(kernel.listen(fd, 5), 0);
  return () => assert.equal(kernel.close(fd), 0);
}

/** Leaves what is at a path now to the outsider. */
function his(path: string, end: () => void = () => undefined): Deed {
  const { ino, mode } = fs.lstatSync(path, { bigint: true });
  return { inode: ino, mode, end };
}

/** The action of the outsider; its sockets are of this type. */
const outsidersOf = (type: SocketType): readonly Outsider[] => [
  {
    name: 'unlinks the lock file',
    act({ lockPath }) {
      removeFile(lockPath);
      return {};
    },
  },
  {
    name: 'unlinks the lock file, and another start goes as far as the lock',
    act(place) {
      removeFile(place.lockPath);
      const fd = run(kernel, lock(place, false));
      // With a live socket there, it makes no lock file.
      if (isRefusal(fd)) return (assert.equal(fd.refused, 'stray'), {});
      return { end: () => kernel.close(fd), holds: true };
    },
  },
  {
    name: 'unlinks the socket file',
    replaces: true,
    act({ path }) {
      removeFile(path);
      return {};
    },
  },
  {
    name: 'unlinks the socket file and binds the path',
    leavesSocket: true,
    replaces: true,
    act({ path }) {
      removeFile(path);
      return his(path, bindSocket(path, type));
    },
  },
  {
    name: 'binds the path if it is free',
    leavesSocket: true,
    act({ path }) {
      if (fs.existsSync(path)) return {};
      return his(path, bindSocket(path, type));
    },
  },
  {
    name: 'renames his live socket over the path',
    leavesSocket: true,
    replaces: true,
    act({ path }) {
      const end = bindSocket(`${path}.his`, type);
      fs.chmodSync(`${path}.his`, 0o604);
      fs.renameSync(`${path}.his`, path);
      return his(path, end);
    },
  },
  {
    name: 'renames a regular file over the path',
    replaces: true,
    act({ path }) {
      fs.writeFileSync(`${path}.his`, 'text', { mode: 0o604 });
      fs.renameSync(`${path}.his`, path);
      return his(path, () => fs.rmSync(path));
    },
  },
  {
    name: 'replaces the socket file by a symlink to a file of his',
    replaces: true,
    act({ path }) {
      fs.writeFileSync(`${path}.his`, 'text', { mode: 0o604 });
      fs.symlinkSync(`${path}.his`, `${path}.link`);
      fs.renameSync(`${path}.link`, path);
      return his(path, () => {
        assert.equal(fs.lstatSync(`${path}.his`).mode & 0o7777, 0o604, 'the file that his symlink leads to was changed');
        fs.rmSync(path);
      });
    },
  },
];

/** The state before: the claim that is released, or a file of another program. */
interface Before {
  readonly claim?: PathnameClaim;
  readonly other?: Deed;
}

interface Scenario {
  readonly name: string;
  readonly set: (place: Place) => Before;
  readonly operation: (place: Place, before: Before) => Conversation<unknown>;
  /**
   * The kernel doesn't tell which inode a socket is bound to. Then only the type tells a file of
   * another program from our socket.
   */
  readonly withoutSockDiag?: true;
}

const scenariosOf = (typed: Terms, other: SocketType): readonly Scenario[] => [
  { name: 'a first start', set: () => ({}), operation: (place) => acquire(place, typed) },
  {
    name: 'a start over a stale socket, with a mode that the umask narrows',
    set({ path, lockPath }) {
      fs.writeFileSync(lockPath, '', { mode: 0o600 });
      bindSocket(path, other)();
      return {};
    },
    operation: (place) => acquire(place, { ...typed, mode: 0o666 }),
  },
  {
    name: 'a release',
    set(place) {
      const claim = run(kernel, acquire(place, typed));
      assert.ok(!isRefusal(claim));
      return { claim };
    },
    operation: (place, { claim }) => release(place, claim!),
  },
  {
    name: 'a first start without sock_diag(7)',
    set: () => ({}),
    operation: (place) => acquire(place, typed),
    withoutSockDiag: true,
  },
  {
    name: 'a start after a crash that left a live socket aside',
    set: ({ asidePath }) => ({ other: his(asidePath, bindSocket(asidePath, other)) }),
    operation: (place) => acquire(place, typed),
  },
];

/** The real kernel, with something that happens just before its `nth` call. */
function interrupted(nth: number, act: () => void, calls: string[], withoutSockDiag: boolean): Kernel {
  const answer = (call: SystemCall): unknown => {
    if (calls.push(call.name) - 1 === nth) act();
    if (call.name === 'sleep') return 0;
    return withoutSockDiag && call.name === 'sock_diag' ? 'ENOSYS' : perform(kernel, call);
  };
  return new Proxy(kernel, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        answer({ name, args } as unknown as SystemCall),
  });
}

/** Runs one schedule. Gives the calls that were made. */
function runSchedule(scenario: Scenario, outsider: Outsider, typed: Terms, directory: string, nth: number): readonly string[] {
  fs.mkdirSync(directory);
  const open = openDescriptors();
  const place = placeAt(`${directory}/app.sock`);
  const before = scenario.set(place);
  const calls: string[] = [];
  let deed: Deed = {};
  const outcome = run(
    interrupted(nth, () => (deed = outsider.act(place)), calls, scenario.withoutSockDiag === true),
    scenario.operation(place, before),
  );
  const schedule = `${scenario.name}; before call ${nth}, ${calls[nth]}, a program ${outsider.name}; ${inspect(outcome)}`;

  const foreign: readonly Deed[] = [deed, before.other ?? {}];
  for (const { inode, mode } of foreign) {
    // A file of another program that the outsider itself replaced does not concern us.
    if (inode === undefined || (inode === before.other?.inode && outsider.replaces === true)) continue;
    const files: readonly (fs.BigIntStats | undefined)[] = [place.path, place.asidePath].map((path) =>
      fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
    );
    const survivor = files.find((file) => file?.ino === inode);
    assert.ok(survivor !== undefined, `his file is gone: ${schedule}`);
    assert.equal(survivor.mode, mode, `his file was changed: ${schedule}`);
  }
  const won = typeof outcome === 'object' && outcome !== null && 'lockFd' in outcome;
  // From the comparison of the inodes on, nothing helps against it: docs/guarantees.md.
  const compared = calls.indexOf('lstat', calls.indexOf('flock'));
  if (deed.holds && nth <= compared) assert.ok(!won, `two have the claim: ${schedule}`);
  if (won && nth <= compared && deed.inode === undefined && outsider.replaces === undefined) {
    const second = run(kernel, acquire(place, typed));
    assert.ok(isRefusal(second) && second.refused === 'held', `the lock is not at its path, ${inspect(second)}: ${schedule}`);
  }
  if (won) run(kernel, release(place, outcome as PathnameClaim));
  deed.end?.();
  before.other?.end?.();
  const next = run(kernel, acquire(place, typed));
  assert.ok(!isRefusal(next), `the next start is refused, ${inspect(next)}: ${schedule}`);
  run(kernel, release(place, next));
  run(kernel, close({ place }));
  assert.equal(openDescriptors(), open, `a descriptor was left open: ${schedule}`);
  fs.rmSync(directory, { recursive: true });
  return calls;
}

/**
 * Makes a test of each scenario with each outsider: the claim is of one type, and the outsider's
 * sockets of another or the same.
 */
export function outsiderTests(type: SocketType, other: SocketType): void {
  const typed = { ...terms, type };
  const kinds = type === 'stream' && other === 'stream' ? '' : ` (${type}, and a ${other} of the outsider)`;
  for (const scenario of scenariosOf(typed, other)) {
    for (const outsider of outsidersOf(other).filter(({ leavesSocket }) => !(scenario.withoutSockDiag && leavesSocket))) {
      test(
        `G1, G4, G5: ${scenario.name}${kinds}, and before each of its calls an outsider ${outsider.name} → its files stay`,
        onLinux,
        (t) => {
          const umask = process.umask(0o022);
          t.after(() => process.umask(umask));
          const directory = temporaryDirectory(t);
          let schedules = 0;
          for (let nth = 0; ; nth++) {
            const calls = runSchedule(scenario, outsider, typed, `${directory}/${nth}`, nth);
            if (nth >= calls.length) break;
            schedules++;
          }
          t.diagnostic(`${schedules} schedules`);
        },
      );
    }
  }
}

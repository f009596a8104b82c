import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { acquire, type PathnameClaim } from '#dist/claim/acquire.js';
import { locate, type Place } from '#dist/claim/locate.js';
import { lock } from '#dist/claim/lock.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { failed, perform, run, type Kernel, type Operation, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

/**
 * The schedules of one outsider, all of them and on the real kernel: before each system call of a start or a release, somebody
 * who knows nothing of the lock does something to the files. Whatever is his stays as it is.
 */

const terms = { mode: 0o640, backlog: 5, record: '{"reuseaddr":1,"pid":1}\n' };

/** What is the outsider's, and must survive; `end` ends it, so that a start must succeed then. */
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
}

function removeFile(path: string): void {
  fs.rmSync(path, { force: true, recursive: true });
}

function bindSocket(path: string): () => void {
  const fd = kernel.socket();
  assert.ok(!failed(fd));
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.listen(fd, 5), 0);
  return () => assert.equal(kernel.close(fd), 0);
}

/** Leaves what is at a path now to the outsider. */
function his(path: string, end: () => void = () => undefined): Deed {
  const { ino, mode } = fs.lstatSync(path, { bigint: true });
  return { inode: ino, mode, end };
}

const outsiders: readonly Outsider[] = [
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
      assert.ok(typeof fd === 'number');
      return { end: () => kernel.close(fd), holds: true };
    },
  },
  {
    name: 'unlinks the socket file',
    act({ path }) {
      removeFile(path);
      return {};
    },
  },
  {
    name: 'unlinks the socket file and binds the path',
    act({ path }) {
      removeFile(path);
      return his(path, bindSocket(path));
    },
  },
  {
    name: 'binds the path if it is free',
    act({ path }) {
      if (fs.existsSync(path)) return {};
      return his(path, bindSocket(path));
    },
  },
  {
    name: 'renames his live socket over the path',
    act({ path }) {
      const end = bindSocket(`${path}.his`);
      fs.chmodSync(`${path}.his`, 0o604);
      fs.renameSync(`${path}.his`, path);
      return his(path, end);
    },
  },
  {
    name: 'renames a regular file over the path',
    act({ path }) {
      fs.writeFileSync(`${path}.his`, 'text', { mode: 0o604 });
      fs.renameSync(`${path}.his`, path);
      return his(path, () => fs.rmSync(path));
    },
  },
  {
    name: 'replaces the socket file by a symlink to a file of his',
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

interface Scenario {
  readonly name: string;
  readonly set: (place: Place) => PathnameClaim | undefined;
  readonly operation: (place: Place, claim: PathnameClaim | undefined) => Operation<unknown>;
}

const scenarios: readonly Scenario[] = [
  { name: 'a first start', set: () => undefined, operation: (place) => acquire(place, terms) },
  {
    name: 'a start over a stale socket, with a mode that the umask narrows',
    set({ path, lockPath }) {
      fs.writeFileSync(lockPath, '', { mode: 0o600 });
      bindSocket(path)();
      return undefined;
    },
    operation: (place) => acquire(place, { ...terms, mode: 0o666 }),
  },
  {
    name: 'a release',
    set(place) {
      const claim = run(kernel, acquire(place, terms));
      assert.ok(!isRefusal(claim));
      return claim;
    },
    operation: (place, claim) => release(place, claim!),
  },
];

/** The real kernel, with something that happens just before its `nth` call. */
function interrupted(nth: number, act: () => void, calls: string[]): Kernel {
  const answer = (call: SystemCall): unknown => {
    if (calls.push(call.name) - 1 === nth) act();
    return call.name === 'nanosleep' ? 0 : perform(kernel, call);
  };
  return new Proxy(kernel, { get: (_, name) => (...args: unknown[]) => answer({ name, args } as unknown as SystemCall) });
}

/** Runs one schedule. Gives the calls that were made. */
function runSchedule(scenario: Scenario, outsider: Outsider, directory: string, nth: number): readonly string[] {
  fs.mkdirSync(directory);
  const before = openDescriptors();
  const place = run(kernel, locate({ kind: 'pathname', path: `${directory}/app.sock` }, process.platform));
  assert.ok(!isRefusal(place));
  const claim = scenario.set(place);
  const calls: string[] = [];
  let deed: Deed = {};
  const outcome = run(
    interrupted(nth, () => (deed = outsider.act(place)), calls),
    scenario.operation(place, claim),
  );
  const schedule = `${scenario.name}; before call ${nth}, ${calls[nth]}, somebody ${outsider.name}; ${inspect(outcome)}`;

  if (deed.inode !== undefined) {
    const files = [place.path, place.asidePath].map((path) => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }));
    const survivor = files.find((file) => file?.ino === deed.inode);
    assert.ok(survivor !== undefined, `his file is gone: ${schedule}`);
    assert.equal(survivor.mode, deed.mode, `his file was changed: ${schedule}`);
  }
  const won = typeof outcome === 'object' && outcome !== null && 'lockFd' in outcome;
  // From the comparison of the inodes on, nothing helps against it: docs/guarantees.md.
  const compared = calls.indexOf('lstat', calls.indexOf('flock'));
  if (deed.holds && nth <= compared) assert.ok(!won, `two have the claim: ${schedule}`);
  if (won) run(kernel, release(place, outcome as PathnameClaim));
  deed.end?.();
  const next = run(kernel, acquire(place, terms));
  assert.ok(!isRefusal(next), `the next start is refused, ${inspect(next)}: ${schedule}`);
  run(kernel, release(place, next));
  assert.equal(openDescriptors(), before, `a descriptor was left open: ${schedule}`);
  fs.rmSync(directory, { recursive: true });
  return calls;
}

for (const scenario of scenarios) {
  for (const outsider of outsiders) {
    test(`G1, G4, G5: ${scenario.name}, and before each of its calls somebody ${outsider.name} → what is his stays`, onLinux, (t) => {
      const umask = process.umask(0o022);
      t.after(() => process.umask(umask));
      const directory = temporaryDirectory(t);
      let schedules = 0;
      for (let nth = 0; ; nth++) {
        const calls = runSchedule(scenario, outsider, `${directory}/${nth}`, nth);
        if (nth >= calls.length) break;
        schedules++;
      }
      t.diagnostic(`${schedules} schedules`);
    });
  }
}

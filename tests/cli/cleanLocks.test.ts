/** `clean --locks`: lock files that no process needs, and no other file. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim } from 'reuseaddr';
import { cleanLock, looksUnused } from '#dist/cli/stale.js';
import { pinDirectory, placeIn, type Place } from '#dist/claim/place.js';
import { isCleaning } from '#dist/claim/record.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { run as perform } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { inodeAt, openDescriptors, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, secondStranger, stranger } from '../support/privileges.js';
import { leaveStale, run } from './support.js';

function placeOf(t: TestContext, directory: string, name: string): Place {
  const opened = perform(kernel, pinDirectory(directory));
  assert.ok(!isRefusal(opened));
  t.after(() => kernel.close(opened.fd));
  const place = placeIn({ directory: opened, name });
  assert.ok(!isRefusal(place));
  return place;
}

/** A lock file as a claim leaves it after its release, or with the record of a crash. */
function leaveLock(path: string, content = ''): string {
  fs.writeFileSync(path, content);
  fs.chmodSync(path, 0o1600);
  return path;
}

const record = '{"reuseaddr":1,"sinceMs":1,"pid":1,"uid":0,"command":"old"}\n';

test('unused, used and foreign lock files → only the unused ones of this package go', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  await (await claim(`${directory}/released.sock`)).release();
  leaveLock(`${directory}/crashed.sock.lock`, record);
  leaveLock(`${directory}/torn.sock.lock`, record.slice(0, 9));
  leaveStale(`${directory}/stale.sock`);
  leaveLock(`${directory}/stale.sock.lock`);
  fs.mkdirSync(`${directory}/below`);
  leaveLock(`${directory}/below/app.sock.lock`);

  const lost = await claim(`${directory}/lost.sock`);
  t.after(() => lost.release());
  fs.unlinkSync(lost.address); // A process has the lock, and its socket file is gone.
  fs.writeFileSync(`${directory}/yarn.lock`, '');
  leaveLock(`${directory}/other.lock`, '412\n');
  leaveLock(`${directory}/data.lock`);
  fs.writeFileSync(`${directory}/data`, '');
  for (const name of [
    'a.sock.handover',
    '.reuseaddr-aside.b.sock',
    '.reuseaddr-aside.c.sock.handover',
    '.reuseaddr-recalled.d.sock',
  ])
    fs.writeFileSync(`${directory}/${name}`, '');
  for (const letter of 'abcd') leaveLock(`${directory}/${letter}.sock.lock`);
  fs.linkSync(leaveLock(`${directory}/linked.lock`), `${directory}/elsewhere`);
  fs.symlinkSync('crashed.sock.lock', `${directory}/symlink.lock`);
  leaveLock(`${directory}/.lock`);
  leaveLock(`${directory}/${'x'.repeat(200)}.lock`);
  leaveLock(`${directory}/crashed.sock.lock.old`, record);

  const before = snapshot(directory);
  assert.deepEqual(await run(['clean', `${directory}/below`]), { status: 0, stdout: '', stderr: '' });
  const dry = await run(['clean', '--locks', '-n', directory]);
  assert.deepEqual(snapshot(directory), before);
  const removed = [
    'below/app.sock.lock',
    'crashed.sock.lock',
    'released.sock.lock',
    'stale.sock',
    'stale.sock.lock',
    'torn.sock.lock',
  ];
  const lines = (stdout: string): string[] => stdout.trimEnd().split('\n').toSorted();
  assert.deepEqual(
    lines(dry.stdout),
    removed.map((name) => `would remove ${directory}/${name}`),
  );
  const cleaned = await run(['clean', '--locks', directory]);
  assert.deepEqual([cleaned.status, cleaned.stderr], [0, '']);
  assert.deepEqual(
    lines(cleaned.stdout),
    removed.map((name) => `removed ${directory}/${name}`),
  );
  const { below: _before, ...rest } = before;
  for (const name of removed) delete (rest as Record<string, unknown>)[name];
  const { below: _below, ...after } = snapshot(directory);
  assert.deepEqual(after, rest);
  assert.deepEqual(fs.readdirSync(`${directory}/below`), []);
});

test('a lock file that was named itself → removed, or why it stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  const lost = await claim(`${directory}/lost.sock`);
  t.after(() => lost.release());
  fs.unlinkSync(lost.address);
  fs.writeFileSync(`${directory}/yarn.lock`, '');
  const cases = {
    'held.sock.lock': 'Kept PATH: its socket is there.',
    'lost.sock.lock': 'Kept PATH: a process has locked it.',
    'yarn.lock': 'Kept PATH: no claim of this package made it.',
  };
  for (const [name, said] of Object.entries(cases)) {
    const path = `${directory}/${name}`;
    const expected = { status: 3, stdout: '', stderr: `reuseaddr: ${said.replace('PATH', path)}\n` };
    for (const dry of [['-n'], []]) assert.deepEqual(await run(['clean', '--locks', ...dry, path]), expected);
    assert.equal((await run(['clean', path])).stderr, `reuseaddr: ${path}: it is not a socket\n`);
  }
  const stray = kernel.socket() as number;
  t.after(() => kernel.close(stray));
  assert.equal(kernel.bind(stray, `${directory}/stray.sock`), 0);
  const both = [`${directory}/stray.sock`, leaveLock(`${directory}/stray.sock.lock`)] as const;
  for (const dry of [['-n'], []])
    assert.equal(
      (await run(['clean', '--locks', ...dry, ...both])).stderr,
      `reuseaddr: Kept ${both[0]}: a process has it (see reuseaddr inspect).\nreuseaddr: Kept ${both[1]}: its socket is there.\n`,
    );
  const unused = leaveLock(`${directory}/app.sock.lock`);
  const json = JSON.parse((await run(['clean', '--locks', '--json', unused])).stdout) as unknown;
  assert.deepEqual(json, [{ address: `${directory}/app.sock`, lockPath: unused, outcome: 'removed' }]);
  assert.equal(fs.existsSync(unused), false);
});

/** Calls `act` once, immediately before the nth call of a method of the kernel. */
function justBefore(t: TestContext, method: 'flock' | 'openat' | 'fstatat' | 'unlinkat', nth: number, act: () => void): void {
  const call = kernel[method] as (...args: unknown[]) => unknown;
  let calls = 0;
  t.mock.method(kernel, method, (...args: unknown[]) => {
    if (calls++ === nth) act();
    return call(...args);
  });
}

test('a lock file is removed → until then it records that clean has it, so that a start waits longer', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const path = leaveLock(`${directory}/app.sock.lock`);
  let content = '';
  justBefore(t, 'unlinkat', 0, () => {
    content = fs.readFileSync(path, 'utf8');
  });
  assert.deepEqual(cleanLock(placeOf(t, directory, 'app.sock')), { outcome: 'removed' });
  assert.ok(isCleaning(content));
});

test('another kind of file takes the name after the directory was read → it stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/app.sock.lock`);
  fs.chmodSync(`${directory}/app.sock.lock`, 0o1600);
  assert.deepEqual(cleanLock(placeOf(t, directory, 'app.sock')), { outcome: 'kept', reason: 'not-a-lock-file' });
});

test('a process locks the file after the first look → it stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const path = leaveLock(`${directory}/app.sock.lock`);
  const place = placeOf(t, directory, 'app.sock');
  justBefore(t, 'openat', 1, () => {
    const fd = kernel.openat(place.directory.fd, 'app.sock.lock', 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    assert.ok(typeof fd === 'number');
    assert.equal(kernel.flock(fd, 'LOCK_EX|LOCK_NB'), 0);
    t.after(() => kernel.close(fd));
  });
  assert.deepEqual(cleanLock(place), { outcome: 'kept', reason: 'locked' });
  assert.ok(fs.existsSync(path));
});

test('a file is bound after the first look → the lock file stays, and is as it was', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const path = leaveLock(`${directory}/app.sock.lock`);
  justBefore(t, 'flock', 0, () => leaveStale(`${directory}/app.sock`));
  const open = openDescriptors();
  const place = placeOf(t, directory, 'app.sock');
  assert.deepEqual(cleanLock(place), { outcome: 'kept', reason: 'guards-a-file' });
  assert.equal(openDescriptors(), open + 1, 'only the directory is open');
  assert.match(fs.readFileSync(path, 'latin1'), /^\0*$/);
});

test('another file takes the name after it was locked → that one stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const path = leaveLock(`${directory}/app.sock.lock`, record);
  const place = placeOf(t, directory, 'app.sock');
  let successor: bigint | undefined;
  // The first two looks at the lock file's name are before the lock and after it.
  const { fstatat } = kernel;
  let looks = 0;
  t.mock.method(kernel, 'fstatat', (from: number, name: string) => {
    if (name === 'app.sock.lock' && looks++ === 3) {
      fs.renameSync(path, `${directory}/moved`);
      successor = inodeAt(leaveLock(path, record));
    }
    return fstatat(from, name);
  });
  assert.deepEqual(cleanLock(place), { outcome: 'gone' });
  assert.equal(inodeAt(path), successor);
});

test('another process removes the file, at any moment → it is gone', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const place = placeOf(t, directory, 'app.sock');
  for (const [method, nth] of [
    ['fstatat', 0],
    ['openat', 0],
    ['openat', 1],
    ['flock', 0],
    ['unlinkat', 0],
  ] as const) {
    const path = leaveLock(`${directory}/app.sock.lock`, record);
    justBefore(t, method, nth, () => fs.unlinkSync(path));
    assert.deepEqual(cleanLock(place), { outcome: 'gone' }, `${method} ${nth}`);
    assert.deepEqual(fs.readdirSync(directory), []);
    t.mock.restoreAll();
  }
});

test('a look at the file, or at one that it guards, fails → an error, and the file stays', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const path = leaveLock(`${directory}/app.sock.lock`, record);
  const place = placeOf(t, directory, 'app.sock');
  const { fstatat } = kernel;
  for (const failing of ['app.sock.lock', 'app.sock', 'app.sock.handover', 'content']) {
    t.mock.method(kernel, 'fstatat', (from: number, name: string) => (name === failing ? 'EIO' : fstatat(from, name)));
    if (failing === 'content') t.mock.method(kernel, 'pread', () => 'EIO');
    assert.equal(cleanLock(place).outcome, 'failed', failing);
    assert.equal(looksUnused(place, new Set(), () => false).outcome, 'failed', failing);
    t.mock.restoreAll();
  }
  assert.equal(fs.readFileSync(path, 'utf8'), record);
});

test('a user who may not remove the file → the error says so, and the file is as it was', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o755);
  const path = leaveLock(`${directory}/app.sock.lock`, record);
  fs.chownSync(path, stranger.uid, stranger.gid);
  const denied = await run(['clean', '--locks', directory], stranger);
  assert.deepEqual([denied.status, denied.stdout], [1, '']);
  assert.match(denied.stderr, /^reuseaddr: Cannot clean .*app\.sock\.lock: .*\n$/);
  assert.ok(fs.existsSync(path));
  const unreadable = await run(['clean', '--locks', path], secondStranger);
  assert.equal(unreadable.status, 1);
  assert.match(unreadable.stderr, /^reuseaddr: Cannot clean .*app\.sock\.lock: .*belongs to/);
});

test('another user’s lock file in a sticky directory → root reports it, and its owner removes it', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  fs.chmodSync(directory, 0o1777);
  const path = leaveLock(`${directory}/app.sock.lock`);
  fs.chownSync(path, stranger.uid, stranger.gid);
  const byRoot = await run(['clean', '--locks', directory]);
  assert.equal(byRoot.status, 1);
  assert.match(byRoot.stderr, /Cannot clean .*app\.sock\.lock: .* belongs to .*, in a directory that others may write to/);
  assert.deepEqual(await run(['clean', '--locks', directory], stranger), { status: 0, stdout: `removed ${path}\n`, stderr: '' });
});

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { claim } from 'reuseaddr';
import { lock } from '#dist/claim/lock.js';
import { pinDirectory } from '#dist/claim/place.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { run as perform } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { placeAndGuards, type Guarded } from '#dist/inspect/guardedPlace.js';
import { clean } from '#dist/cli/stale.js';
import { inodeAt, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { leaveStale, run, runOnTerminal } from './support.js';

function guarded(t: TestContext, directory: string, name: string): Guarded {
  const opened = perform(kernel, pinDirectory(directory));
  assert.ok(!isRefusal(opened));
  t.after(() => kernel.close(opened.fd));
  const found = placeAndGuards(opened, name);
  assert.ok(found);
  return found;
}

test('stale, live, held and other files → only the stale sockets go, and no lock file is left', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  const other = net.createServer().listen(`${directory}/stray.sock`);
  await once(other, 'listening');
  t.after(() => other.close());
  fs.mkdirSync(`${directory}/below`);
  leaveStale(`${directory}/stale.sock`);
  leaveStale(`${directory}/below/stale.sock`);
  fs.writeFileSync(`${directory}/file.sock`, 'mine');
  fs.symlinkSync('below/stale.sock', `${directory}/link.sock`);
  const before = snapshot(directory);

  const dry = await run(['clean', '--dry-run', directory]);
  assert.deepEqual(dry, {
    status: 0,
    stdout: `would remove ${directory}/stale.sock\nwould remove ${directory}/below/stale.sock\n`,
    stderr: '',
  });
  assert.deepEqual(snapshot(directory), before);

  const cleaned = await run(['clean', directory]);
  assert.deepEqual(cleaned, { status: 0, stdout: dry.stdout.replaceAll('would remove', 'removed'), stderr: '' });
  const { 'stale.sock': _gone, below: _below, ...rest } = before;
  const { below: _left, ...after } = snapshot(directory);
  assert.deepEqual(after, rest);
  assert.deepEqual(fs.readdirSync(`${directory}/below`), []);
  assert.deepEqual(await run(['clean', directory]), { status: 0, stdout: '', stderr: '' });
});

test('nothing is stale → on a terminal that is said, in a pipe nothing is nothing', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  assert.equal(await runOnTerminal(['clean', '--dry-run', directory], 80), 'Nothing to remove.\n');
  assert.deepEqual(await run(['clean', directory]), { status: 0, stdout: '', stderr: '' });
});

test('a path that was named itself and is not stale → it is said why it stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  fs.writeFileSync(`${directory}/file`, '');
  assert.deepEqual(await run(['clean', held.address]), {
    status: 3,
    stdout: '',
    stderr: `reuseaddr: Kept ${held.address}: a process has it (see reuseaddr inspect).\n`,
  });
  const file = await run(['clean', `${directory}/file`]);
  assert.deepEqual([file.status, file.stderr], [1, `reuseaddr: ${directory}/file: it is not a socket\n`]);
  assert.deepEqual(await run(['clean', `${directory}/none`]), { status: 0, stdout: '', stderr: '' });
  const json = JSON.parse((await run(['clean', '--json', held.address])).stdout) as unknown;
  assert.deepEqual(json, [{ address: held.address, outcome: 'kept', reason: 'live' }]);
  const abstract = await run(['clean', '@app']);
  assert.equal(abstract.status, 2);
  assert.match(abstract.stderr, /@app is an abstract name, which leaves nothing behind/);
});

test('a process has the lock and has not bound yet → the stale socket is left to it', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/app.sock`);
  const { place } = guarded(t, directory, 'app.sock');
  const lockFd = perform(kernel, lock(place, false));
  assert.ok(typeof lockFd === 'number');
  t.after(() => kernel.close(lockFd));
  const inode = inodeAt(place.path);
  const { status, stderr } = await run(['clean', directory]);
  assert.equal(status, 1);
  assert.match(stderr, /^reuseaddr: Cannot clean .*app\.sock: .* holds it but does not listen/);
  assert.equal(inodeAt(place.path), inode);
});

for (const locks of [false, true])
  test(`a process ${locks ? 'claims' : 'binds'} the name between the first look and the lock → it stays`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    leaveStale(path);
    const found = guarded(t, directory, 'app.sock');
    // The second time is after the first look, and before the lock is taken.
    const { fstatat } = kernel;
    const servers: net.Server[] = [];
    let looks = 0;
    t.mock.method(kernel, 'fstatat', (from: number, asked: string) => {
      if (from === found.place.directory.fd && asked === 'app.sock' && looks++ === 1) {
        const lockFd = locks ? perform(kernel, lock(found.place, false)) : 'none';
        if (typeof lockFd === 'number') t.after(() => kernel.close(lockFd));
        fs.unlinkSync(path);
        servers.push(net.createServer().listen(path));
      }
      return fstatat(from, asked);
    });
    t.after(() => servers.forEach((server) => server.close()));
    assert.deepEqual(clean(found, path), { outcome: 'kept', reason: 'live' });
    assert.equal(servers.length, 1);
    assert.ok(fs.lstatSync(path).isSocket());
  });

test('a stale handover socket, and a name that a crash has set aside → under the lock of their address', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/app.sock.lock`, '');
  leaveStale(`${directory}/app.sock.handover`);
  leaveStale(`${directory}/.reuseaddr-aside.app.sock`);
  const lockFd = perform(kernel, lock(guarded(t, directory, 'app.sock').place, false));
  assert.ok(typeof lockFd === 'number');
  assert.equal((await run(['clean', directory])).status, 1);
  assert.equal(fs.readdirSync(directory).length, 3);
  assert.equal(kernel.close(lockFd), 0);
  assert.equal((await run(['clean', directory])).status, 0);
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
});

test('a lock file that holds something else, as PostgreSQL’s does → nothing is touched', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/.s.PGSQL.5432`);
  fs.writeFileSync(`${directory}/.s.PGSQL.5432.lock`, '412\n/var/lib/postgresql\n');
  const before = snapshot(directory);
  const { status, stderr } = await run(['clean', directory]);
  assert.equal(status, 1);
  assert.match(stderr, /is not a lock file: it contains something else/);
  assert.deepEqual(snapshot(directory), before);
});

test(
  'a user cleans another user’s socket in a sticky directory → it stays, and no lock file keeps its owner out',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    fs.chmodSync(directory, 0o1777);
    leaveStale(`${directory}/app.sock`);
    fs.chmodSync(`${directory}/app.sock`, 0o777);
    const { status, stderr } = await run(['clean', directory], stranger);
    assert.equal(status, 1);
    assert.match(stderr, /app\.sock: another user starts programs there\. Run this as that user, or as root\.$/m);
    assert.deepEqual(fs.readdirSync(directory), ['app.sock']);
  },
);

test(
  'a user cleans another user’s socket where every user may replace files → it is removed, and no lock file stays',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    fs.chmodSync(directory, 0o777);
    leaveStale(`${directory}/app.sock`);
    fs.chmodSync(`${directory}/app.sock`, 0o777);
    const { status } = await run(['clean', directory], stranger);
    assert.equal(status, 0);
    assert.deepEqual(fs.readdirSync(directory), []);
  },
);

test('a directory that may not be written to → the error names user and action; the socket stays', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o755);
  leaveStale(`${directory}/app.sock`);
  fs.chownSync(`${directory}/app.sock`, stranger.uid, stranger.gid);
  const { status, stderr } = await run(['clean', directory], stranger);
  assert.equal(status, 1);
  assert.match(stderr, /^reuseaddr: Cannot clean .*: user \S+ may not create files in .*\.\n$/);
  assert.deepEqual(fs.readdirSync(directory), ['app.sock']);
});

test('the name aside is taken → clean names that file and says what to do, and everything stays', async (t) => {
  const directory = temporaryDirectory(t);
  const aside = `${directory}/.reuseaddr-aside.app.sock`;
  leaveStale(`${directory}/app.sock`);
  fs.writeFileSync(aside, 'precious');
  const { status, stdout, stderr } = await run(['clean', directory]);
  assert.deepEqual([status, stdout], [1, '']);
  assert.match(stderr, /\.reuseaddr-aside\.app\.sock is in the way: .*move it away\./);
  assert.deepEqual(fs.readdirSync(directory).toSorted(), ['.reuseaddr-aside.app.sock', 'app.sock']);
});

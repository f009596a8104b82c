import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { inspect, listen } from 'reuseaddr';
import { acquire } from '#dist/claim/acquire.js';
import { unpinned, type Place } from '#dist/claim/place.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { isDead } from '#dist/claim/removeIf.js';
import { AT_FDCWD, failed, perform, run, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { placeAt } from '../support/place.js';
import { asUser, nobody, visit, type User } from './clients.js';

const group = 70_123;
const member: User = { ...nobody, groups: [group] };

/** The users that the server's socket admits, by its mode and group. */
const matrix: readonly (readonly [mode: number, who: string, user: User | undefined, heard: string])[] = [
  [0o600, 'root', undefined, 'in'],
  [0o600, 'uid 65534', nobody, 'Permission denied'],
  [0o600, 'uid 65534 in the group', member, 'Permission denied'],
  [0o660, 'uid 65534', nobody, 'Permission denied'],
  [0o660, 'uid 65534 in the group', member, 'in'],
  [0o640, 'uid 65534 in the group, which may only read', member, 'Permission denied'],
  [0o606, 'uid 65534', nobody, 'in'],
  [0o606, 'uid 65534 in the group, whose bits come first', member, 'Permission denied'],
  [0o666, 'uid 65534', nobody, 'in'],
  [0o000, 'uid 65534 in the group', member, 'Permission denied'],
];

for (const mask of [0, 0o022, 0o777]) {
  test(
    `G6: umask ${mask.toString(8)}, modes 0600, 0660 and 0666 with a group → the kernel lets in just those whom the mode names`,
    asRoot,
    async (t) => {
      const before = process.umask(mask);
      t.after(() => process.umask(before));
      const directory = temporaryDirectory(t, 0o755);
      const status = () => JSON.stringify(fs.statSync(directory), ['mode', 'uid', 'gid', 'ino']);
      const directoryBefore = status();
      for (const [mode, who, user, heard] of matrix) {
        const server = net.createServer((connection) => connection.end('in'));
        const held = await listen(server, `${directory}/app.sock`, { mode, group });
        const said = await visit(held.address, user === undefined ? [] : asUser(user));
        assert.equal(said, heard, `${who}, mode ${mode.toString(8)}`);
        await held.release();
        assert.equal(status(), directoryBefore, 'the directory is as it was');
      }
      t.diagnostic(`${matrix.length} clients`);
    },
  );
}

test('a directory that others may write to → inspect warns of it, unless it is sticky', async (t) => {
  const directory = temporaryDirectory(t, 0o700);
  const path = `${directory}/app.sock`;
  const server = net.createServer();
  await using _claim = await listen(server, path);
  for (const [mode, reason] of [
    [0o700, undefined],
    [0o755, undefined],
    [0o775, 'shared-directory'],
    [0o757, 'shared-directory'],
    [0o777, 'shared-directory'],
    [0o1777, undefined],
    [0o1775, undefined],
    [0o2755, undefined],
  ] as const) {
    fs.chmodSync(directory, mode);
    const { state, reason: warned } = await inspect(path);
    assert.deepEqual([state, warned], ['listening', reason], mode.toString(8));
  }
});

/** Leaves a socket file of this mode, as a crash between bind(2) and chmod(2) would. */
async function leave(t: TestContext, path: string, mode: number): Promise<Program> {
  const crashed = await Program.start(t, stranger);
  await crashed.ask('umask', { mask: 0 });
  await crashed.ask('stray', { address: path });
  fs.chmodSync(path, mode);
  return crashed;
}

for (const mode of [0o000, 0o566]) {
  test(
    `G3: a dead socket of one’s own of mode ${mode.toString(8)}, which its owner may not connect to → the next start of that user removes it`,
    asRoot,
    async (t) => {
      const directory = temporaryDirectory(t, 0o777);
      const path = `${directory}/app.sock`;
      await (await leave(t, path, mode)).kill();
      const next = await Program.start(t, stranger);
      await next.ask('listen', { address: path });
      assert.equal(await visit(path, asUser(stranger)), String(next.pid));
      assert.deepEqual(fs.readdirSync(directory).sort(), ['app.sock', 'app.sock.lock']);
    },
  );
}

/**
 * A start that is cut off after so many system calls. The kernel closes what it had, as after a
 * crash.
 */
function startCutOff(place: Place, mode: number, callsMax: number): 'ended' | 'cut off' {
  const start = acquire(place, { mode, backlog: 1, record: '' });
  const open = new Set<number>();
  let step = start.next();
  for (let calls = 0; step.done !== true && calls < callsMax; calls++) {
    const call: SystemCall = step.value;
    const answer = perform(kernel, call);
    if ((call.name === 'openat' || call.name === 'socket') && typeof answer === 'number') open.add(answer);
    if (call.name === 'close') open.delete(call.args[0]);
    step = start.next(answer);
  }
  for (const fd of open) kernel.close(fd);
  return step.done === true ? 'ended' : 'cut off';
}

test(
  'G3: a start of another user than root crashes after every system call, under umask 0777 → the next one succeeds',
  asRoot,
  (t) => {
    const directory = temporaryDirectory(t, 0o777);
    let crashes = 0;
    const before = process.umask(0o777);
    process.seteuid!(stranger.uid);
    try {
      for (const mode of [0o600, 0, 0o060]) {
        // On a free name, and on what a crash of a start that had come to its end has left.
        for (const beforehand of [0, Infinity]) {
          for (let calls = 1; ; calls++) {
            const place = placeAt(`${directory}/${crashes}.sock`);
            startCutOff(place, mode, beforehand);
            const ended = startCutOff(place, mode, calls) === 'ended';
            const next = run(kernel, acquire(place, { mode, backlog: 1, record: '' }));
            assert.ok(
              !isRefusal(next),
              `mode ${mode.toString(8)}, crash after ${calls} calls: ${isRefusal(next) ? next.refused : ''}`,
            );
            assert.equal(fs.lstatSync(place.path).mode & 0o777, mode);
            assert.equal(run(kernel, release(place, next)).outcome, 'removed');
            crashes++;
            if (ended) break;
          }
        }
      }
    } finally {
      process.seteuid!(0);
      process.umask(before);
    }
    t.diagnostic(`${crashes} crashes`);
    assert.ok(crashes > 100);
  },
);

test('G4: a live stray of one’s own of mode 0 → refused as a stray, its mode is as it was, and it serves', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  const path = `${directory}/app.sock`;
  const stray = await leave(t, path, 0);
  const { ino } = fs.lstatSync(path);
  const next = await Program.start(t, stranger);
  const { code, reason } = await next.refused('listen', { address: path });
  assert.deepEqual([code, reason], ['EADDRINUSE', 'stray']);
  const after = fs.lstatSync(path);
  assert.deepEqual([after.ino, after.mode & 0o7777], [ino, 0]);
  assert.equal(await visit(path), String(stray.pid), 'root may connect');
});

test(
  'G4: a dead socket of another user that one may not connect to → EACCES, its mode and owner are as they were',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    const path = `${directory}/app.sock`;
    await (await leave(t, path, 0)).kill();
    const before = fs.lstatSync(path);
    const next = await Program.start(t, secondStranger);
    const { code, reason, syscall } = await next.refused('listen', { address: path });
    assert.deepEqual([code, reason, syscall], ['EACCES', 'system', 'connect']);
    const { mode, uid, ino, ctimeMs } = fs.lstatSync(path);
    assert.deepEqual([mode, uid, ino, ctimeMs], [before.mode, before.uid, before.ino, before.ctimeMs]);
  },
);

for (const replacement of ['a file', 'another socket', 'a symlink to a file'] as const) {
  test(`the socket of mode 0 is replaced by ${replacement} while it is being judged → nothing else has its mode changed`, async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    for (const name of ['app.sock', 'other']) {
      const fd = kernel.socket();
      assert.ok(!failed(fd));
      assert.equal(kernel.bind(fd, `${directory}/${name}`), 0);
      kernel.close(fd);
      fs.chmodSync(`${directory}/${name}`, 0);
    }
    fs.writeFileSync(`${directory}/precious`, 'text', { mode: 0 });
    fs.symlinkSync(`${directory}/precious`, `${directory}/link`);
    const status = kernel.fstatat(AT_FDCWD, path);
    assert.ok(!failed(status));
    const changed: number[] = [];
    const verdict = isDead(unpinned(path), status);
    let step = verdict.next();
    while (step.done !== true) {
      const call: SystemCall = step.value;
      // Between lstat(2) and open(2): the worst moment.
      if (call.name === 'openat')
        fs.renameSync(
          `${directory}/${{ 'a file': 'precious', 'another socket': 'other', 'a symlink to a file': 'link' }[replacement]}`,
          path,
        );
      if (call.name === 'fchmodat') changed.push(call.args[0]);
      const answer = call.name === 'probe' ? 'EACCES' : perform(kernel, call); // As for a user who is not root.
      step = verdict.next(answer);
    }
    assert.deepEqual([step.value, changed], [{ errno: 'EACCES' }, []]);
  });
}

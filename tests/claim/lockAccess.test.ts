/**
 * Which users may use one lock file: those who may replace files in its directory, and no other.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim } from 'reuseaddr';
import { asUser, type User } from '../peers/clients.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';

const root: User = { uid: 0, gid: 0 };

/** The group of a directory, two of its members, and a user who is none. */
const group = 54_399;
const alice: User = { ...stranger, groups: [group] };
const bob: User = { ...secondStranger, groups: [group] };
const carol: User = { uid: 54_341, gid: 54_342 };

function directoryOf(t: TestContext, { uid, gid }: User, mode: number): string {
  const path = temporaryDirectory(t);
  fs.chownSync(path, uid, gid);
  fs.chmodSync(path, mode);
  return path;
}

/** A start and a release as this user. */
async function startsAs(t: TestContext, user: User, directory: string): Promise<void> {
  const program = await Program.start(t, { under: asUser(user) });
  const address = `${directory}/app.sock`;
  await program.ask('listen', { address });
  await program.ask('release', { address });
  await program.kill();
}

async function refusedTo(t: TestContext, user: User, directory: string): Promise<string> {
  const program = await Program.start(t, { under: asUser(user) });
  const { reason, message } = await program.refused('listen', { address: `${directory}/app.sock` });
  await program.kill();
  return `${reason}: ${message}`;
}

function lockOf(directory: string): readonly [uid: number, gid: number, mode: string] {
  const { uid, gid, mode } = fs.statSync(`${directory}/app.sock.lock`);
  return [uid, gid, (mode & 0o7777).toString(8)];
}

function canLock(user: User, directory: string): boolean {
  const [command = '', ...args] = [...asUser(user), 'flock', '--nonblock', `${directory}/app.sock.lock`, 'true'];
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

test('root started a service once → the owner of the directory starts it afterwards, and root again', asRoot, async (t) => {
  const directory = directoryOf(t, alice, 0o755);
  await (await claim(`${directory}/app.sock`)).release();
  assert.deepEqual(lockOf(directory), [alice.uid, alice.gid, '1600']);
  await startsAs(t, alice, directory);
  await (await claim(`${directory}/app.sock`)).release();
  await startsAs(t, alice, directory);
  assert.deepEqual([canLock(alice, directory), canLock(bob, directory)], [true, false]);
});

for (const [name, mode] of [
  ['a directory of their group (2775)', 0o2775],
  ['the same without the setgid bit', 0o775],
  ['one in which only the group may look (2770)', 0o2770],
] as const)
  test(`two users, ${name} → they share an address, root too, and no other user can lock it`, asRoot, async (t) => {
    const directory = directoryOf(t, { uid: 0, gid: group }, mode);
    for (const user of [alice, bob, root, alice]) await startsAs(t, user, directory);
    assert.deepEqual(lockOf(directory).slice(1), [group, '1660']);
    assert.deepEqual(
      [alice, bob, carol].map((user) => canLock(user, directory)),
      [true, true, false],
    );
  });

test(
  'two users whom a directory lets in as others (0777), as containers do on one volume → they share an address',
  asRoot,
  async (t) => {
    const directory = directoryOf(t, root, 0o777);
    for (const user of [alice, carol, root, bob]) await startsAs(t, user, directory);
    assert.equal(lockOf(directory)[2], '1666');
  },
);

test('a sticky directory of several users → each lock file stays its owner’s, for root’s starts too', asRoot, async (t) => {
  for (const mode of [0o1777, 0o3775]) {
    const directory = directoryOf(t, { uid: carol.uid, gid: group }, mode);
    await startsAs(t, alice, directory);
    assert.deepEqual([lockOf(directory)[0], lockOf(directory)[2]], [alice.uid, '1600']);
    assert.match(await refusedTo(t, bob, directory), /^lock-denied: .*[Rr]emove \S+app\.sock\.lock while no program runs there/);
    assert.match(await refusedTo(t, root, directory), /^lock-foreign-owner: /);
    fs.rmSync(`${directory}/app.sock.lock`);
    await startsAs(t, root, directory);
    assert.deepEqual([lockOf(directory)[0], lockOf(directory)[2]], [0, '1600']);
  }
});

test('the owner of a directory is not in its group → its lock file lets no other group in', asRoot, async (t) => {
  const directory = directoryOf(t, { uid: carol.uid, gid: group }, 0o775);
  await startsAs(t, carol, directory);
  assert.deepEqual(lockOf(directory), [carol.uid, carol.gid, '1600']);
});

test('the mode of a directory changes → the lock file follows at the next start', asRoot, async (t) => {
  const directory = directoryOf(t, { uid: alice.uid, gid: group }, 0o775);
  for (const [mode, expected] of [
    [0o775, '1660'],
    [0o755, '1600'],
    [0o777, '1666'],
    [0o765, '1600'],
    [0o1777, '1600'],
    [0o770, '1660'],
  ] as const) {
    fs.chmodSync(directory, mode);
    await startsAs(t, alice, directory);
    assert.equal(lockOf(directory)[2], expected, mode.toString(8));
  }
});

test(
  'a private file of another use was moved to the lock path → it is not given away, nor opened to the group',
  asRoot,
  async (t) => {
    for (const mode of [0o775, 0o755]) {
      const directory = directoryOf(t, { uid: alice.uid, gid: group }, mode);
      fs.writeFileSync(`${directory}/app.sock.lock`, '', { mode: 0o600 });
      await (await claim(`${directory}/app.sock`)).release();
      assert.deepEqual(lockOf(directory), [0, 0, '600']);
    }
  },
);

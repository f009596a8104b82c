/**
 * Lock files in shared directories, and what a hostile neighbour may write into one. `tests/claim`
 * has each kind of obstacle.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim, inspect, type SocketAddressError } from 'reuseaddr';
import { acquire } from '#dist/claim/acquire.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { run, type Kernel } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { placeAt } from '../support/place.js';
import { asUser, type User } from '../peers/clients.js';

const protectedRegular = '/proc/sys/fs/protected_regular';

/** A file of the sysctl(8) set for this test; false where it can't be. */
function setSysctl(t: TestContext, path: string, value: string): boolean {
  try {
    const before = fs.readFileSync(path, 'utf8').trim();
    fs.writeFileSync(path, value);
    t.after(() => fs.writeFileSync(path, before));
    return true;
  } catch {
    return false;
  }
}

/** A shell command as another user. */
function as(user: User, script: string, cwd: string): void {
  const [command = '', ...args] = [...asUser(user), 'sh', '-c', script];
  execFileSync(command, args, { cwd });
}

interface Trap {
  readonly name: string;
  /** The actions of an attacker in the directory, where our lock file is `app.sock.lock`. */
  readonly set: string;
  readonly refused: readonly [code: string, reason: string];
}

/**
 * In a sticky directory of root's, as /tmp is: what another user can put at the lock path before
 * us.
 */
const traps: readonly Trap[] = [
  { name: 'its own file', set: 'umask 0; : > app.sock.lock', refused: ['EACCES', 'lock-foreign-owner'] },
  { name: 'its own file, closed to us', set: 'umask 0777; : > app.sock.lock', refused: ['EACCES', 'lock-denied'] },
  {
    name: 'its own file that looks like a record',
    set: `umask 0; printf '{"reuseaddr":1,"pid":1' > app.sock.lock`,
    refused: ['EACCES', 'lock-foreign-owner'],
  },
  { name: 'a symlink to a file of ours', set: 'ln -s private/file app.sock.lock', refused: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a symlink that dangles', set: 'ln -s private/new app.sock.lock', refused: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a symlink to /dev/zero', set: 'ln -s /dev/zero app.sock.lock', refused: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a FIFO', set: 'mkfifo -m 666 app.sock.lock', refused: ['EEXIST', 'lock-not-a-file'] },
  { name: 'a FIFO that nobody may open', set: 'mkfifo -m 0 app.sock.lock', refused: ['EACCES', 'lock-not-a-file'] },
  { name: 'a directory', set: 'mkdir app.sock.lock', refused: ['EISDIR', 'lock-not-a-file'] },
];

for (const setting of ['0', '2'] as const) {
  test(
    `fs.protected_regular ${setting}: another user was at the lock path first, in a sticky directory → a clear error for each trap, and nothing is followed, opened to writing or changed`,
    asRoot,
    async (t) => {
      if (!setSysctl(t, protectedRegular, setting)) return t.skip('fs.protected_regular cannot be set here');
      const directory = temporaryDirectory(t, 0o1777);
      fs.mkdirSync(`${directory}/private`, { mode: 0o777 });
      fs.chmodSync(`${directory}/private`, 0o777);
      fs.writeFileSync(`${directory}/private/file`, 'precious');
      fs.chownSync(`${directory}/private/file`, stranger.uid, stranger.gid);
      const victim = await Program.start(t, stranger);
      for (const { name, set, refused } of traps) {
        as(secondStranger, set, directory);
        const before = [snapshot(directory), snapshot(`${directory}/private`)];
        const { code, reason, message } = await victim.refused('listen', { address: `${directory}/app.sock` });
        const expected = setting === '2' && reason === 'lock-denied' ? ['EACCES', 'lock-denied'] : refused;
        assert.deepEqual([code, reason], expected, name);
        assert.match(message, /app\.sock\.lock/);
        assert.match(
          message,
          /[Rr]emove|move it away|choose another|Run as that user|use a directory of your own/,
          `what to do about ${name}`,
        );
        assert.deepEqual([snapshot(directory), snapshot(`${directory}/private`)], before, name);
        as(secondStranger, 'rm -rf app.sock.lock', directory);
      }
      t.diagnostic(`${traps.length} traps`);
      await victim.ask('listen', { address: `${directory}/app.sock` });
      // With our own lock file there, which is ours alone: the attacker can neither lock nor remove
      // it.
      const grab = `flock --nonblock app.sock.lock true || rm -f app.sock.lock app.sock || : > app.sock.lock`;
      assert.throws(() => as(secondStranger, `{ ${grab}; } 2> /dev/null`, directory));
      assert.equal((await inspect(`${directory}/app.sock`)).state, 'listening');
    },
  );
}

test(
  'a hard link to a file of ours at the lock path, made by another user → refused, nothing is written into it',
  asRoot,
  async (t) => {
    if (!setSysctl(t, '/proc/sys/fs/protected_hardlinks', '0')) return t.skip('fs.protected_hardlinks cannot be set here');
    const directory = temporaryDirectory(t, 0o1777);
    fs.writeFileSync(`${directory}/empty`, '', { mode: 0o600 });
    fs.chownSync(`${directory}/empty`, stranger.uid, stranger.gid);
    as(secondStranger, 'ln empty app.sock.lock', directory);
    const before = snapshot(directory);
    const victim = await Program.start(t, stranger);
    const { code, reason } = await victim.refused('listen', { address: `${directory}/app.sock` });
    assert.deepEqual([code, reason], ['EEXIST', 'lock-has-links']);
    assert.deepEqual(snapshot(directory), before);
  },
);

/** A process of this user that has the file locked, and keeps it until the test ends. */
async function keepLocked(t: TestContext, path: string, user: User): Promise<() => Promise<void>> {
  const [command = '', ...args] = [...asUser(user), 'flock', '--shared', path, 'sh', '-c', 'echo locked; read line'];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return async () => {
    const closed = once(child, 'close');
    child.stdin.end('\n');
    await closed;
  };
}

test(
  'another user keeps a lock file locked that it may read → EADDRINUSE, starting, and which process it is; free again as soon as it lets go',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o755);
    const address = `${directory}/app.sock`;
    fs.writeFileSync(`${address}.lock`, '', { mode: 0o644 });
    const letGo = await keepLocked(t, `${address}.lock`, stranger);
    const before = snapshot(directory);
    const error = await claim(address).then(
      () => assert.fail('it should be refused'),
      (reason: unknown) => reason as SocketAddressError,
    );
    assert.deepEqual([error.code, error.reason, error.holder?.uid], ['EADDRINUSE', 'starting', stranger.uid]);
    assert.match(error.message, /: process \d+ \(flock .*, user 54321\) holds it but does not listen/);
    assert.deepEqual(snapshot(directory), before);
    assert.equal((await inspect(address)).state, 'starting');
    await letGo();
    await (await claim(address)).release();
  },
);

test(
  'the lock file that we make in a sticky directory → 1600, so that no other user can open it, and lock us out',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t, 0o1777);
    const address = `${directory}/app.sock`;
    await (await claim(address)).release();
    const [command = '', ...args] = [...asUser(stranger), 'flock', '--nonblock', `${address}.lock`, 'true'];
    assert.notEqual(spawnSync(command, args, { stdio: 'ignore' }).status, 0);
  },
);

const record = { reuseaddr: 1, pid: 4_000_000, uid: 0, command: 'node', sinceMs: 1 };
const hostile: Readonly<Record<string, string>> = {
  'escape codes': JSON.stringify({ ...record, command: '\u001b[2J\u001b]0;owned\u0007\u009b31m', host: '\u001b[31m' }),
  'line breaks, bidirectional marks and a lone surrogate': JSON.stringify({ ...record, command: 'a\nb\r\u2028\u202e\ud800' }),
  'four megabytes': JSON.stringify({ ...record, command: 'x'.repeat(4 << 20) }),
  'a command of the longest record': JSON.stringify({ ...record, command: 'y'.repeat(3900) }),
  'no JSON': '{"reuseaddr":1,"pid":',
  'deep nesting': `{"reuseaddr":1,${'"a":['.repeat(700)}`,
  'prototype keys': '{"reuseaddr":1,"__proto__":{"pid":1,"uid":0,"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
  'a uid that is none': JSON.stringify({ ...record, uid: 2 ** 40 }),
  'a pid that is none': JSON.stringify({ ...record, pid: 2 ** 40 }),
  'a negative pid': JSON.stringify({ ...record, pid: -1 }),
  'a moment that is none': JSON.stringify({ ...record, sinceMs: 9e15 }),
  'objects for strings': JSON.stringify({ ...record, command: { toString: 'x' }, host: ['x'] }),
  NULs: '\0'.repeat(1000),
};

for (const [name, content] of Object.entries(hostile)) {
  test(`the holder’s record is ${name} → the error, its holder and inspect are printable and short, and nothing is polluted`, async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/app.sock`;
    const held = await claim(address);
    t.after(() => held.release());
    fs.writeFileSync(`${address}.lock`, `${content}\n`.replace(/\0\n$/, '\0'));
    const error = await claim(address).then(
      () => assert.fail('it is held'),
      (reason: unknown) => reason as SocketAddressError,
    );
    assert.equal(error.code, 'EADDRINUSE', error.reason);
    for (const text of [
      error.message,
      error.stack?.split('\n')[0],
      JSON.stringify(error.holder),
      JSON.stringify(await inspect(address), bigints),
    ]) {
      assert.doesNotMatch(text ?? '', /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|\\u00(1b|9b)|\\u202e/u);
      assert.ok((text ?? '').length < 1000);
    }
    assert.equal(({} as { polluted?: number }).polluted, undefined);
  });
}

const bigints = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

test('a lock file of any size → at most 4 KiB of it are ever read', (t) => {
  const directory = temporaryDirectory(t);
  const place = placeAt(`${directory}/app.sock`);
  fs.writeFileSync(place.lockPath, `{"reuseaddr":1,"command":"${'x'.repeat(1 << 20)}"}\n`);
  const held = run(kernel, acquire(place, { mode: 0o600, backlog: 1, record: `{"reuseaddr":1,${'y'.repeat(1 << 20)}` }));
  assert.ok(!isRefusal(held));
  const sizes: number[] = [];
  const watched: Kernel = {
    ...kernel,
    pread: (fd, bytesMax) => {
      sizes.push(bytesMax);
      return kernel.pread(fd, bytesMax);
    },
  };
  const refused = run(watched, acquire(place, { mode: 0o600, backlog: 1, record: '' }));
  assert.ok(isRefusal(refused) && refused.refused === 'held' && (refused.record ?? '').length <= 4096);
  assert.deepEqual(sizes, [4096, 4096]);
  run(kernel, release(place, held));
});

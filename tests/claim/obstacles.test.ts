import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { claim, inspect, listen, type Reason, type SocketAddressError } from 'reuseaddr';
import { inodeAt, snapshot, temporaryDirectory } from '../support/directory.js';
import { greeting } from '../support/reach.js';

interface Obstacle {
  readonly name: string;
  readonly make: (path: string, directory: string) => void;
  /** How a start is refused with this at the lock path. */
  readonly atLockPath: readonly [code: string, reason: Reason];
  readonly needsRoot?: true;
}

const obstacles: readonly Obstacle[] = [
  { name: 'a regular file', make: (path) => fs.writeFileSync(path, 'text'), atLockPath: ['EEXIST', 'lock-foreign-content'] },
  {
    name: 'a file of NULs and text',
    make: (path) => fs.writeFileSync(path, '\0\0x'),
    atLockPath: ['EEXIST', 'lock-foreign-content'],
  },
  { name: 'a directory', make: (path) => fs.mkdirSync(path), atLockPath: ['EISDIR', 'lock-not-a-file'] },
  { name: 'a directory with a file in it', make: fillDirectory, atLockPath: ['EISDIR', 'lock-not-a-file'] },
  { name: 'a symlink to a live socket', make: (path) => fs.symlinkSync('live', path), atLockPath: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a symlink to a regular file', make: (path) => fs.symlinkSync('text', path), atLockPath: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a dangling symlink', make: (path) => fs.symlinkSync('nowhere', path), atLockPath: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a symlink to itself', make: (path) => fs.symlinkSync(path, path), atLockPath: ['ELOOP', 'lock-is-symlink'] },
  { name: 'a FIFO', make: (path) => execFileSync('mkfifo', [path]), atLockPath: ['EEXIST', 'lock-not-a-file'] },
  {
    name: 'a device',
    make: (path) => execFileSync('mknod', [path, 'c', '1', '3']),
    atLockPath: ['EEXIST', 'lock-not-a-file'],
    needsRoot: true,
  },
];

function fillDirectory(path: string): void {
  fs.mkdirSync(path);
  fs.writeFileSync(`${path}/file`, 'text');
}

/** A directory with a live socket and a text file for symlinks to point to. */
async function furnished(t: TestContext): Promise<string> {
  const directory = temporaryDirectory(t);
  const server = net.createServer((connection) => connection.end('live'));
  t.after(() => server.close());
  await new Promise<void>((listening) => server.listen(`${directory}/live`, listening));
  fs.writeFileSync(`${directory}/text`, 'text');
  return directory;
}

async function refusal(address: string, options = {}): Promise<SocketAddressError> {
  const server = net.createServer();
  let error: unknown;
  await listen(server, address, options).catch((reason: unknown) => {
    error = reason;
  });
  assert.ok(error instanceof Error, `listen(${address}) should have been refused`);
  assert.equal(server.listening, false);
  return error as SocketAddressError;
}

for (const { name, make, atLockPath, needsRoot } of obstacles) {
  const options = { skip: needsRoot && process.geteuid?.() !== 0 && 'only root can make one' };
  test(`G4: ${name} at the path → ENOTSOCK, and it is untouched`, options, async (t) => {
    const directory = await furnished(t);
    const path = `${directory}/app.sock`;
    make(path, directory);
    const before = snapshot(directory);
    for (let i = 0; i < 2; i++) {
      const { code, reason } = await refusal(path);
      assert.deepEqual([code, reason], ['ENOTSOCK', 'not-a-socket']);
      const { 'app.sock.lock': _lock, ...after } = snapshot(directory);
      assert.deepEqual(after, before);
    }
    assert.equal((await inspect(path)).state, 'blocked');
    assert.equal(await greeting(`${directory}/live`), 'live');
    fs.rmSync(path, { recursive: true });
    await (await claim(path)).release();
  });

  test(`G4: ${name} at the lock path → refused, and it is untouched`, options, async (t) => {
    const directory = await furnished(t);
    const path = `${directory}/app.sock`;
    make(`${path}.lock`, directory);
    const before = snapshot(directory);
    const { code, reason } = await refusal(path);
    assert.deepEqual([code, reason], atLockPath);
    assert.deepEqual(snapshot(directory), before);
    assert.equal((await inspect(path)).state, 'blocked');
    assert.equal(await greeting(`${directory}/live`), 'live');
  });
}

test('G4: a socket at the lock path, live or dead → refused, and it is untouched', async (t) => {
  const directory = await furnished(t);
  fs.linkSync(`${directory}/live`, `${directory}/live.lock`);
  const before = snapshot(directory);
  const { code, reason } = await refusal(`${directory}/app.sock`, { lockPath: `${directory}/live.lock` });
  assert.deepEqual([code, reason], ['ENXIO', 'lock-not-a-file']);
  assert.deepEqual(snapshot(directory), before);
});

test('G4: the lock path is the path itself → refused, and nothing is lost', async (t) => {
  const directory = await furnished(t);
  const before = snapshot(directory);
  assert.equal((await refusal(`${directory}/text`, { lockPath: `${directory}/text` })).reason, 'lock-is-address');
  assert.equal((await refusal(`${directory}/live`, { lockPath: `${directory}/live` })).reason, 'lock-is-address');
  assert.deepEqual(snapshot(directory), before);
});

test('G4: a hard link to another program’s empty file at the lock path → refused, nothing is written into it', async (t) => {
  const directory = await furnished(t);
  fs.writeFileSync(`${directory}/precious`, '');
  fs.linkSync(`${directory}/precious`, `${directory}/app.sock.lock`);
  const before = snapshot(directory);
  const { code, reason } = await refusal(`${directory}/app.sock`);
  assert.deepEqual([code, reason], ['EEXIST', 'lock-has-links']);
  assert.deepEqual(snapshot(directory), before);
});

for (const [name, content] of [
  ['empty', ''],
  ['a record torn short', '{"reuseaddr":1,"pid":41'],
  ['the first bytes of a record', '{"reu'],
  ['the NULs that a power cut leaves', '\0'.repeat(3_000)],
] as const) {
  test(`a lock file that is ${name}, with the mode of another program → it is used, and keeps its inode`, async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    fs.writeFileSync(`${path}.lock`, content, { mode: 0o640 });
    const inode = inodeAt(`${path}.lock`);
    const made = await claim(path);
    assert.equal(inodeAt(`${path}.lock`), inode);
    const [record = ''] = fs.readFileSync(`${path}.lock`, 'utf8').split('\n');
    const { reuseaddr, pid } = JSON.parse(record) as { reuseaddr: number; pid: number };
    assert.deepEqual({ reuseaddr, pid }, { reuseaddr: 1, pid: process.pid });
    await made.release();
    assert.match(fs.readFileSync(`${path}.lock`, 'utf8'), /^\0*$/);
  });
}

/** A server of ours that answers `ours`. */
async function holding(t: TestContext, path: string) {
  const server = net.createServer((connection) => connection.end('ours'));
  const held = await listen(server, path);
  t.after(() => held.release());
  return held;
}

/**
 * A server that does not use reuseaddr and answers `theirs`. It leaves what is at its path when it
 * closes.
 */
async function stray(t: TestContext, path: string): Promise<void> {
  const server = net.createServer((connection) => connection.end('theirs'));
  await new Promise<void>((listening) => server.listen(`${path}.stray`, listening));
  fs.renameSync(`${path}.stray`, path);
  t.after(() => server.close());
}

for (const how of ['removed', 'replaced by an empty file'] as const) {
  test(`G2: the lock file is ${how} under a live holder → a start finds a stray, and the holder keeps its address`, async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const held = await holding(t, path);
    const inode = inodeAt(path);
    fs.rmSync(`${path}.lock`);
    if (how !== 'removed') fs.writeFileSync(`${path}.lock`, '');
    const { code, reason, holder } = await refusal(path);
    assert.deepEqual([code, reason, holder?.pid], ['EADDRINUSE', 'stray', process.pid]);
    assert.equal(inodeAt(path), inode);
    assert.equal(await greeting(path), 'ours');
    await held.release();
    assert.equal(inodeAt(path), undefined, 'it is still our own inode');
    await (await claim(path)).release();
  });
}

test('G5: the socket file is removed under a live holder → release removes nothing, the next start listens', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const held = await holding(t, path);
  fs.rmSync(path);
  // It holds the claim until it releases it. Linux can tell that it listens all the same.
  assert.equal((await refusal(path)).reason, process.platform === 'linux' ? 'displaced' : 'starting');
  await held.release();
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  await (await claim(path)).release();
});

for (const { name, replace } of [
  { name: 'a stray', replace: (t: TestContext, path: string) => stray(t, path) },
  { name: 'a regular file', replace: async (_: TestContext, path: string) => fs.writeFileSync(path, 'text') },
  { name: 'a symlink', replace: async (_: TestContext, path: string) => fs.symlinkSync('nowhere', path) },
  { name: 'a directory', replace: async (_: TestContext, path: string) => fs.mkdirSync(path) },
]) {
  for (const how of ['release()', 'server.close()'] as const) {
    test(`G5: the socket file is replaced by ${name} under a live holder, ${how} → the replacement is untouched`, async (t) => {
      const directory = temporaryDirectory(t);
      const path = `${directory}/app.sock`;
      const server = net.createServer();
      const held = await listen(server, path);
      fs.rmSync(path);
      await replace(t, path);
      const before = snapshot(directory)['app.sock'];
      if (how === 'release()') await held.release();
      else await new Promise((closed) => server.close(closed));
      assert.equal(snapshot(directory)['app.sock'], before);
      assert.deepEqual(fs.readdirSync(directory), ['app.sock', 'app.sock.lock']);
    });
  }
}

test('G4: a live stray at the path → EADDRINUSE with its pid, it is untouched and continues', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const server = net.createServer((connection) => connection.end('theirs'));
  await new Promise<void>((listening) => server.listen(path, listening));
  const before = snapshot(directory)['app.sock'];
  const { code, reason, holder, message } = await refusal(path);
  assert.deepEqual([code, reason, holder?.pid], ['EADDRINUSE', 'stray', process.pid]);
  assert.match(message, /without holding the lock/);
  assert.equal(snapshot(directory)['app.sock'], before);
  assert.equal(await greeting(path), 'theirs');
  await new Promise((closed) => server.close(closed));
});

test('G4: a crash left a regular file aside → it has its name back, and the start is refused by it', async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/.reuseaddr-aside.app.sock`, 'text');
  assert.equal((await refusal(`${directory}/app.sock`)).reason, 'not-a-socket');
  assert.equal(fs.readFileSync(`${directory}/app.sock`, 'utf8'), 'text');
});

test('G4: something is aside and a stale socket at the path → aside-occupied, and both stay', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  await stray(t, path);
  fs.renameSync(path, `${directory}/live`);
  fs.linkSync(`${directory}/live`, `${directory}/.reuseaddr-aside.app.sock`);
  const dead = net.createServer();
  await new Promise<void>((listening) => dead.listen(`${path}.dead`, listening));
  fs.linkSync(`${path}.dead`, path);
  await new Promise((closed) => dead.close(closed));
  const before = snapshot(directory);
  assert.equal((await refusal(path)).reason, 'aside-occupied');
  const { 'app.sock.lock': _lock, ...after } = snapshot(directory);
  assert.deepEqual(after, before);
});

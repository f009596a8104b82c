/**
 * An address is resolved once for each attempt, its directory is pinned, and a start that is
 * refused leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { claim, connect, inspect, listen, type ListenOptions } from '#dist/index.js';
import { kernel } from '#dist/kernel/posix.js';
import { reuseaddr as reuseaddrPath, run as reuseaddr, runProgram } from '../cli/support.js';
import { openDescriptors, snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux } from '../support/privileges.js';

interface Refused {
  readonly code: string;
  readonly reason: string;
  readonly message: string;
}

async function refused(address: string, options: ListenOptions = {}): Promise<Refused> {
  return await listen(createServer(), address, options).then(
    () => assert.fail(`${address} was listened on`),
    (error: unknown) => error as Refused,
  );
}

const files: Readonly<Record<string, (path: string) => void>> = {
  'a regular file': (path) => fs.writeFileSync(path, 'precious'),
  'a directory': (path) => fs.mkdirSync(path),
  'a FIFO': (path) => void execFileSync('mkfifo', [path]),
  'a symlink': (path) => fs.symlinkSync('elsewhere', path),
  'a device': (path) => void execFileSync('mknod', [path, 'c', '1', '3']),
};

for (const [kind, put] of Object.entries(files)) {
  test(
    `listen and run on ${kind} → refused, and the directory is as it was`,
    kind === 'a device' ? asRoot : onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      const path = `${directory}/app.sock`;
      put(path);
      const before = snapshot(directory);
      assert.equal((await refused(path)).reason, 'not-a-socket');
      assert.equal((await refused(path, { handover: true, wait: 1, takeover: 1 })).reason, 'not-a-socket');
      assert.equal((await reuseaddr(['run', path, '--', 'true'])).status, 1);
      assert.equal((await reuseaddr(['run', '--bind-self', path, '--', 'true'])).status, 1);
      assert.deepEqual(snapshot(directory), before);
    },
  );

  test(
    `listen with handover, and ${kind} is where that socket must be → refused about that path, and nothing is made`,
    kind === 'a device' ? asRoot : onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      put(`${directory}/app.sock.handover`);
      const before = snapshot(directory);
      const { reason, message } = await refused(`${directory}/app.sock`, { handover: true });
      assert.equal(reason, 'not-a-socket');
      assert.match(message, /app\.sock\.handover/);
      assert.deepEqual(snapshot(directory), before);
    },
  );
}

test('a stray, and there is no lock file → refused, and none is made', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const stray = createServer().listen(path);
  await once(stray, 'listening');
  t.after(() => stray.close());
  assert.equal((await refused(path)).reason, 'stray');
  assert.deepEqual(fs.readdirSync(directory), ['app.sock']);
});

test(
  'the name of the handover socket is too long, of a path or an abstract name → refused before anything is made',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/${'x'.repeat(85)}`;
    const { code, reason, message } = await refused(path, { handover: true });
    assert.deepEqual([code, reason], ['ENAMETOOLONG', 'too-long']);
    assert.match(message, /x\.handover/);
    const abstract = await refused(`@${'x'.repeat(100)}`, { handover: true });
    assert.deepEqual([abstract.code, abstract.reason], ['ENAMETOOLONG', 'too-long']);
    assert.deepEqual(fs.readdirSync(directory), []);
    await (await listen(createServer(), path)).release();
  },
);

test('a lock path that is one of the names of the address → refused, each of them', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const beside = [
    '.reuseaddr-aside.app.sock',
    '.reuseaddr-recalled.app.sock',
    '.reuseaddr-private.app.sock',
    'app.sock.handover',
    '.reuseaddr-aside.app.sock.handover',
  ];
  for (const name of ['app.sock', ...beside]) {
    const { reason } = await refused(`${directory}/app.sock`, { lockPath: `${directory}/./${name}` });
    assert.equal(reason, 'lock-is-address', name);
  }
  assert.deepEqual(fs.readdirSync(directory), []);
});

test(
  'ten addresses in two directories → two descriptors each, and one for each directory; none after the release',
  onLinux,
  async (t) => {
    const directories = [temporaryDirectory(t), temporaryDirectory(t)];
    await (await claim(`${directories[0]}/first.sock`)).release(); // Whatever a first claim opens for good.
    const before = openDescriptors();
    const claims = [];
    for (const directory of directories)
      for (let i = 0; i < 5; i++)
        claims.push(await claim(`${directory}/${i}.sock`, { lockPath: `${directories[0]}/${claims.length}.lock` }));
    assert.equal(openDescriptors() - before, 10 * 2 + 2);
    for (const each of claims) await each.release();
    assert.equal(openDescriptors(), before);
  },
);

test('refused starts, and starts that give up waiting → no descriptor is left', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(path);
  await refused(path, { wait: 20, takeover: 20 });
  const before = openDescriptors();
  for (let i = 0; i < 5; i++) await refused(path, { wait: 20, takeover: 20 });
  assert.equal(openDescriptors(), before);
  await held.release();
});

test('one refused start that asks for a handover and waits → resolves its directory three times at most', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(createServer(), path);
  t.after(() => held.release());
  const resolved = t.mock.method(kernel, 'readlink');
  await refused(path, { takeover: 200, wait: 200 });
  const directories = resolved.mock.calls.filter(({ arguments: [link] }) => link.startsWith('/proc/self/fd/'));
  assert.ok(directories.length >= 1 && directories.length <= 3, String(directories.length));
});

/** A holder, in a directory that is moved away. */
async function heldAndMoved(t: TestContext, options: ListenOptions = {}) {
  const root = temporaryDirectory(t);
  const directory = `${root}/run`;
  fs.mkdirSync(directory);
  const held = await listen(createServer(), `${directory}/app.sock`, { handover: true, ...options });
  t.after(() => held.release());
  const displaced = new Promise<string>((resolve) => {
    held.on('displaced', resolve);
  });
  fs.renameSync(directory, `${root}/away`);
  return { held, directory, away: `${root}/away`, displaced };
}

test('the directory of a holder is renamed → it is told, and removes its own sockets at release, there', onLinux, async (t) => {
  const { held, away, displaced } = await heldAndMoved(t);
  assert.ok(held.displaced);
  assert.equal(await displaced, 'lock');
  await held.release();
  assert.deepEqual(fs.readdirSync(away), ['app.sock.lock']);
});

test(
  'another directory takes its place, with sockets of the same names → it is told, and leaves those alone',
  onLinux,
  async (t) => {
    const { held, directory, displaced } = await heldAndMoved(t, { onDisplaced: 'rebind' });
    fs.mkdirSync(directory);
    const other = await listen(
      createServer((socket) => socket.end('other')),
      `${directory}/app.sock`,
    );
    t.after(() => other.release());
    const before = snapshot(directory);
    assert.equal(await displaced, 'lock');
    await held.release();
    assert.deepEqual(snapshot(directory), before);
    const client = await connect(`${directory}/app.sock`);
    assert.equal(String((await once(client, 'data'))[0]), 'other');
  },
);

test('only the socket is gone, and another directory has taken the place → nothing is bound in that one', onLinux, async (t) => {
  const root = temporaryDirectory(t);
  const [directory, locks] = [`${root}/run`, `${root}/locks`];
  fs.mkdirSync(directory);
  fs.mkdirSync(locks);
  const path = `${directory}/app.sock`;
  const held = await listen(createServer(), path, { lockPath: `${locks}/app.lock`, onDisplaced: 'rebind' });
  t.after(() => held.release());
  const displaced = once(held, 'displaced');
  fs.renameSync(directory, `${root}/away`);
  fs.mkdirSync(directory);
  const { mtimeNs } = fs.statSync(directory, { bigint: true });
  assert.deepEqual(await displaced, ['socket']);
  await new Promise(setImmediate);
  assert.equal(fs.statSync(directory, { bigint: true }).mtimeNs, mtimeNs, 'no file was ever made in it');
});

test(
  'a Windows pipe → refused by everything but connect, with what to do',
  { skip: process.platform !== 'win32' && 'pipes are of Windows' },
  async () => {
    const pipe = String.raw`\\.\pipe\app`;
    assert.equal((await refused(pipe)).reason, 'unsupported');
    await assert.rejects(inspect(pipe), { reason: 'unsupported' });
  },
);

test(
  'the working directory was removed → refused, as for a directory that never was, and inspect does not say that it is free',
  onLinux,
  async (t) => {
    const directory = `${temporaryDirectory(t)}/gone`;
    fs.mkdirSync(directory);
    const script = `cd "$1" && rmdir "$1" && exec "$2" "$3" inspect app.sock`;
    const { status, stderr } = await runProgram(['sh', '-c', script, 'sh', directory, process.execPath, reuseaddrPath]);
    assert.equal(status, 1);
    assert.match(stderr, /there is no directory .*gone/);
  },
);

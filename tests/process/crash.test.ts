import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { abstractName } from '../support/abstract.js';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { greeting } from '../support/reach.js';

test('G3: the holder is killed by SIGKILL → a fresh process listens on the path at once', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  for (let round = 0; round < 5; round++) {
    const holder = await Program.start(t);
    await holder.ask('listen', { address });
    assert.equal(await greeting(address), String(holder.pid));
    await holder.kill();
    assert.deepEqual(fs.readdirSync(directory), ['app.sock', 'app.sock.lock'], 'a crash leaves both files');
  }
});

test('G3: the holder of an abstract name is killed by SIGKILL → a fresh process listens on it at once', onLinux, async (t) => {
  const { address, nodePath } = abstractName();
  for (let round = 0; round < 3; round++) {
    const holder = await Program.start(t);
    await holder.ask('listen', { address });
    assert.equal(await greeting(nodePath), String(holder.pid));
    await holder.kill();
  }
});

test('G8: the holder is killed while a child of it lives on → the child keeps neither the lock nor the socket', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await Program.start(t);
  await holder.ask('listen', { address });
  const child = await holder.ask<number>('spawnChild');
  t.after(() => process.kill(child, 'SIGKILL'));
  await holder.kill();
  assert.equal(process.kill(child, 0), true, 'the child lives');
  const next = await Program.start(t);
  await next.ask('listen', { address });
  assert.equal(await greeting(address), String(next.pid));
});

test('G2: the holder is stopped by SIGSTOP → it still holds, a start is refused and names it; after SIGCONT it answers', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [holder, other] = await Promise.all([Program.start(t), Program.start(t)]);
  await holder.ask('listen', { address });
  const inode = inodeAt(address);
  holder.signal('SIGSTOP');
  const { code, reason, holder: named } = await other.refused('listen', { address });
  assert.deepEqual({ code, reason, pid: named?.pid }, { code: 'EADDRINUSE', reason: 'held', pid: holder.pid });
  holder.signal('SIGCONT');
  assert.equal(await greeting(address), String(holder.pid));
  assert.equal(inodeAt(address), inode);
});

test('G2: the holder has its queue full → a start is refused all the same', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [holder, other] = await Promise.all([Program.start(t), Program.start(t)]);
  await holder.ask('claim', { address, options: { backlog: 0 } });
  await other.refused('connect', { address: `${address}.nobody` });
  // No process accepts, so this connection stays in the queue, which has room for it alone.
  other.ask('connect', { address }).catch(() => {});
  await other.refused('connect', { address });
  assert.equal((await other.refused('listen', { address })).reason, 'held');
});

test('G4: the process that was killed listened without reuseaddr → its dead socket is replaced', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [plain, holder] = await Promise.all([Program.start(t), Program.start(t)]);
  await plain.ask('stray', { address });
  assert.equal((await holder.refused('listen', { address })).reason, 'stray');
  assert.equal(await greeting(address), String(plain.pid), 'a start does not disturb it');
  await plain.kill();
  await holder.ask('listen', { address });
  assert.equal(await greeting(address), String(holder.pid));
});

for (const how of ['returns', 'is terminated'] as const) {
  test(`G3: the thread that holds the address ${how}, the process continues → the next start listens`, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const [holder, other] = await Promise.all([Program.start(t), Program.start(t)]);
    await holder.ask('listenInWorker', { address });
    assert.equal(await greeting(address), String(holder.pid));
    const { code, reason, holder: named } = await other.refused('listen', { address });
    assert.deepEqual({ code, reason, pid: named?.pid }, { code: 'EADDRINUSE', reason: 'held', pid: holder.pid });
    assert.equal(
      (await holder.refused('listen', { address })).reason,
      'held',
      'also the main thread of the same process is refused',
    );
    await holder.ask('endWorkers', { terminate: how === 'is terminated' });
    await other.ask('listen', { address });
    assert.equal(await greeting(address), String(other.pid));
  });
}

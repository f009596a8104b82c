import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { test, type TestContext } from 'node:test';
import { listen } from 'reuseaddr';
import { inodeAt, snapshot, temporaryDirectory } from '../support/directory.js';
import { Program } from '../support/program.js';
import { connected, greeting } from '../support/reach.js';

/** The socket file is gone; the lock file is there, and says nothing any more. */
function assertReleased(directory: string): void {
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  assert.match(fs.readFileSync(`${directory}/app.sock.lock`, 'utf8'), /^\0*$/);
}

async function holding(t: TestContext, options: { readonly keep?: boolean } = {}) {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const holder = await Program.start(t, { quiet: true });
  await holder.ask('listen', { address, ...options });
  return { directory, address, holder };
}

const ends = [
  ['finish', 'nothing is left to do', 0],
  ['exit', 'process.exit(7)', 7],
  ['throw', 'an exception that nobody catches', 1],
  ['reject', 'a rejection that nobody handles', 1],
] as const;
for (const [action, name, status] of ends) {
  test(`G5: the process ends by itself, ${name} → the socket file is gone, the lock file stays and is empty`, async (t) => {
    const { directory, address, holder } = await holding(t);
    assert.ok(inodeAt(address));
    assert.ok(fs.statSync(`${address}.lock`).size > 0);
    assert.equal(await holder.end(action), status);
    assertReleased(directory);
  });
}

test('G5: the process ends on a signal that the program handles → the socket file is gone', async (t) => {
  const { directory, holder } = await holding(t);
  await holder.ask('exitOnSignal');
  const ended = holder.end('ping');
  holder.signal('SIGTERM');
  assert.equal(await ended, 0);
  assertReleased(directory);
});

test('G5: an exit listener of the program throws, added before ours or after → the socket file is gone all the same', async (t) => {
  const after = await holding(t);
  await after.holder.ask('throwAtExit');
  assert.equal(await after.holder.end('exit'), 7);
  assertReleased(after.directory);

  const directory = temporaryDirectory(t);
  const holder = await Program.start(t, { quiet: true });
  await holder.ask('throwAtExit');
  await holder.ask('listen', { address: `${directory}/app.sock` });
  assert.equal(await holder.end('exit'), 7);
  assertReleased(directory);
});

test('G5: a relative path, then chdir to where others have files of that name → exit removes our own and nothing else', async (t) => {
  const [directory, elsewhere] = [temporaryDirectory(t), temporaryDirectory(t)];
  const stray = net.createServer();
  t.after(() => stray.close());
  await new Promise<void>((listening) => stray.listen(`${elsewhere}/app.sock`, listening));
  fs.writeFileSync(`${elsewhere}/app.sock.lock`, 'text');
  const before = snapshot(elsewhere);
  const holder = await Program.start(t, { cwd: directory });
  const claim = await holder.ask<{ address: string; lockPath: string }>('listen', { address: 'app.sock' });
  assert.deepEqual(claim, { address: `${directory}/app.sock`, lockPath: `${directory}/app.sock.lock` });
  await holder.ask('chdir', { path: elsewhere });
  assert.equal(await greeting(claim.address), String(holder.pid));
  assert.equal(await holder.end('finish'), 0);
  assertReleased(directory);
  assert.deepEqual(snapshot(elsewhere), before);
});

test('G5: a relative path, then chdir, then server.close() → our own socket file is removed and nothing else', async (t) => {
  const [directory, elsewhere] = [temporaryDirectory(t), temporaryDirectory(t)];
  fs.writeFileSync(`${elsewhere}/app.sock`, 'text');
  const before = snapshot(elsewhere);
  const holder = await Program.start(t, { cwd: directory });
  await holder.ask('listen', { address: 'app.sock' });
  await holder.ask('chdir', { path: elsewhere });
  await holder.ask('close', { address: 'app.sock', wait: true });
  assertReleased(directory);
  assert.deepEqual(snapshot(elsewhere), before);
});

test('server.close() while a connection stays open → the claim is free at once, the connection continues', async (t) => {
  const { directory, address, holder } = await holding(t, { keep: true });
  const client = await connected(address);
  t.after(() => client.destroy());
  await holder.ask('close', { address });
  assertReleased(directory);
  const next = await Program.start(t);
  await next.ask('listen', { address });
  assert.equal(await greeting(address), String(next.pid));
  assert.equal(client.destroyed, false);
});

test('G5: a server that drains closes its last connection, and then exits → the socket of its successor stays', async (t) => {
  const { address, holder } = await holding(t, { keep: true });
  const client = await connected(address);
  t.after(() => client.destroy());
  await holder.ask('close', { address });
  const next = await Program.start(t);
  await next.ask('listen', { address });
  const inode = inodeAt(address);
  await holder.ask('endConnections', { address });
  assert.equal(inodeAt(address), inode);
  assert.equal(await holder.end('exit'), 7);
  client.destroy();
  assert.equal(inodeAt(address), inode);
  assert.equal(await greeting(address), String(next.pid));
});

test('listening and releasing → no signal handler is installed, and one exit listener however many addresses', async (t) => {
  const signals = Object.keys(os.constants.signals) as NodeJS.Signals[];
  const listeners = () => signals.map((signal) => process.listenerCount(signal));
  const directory = temporaryDirectory(t);
  const [before, exitBefore] = [listeners(), process.listenerCount('exit')];
  const claims = [];
  for (let i = 0; i < 20; i++) claims.push(await listen(net.createServer(), `${directory}/${i}`));
  assert.deepEqual(listeners(), before);
  assert.equal(process.listenerCount('exit'), exitBefore + 1);
  for (const claim of claims) await claim.release();
  assert.deepEqual(listeners(), before);
  assert.equal(process.listenerCount('exit'), exitBefore + 1);
  t.diagnostic(`${signals.length} signals looked at`);
});

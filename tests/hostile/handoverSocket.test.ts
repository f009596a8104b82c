/**
 * The socket on which a holder hands its claim over, with strangers, liars and silent peers.
 * tests/fuzz covers the messages.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { kernel } from '#dist/kernel/posix.js';
import { failed } from '#dist/kernel/kernel.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';
import { asUser, nobody, visit } from '../peers/clients.js';

const strangersMax = 40;
/** As in src/handover/handoverService.ts. */
const silentMax = 16;
const descriptorsOfEach = 4;

/** A process, as root sees it. */
const descriptors = ({ pid }: Program): number => fs.readdirSync(`/proc/${pid}/fd`).length;

async function holding(t: TestContext, address: string): Promise<{ holder: Program; before: number }> {
  const holder = await Program.start(t, stranger);
  await holder.ask('listen', { address, options: { handover: true } });
  return { holder, before: descriptors(holder) };
}

async function takesOver(t: TestContext, address: string, holder: Program): Promise<void> {
  const next = await Program.start(t, stranger);
  await next.ask('listen', { address, options: { takeover: true } });
  assert.equal(await visit(address, asUser(stranger)), String(next.pid));
  // The old holder has nothing any more: it can end, and the address stays with the new one.
  await holder.kill();
  assert.equal(await visit(address, asUser(stranger)), String(next.pid));
}

test(
  'strangers at the handover socket of an abstract name, to which any user may connect → closed without a word, nothing is kept open, and the same user still takes over',
  asRoot,
  async (t) => {
    // With `.handover` it has to fit, too.
    const address = abstractName().address.replace(/\.{9}$/, '');
    const { holder, before } = await holding(t, address);
    const heard = await Promise.all(
      Array.from({ length: strangersMax }, (_, i) => visit(`${address}.handover`, asUser(i % 2 === 0 ? nobody : secondStranger))),
    );
    assert.deepEqual(new Set(heard), new Set(['']));
    await until(() => descriptors(holder) === before);
    assert.equal(await visit(address, asUser(stranger)), String(holder.pid), 'it is the holder still');
    const thief = await Program.start(t, secondStranger);
    const failure = await thief.refused('listen', { address, options: { takeover: true } });
    assert.equal(failure.code, 'EADDRINUSE');
    await takesOver(t, address, holder);
  },
);

test(
  'strangers at the handover socket of a pathname → the kernel refuses them, in a directory that all may write to as well',
  asRoot,
  async (t) => {
    for (const mode of [0o755, 0o777]) {
      const directory = temporaryDirectory(t, 0o777);
      const address = `${directory}/app.sock`;
      const { holder } = await holding(t, address);
      fs.chmodSync(directory, mode);
      assert.equal(fs.lstatSync(`${address}.handover`).mode & 0o777, 0o600);
      assert.equal(await visit(`${address}.handover`, asUser(nobody)), 'Permission denied');
      fs.chmodSync(directory, 0o777);
      await takesOver(t, address, holder);
    }
  },
);

/** The actions of a peer of the right user, or of root, that is not a new process of ours. */
const rubbish: Readonly<Record<string, (path: string) => Promise<void> | void>> = {
  'a megabyte': (path) => sends(path, 'x'.repeat(1 << 20)),
  'an http request': (path) => sends(path, 'GET / HTTP/1.1\r\n\r\n'),
  'a request in another version': (path) => sends(path, 'reuseaddr 2 request\n'),
  'a request without its end': (path) => sends(path, 'reuseaddr 1 request'),
  'ready, and no request': (path) => sends(path, 'reuseaddr 1 ready\n'),
  'an offer': (path) => sends(path, 'reuseaddr 1 offer 1 2\n'),
  'two hundred descriptors': (path) => sendsDescriptors(path, 'reuseaddr 1 request\n', 200),
  'three descriptors with a request': (path) => sendsDescriptors(path, 'reuseaddr 1 request\n', 3),
  'nothing, and goes': (path) => sends(path, ''),
};

function sends(path: string, text: string): Promise<void> {
  const client = net.connect(path).on('error', () => undefined);
  client.resume().end(text);
  return new Promise((resolve) => client.once('close', () => resolve()));
}

async function sendsDescriptors(path: string, text: string, count: number): Promise<void> {
  const connection = kernel.connect(path);
  assert.ok(!failed(connection));
  const file = fs.openSync('/dev/null', 'r');
  kernel.sendmsg(connection, text, Array<number>(count).fill(file));
  fs.closeSync(file);
  await until(() => kernel.recvmsg(connection, 128, 3) !== 'EAGAIN'); // An end, an error or an offer: not silence.
  kernel.close(connection);
}

test(
  'rubbish of the same user or root at the handover socket → no descriptor is kept, the claim stays, and a newcomer takes over after it',
  asRoot,
  async (t) => {
    const address = `${temporaryDirectory(t, 0o777)}/app.sock`;
    const { holder, before } = await holding(t, address);
    for (const [name, send] of Object.entries(rubbish)) {
      await send(`${address}.handover`);
      await until(() => descriptors(holder) === before);
      assert.equal(await visit(address), String(holder.pid), name);
    }
    t.diagnostic(`${Object.keys(rubbish).length} kinds`);
    await takesOver(t, address, holder);
  },
);

test(
  'silent connections to the handover socket, many of them and indefinitely → their number is bounded, and a newcomer takes over all the same',
  asRoot,
  async (t) => {
    const address = `${temporaryDirectory(t, 0o777)}/app.sock`;
    const { holder, before } = await holding(t, address);
    const silent = Array.from({ length: 100 }, () =>
      net
        .connect(`${address}.handover`)
        .on('error', () => undefined)
        .resume(),
    );
    t.after(() => silent.forEach((client) => client.destroy()));
    await Promise.all(silent.map((client) => once(client, 'connect').catch(() => undefined)));
    // For each peer that it waits for, the holder has the connection, a copy of it, and the
    // descriptor that cancels the wait.
    await until(() => descriptors(holder) - before <= silentMax * descriptorsOfEach);
    t.diagnostic(`${silent.length} silent ones: the holder has at most ${descriptors(holder) - before} more descriptors open`);
    await takesOver(t, address, holder);
  },
);

test(
  'an attacker binds the name of the handover socket, in a directory that all may write to → a newcomer tells it nothing and takes nothing of it',
  asRoot,
  async (t) => {
    const address = `${temporaryDirectory(t, 0o777)}/app.sock`;
    const holder = await Program.start(t, stranger);
    await holder.ask('listen', { address });
    const attacker = await Program.start(t, secondStranger);
    await attacker.ask('listenAndRecord', { address: `${address}.handover` });
    fs.chmodSync(`${address}.handover`, 0o666);
    const newcomer = await Program.start(t, stranger);
    const { code, reason, message } = await newcomer.refused('listen', { address, options: { takeover: true } });
    assert.deepEqual([code, reason], ['EADDRINUSE', 'held']);
    assert.match(message, /same user and root/);
    assert.equal(await visit(address, asUser(stranger)), String(holder.pid));
    assert.deepEqual(
      await attacker.ask('recorded', { address: `${address}.handover` }),
      [''],
      'a peer came, and told it nothing',
    );
    assert.ok(fs.lstatSync(`${address}.handover`).isSocket(), 'it was left alone, as what is live');
  },
);

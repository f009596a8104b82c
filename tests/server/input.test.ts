import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { claim, inspect, listen, SocketAddressError, type ListenOptions, type Reason } from 'reuseaddr';
import { inodeAt, leftOpen, snapshot, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { greeting } from '../support/reach.js';

type Case = readonly [name: string, address: unknown, options: object, code: string, reason: Reason];

/** `DIR` stands for the test's directory. */
const badInput: readonly Case[] = [
  ['an empty address', '', {}, 'EINVAL', 'bad-address'],
  ['a NUL inside a pathname', 'DIR/a\0b', {}, 'EINVAL', 'bad-address'],
  ['a NUL at the end of a pathname', 'DIR/a\0', {}, 'EINVAL', 'bad-address'],
  ['a path that ends in a slash', 'DIR/app.sock/', {}, 'EISDIR', 'bad-address'],
  ['a dot', '.', {}, 'EISDIR', 'bad-address'],
  ['two dots', '..', {}, 'EISDIR', 'bad-address'],
  ['a path that ends in a dot', 'DIR/.', {}, 'EISDIR', 'bad-address'],
  ['a path that ends in two dots', 'DIR/..', {}, 'EISDIR', 'bad-address'],
  ['the root', '/', {}, 'EISDIR', 'bad-address'],
  ['a number', 8080, {}, 'ERR_INVALID_ARG_TYPE', 'bad-address'],
  ['undefined', undefined, {}, 'ERR_INVALID_ARG_TYPE', 'bad-address'],
  ['an object', { path: 'DIR/app.sock' }, {}, 'ERR_INVALID_ARG_TYPE', 'bad-address'],
  ['a mode over 0o777', 'DIR/app.sock', { mode: 0o1600 }, 'EINVAL', 'bad-option'],
  ['a negative mode', 'DIR/app.sock', { mode: -1 }, 'EINVAL', 'bad-option'],
  ['NaN for a mode', 'DIR/app.sock', { mode: Number.NaN }, 'EINVAL', 'bad-option'],
  ['a fraction for a mode', 'DIR/app.sock', { mode: 6.5 }, 'EINVAL', 'bad-option'],
  ['text for a mode', 'DIR/app.sock', { mode: '600' }, 'EINVAL', 'bad-option'],
  ['null for a mode', 'DIR/app.sock', { mode: null }, 'EINVAL', 'bad-option'],
  ['an option that is misspelt', 'DIR/app.sock', { mod: 0o660 }, 'EINVAL', 'bad-option'],
  ['a negative backlog', 'DIR/app.sock', { backlog: -1 }, 'EINVAL', 'bad-option'],
  ['an endless backlog', 'DIR/app.sock', { backlog: Number.POSITIVE_INFINITY }, 'EINVAL', 'bad-option'],
  ['a backlog over 31 bits', 'DIR/app.sock', { backlog: 2 ** 31 }, 'EINVAL', 'bad-option'],
  ['an unknown user', 'DIR/app.sock', { owner: 'nobody-of-this-name' }, 'EINVAL', 'unknown-user'],
  ['an empty user', 'DIR/app.sock', { owner: '' }, 'EINVAL', 'unknown-user'],
  ['an unknown group', 'DIR/app.sock', { group: 'no-group-of-this-name' }, 'EINVAL', 'unknown-group'],
  ['a uid of -1', 'DIR/app.sock', { owner: -1 }, 'EINVAL', 'bad-option'],
  ['a gid that would mean “leave it”', 'DIR/app.sock', { group: 0xffff_ffff }, 'EINVAL', 'bad-option'],
  ['an empty lock path', 'DIR/app.sock', { lockPath: '' }, 'EINVAL', 'bad-option'],
  ['a NUL in the lock path', 'DIR/app.sock', { lockPath: 'DIR/a\0b' }, 'EINVAL', 'bad-option'],
  ['a lock path that ends in a slash', 'DIR/app.sock', { lockPath: 'DIR/' }, 'EINVAL', 'bad-option'],
  ['the lock path is the address', 'DIR/app.sock', { lockPath: 'DIR/app.sock' }, 'EINVAL', 'lock-is-address'],
  [
    'the lock path is the address, spelt otherwise',
    'DIR/app.sock',
    { lockPath: 'DIR/../DIRNAME/./app.sock' },
    'EINVAL',
    'lock-is-address',
  ],
  ['the lock path is the name aside', 'DIR/app.sock', { lockPath: 'DIR/.reuseaddr-aside.app.sock' }, 'EINVAL', 'lock-is-address'],
  ['an abstract name over 107 bytes', `@${'a'.repeat(108)}`, {}, 'ENAMETOOLONG', 'bad-address'],
  ['an abstract name over 107 bytes, not characters', `@${'é'.repeat(54)}`, {}, 'ENAMETOOLONG', 'bad-address'],
  ['an empty abstract name', '@', {}, 'EINVAL', 'bad-address'],
  ['an empty abstract name, in Node’s spelling', '\0', {}, 'EINVAL', 'bad-address'],
  ['an abstract name with a mode', '@reuseaddr-input', { mode: 0o600 }, 'EINVAL', 'bad-option'],
  ['an abstract name with an owner', '@reuseaddr-input', { owner: 0 }, 'EINVAL', 'bad-option'],
  ['an abstract name with a lock path', '@reuseaddr-input', { lockPath: 'DIR/lock' }, 'EINVAL', 'bad-option'],
  ['a last part over 85 bytes on a long path', `DIR/${'d'.repeat(60)}/${'x'.repeat(86)}`, {}, 'ENAMETOOLONG', 'too-long'],
  ['a missing directory', 'DIR/missing/app.sock', {}, 'ENOENT', 'no-directory'],
];

function filledIn<Value>(value: Value, directory: string): Value {
  if (typeof value === 'string') {
    return value.replaceAll('DIRNAME', directory.slice(directory.lastIndexOf('/') + 1)).replaceAll('DIR', directory) as Value;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, filledIn(field, directory)])) as Value;
}

for (const [name, text, options, code, reason] of badInput) {
  test(`bad input, ${name} → ${code} (${reason}), before anything is made`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    fs.mkdirSync(`${directory}/${'d'.repeat(60)}`);
    const before = snapshot(directory);
    const address = filledIn(text, directory) as string;
    const asked = filledIn(options, directory) as ListenOptions;
    const server = net.createServer();
    for (const start of [() => claim(address, asked), () => listen(server, address, asked)]) {
      const error = await start().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof SocketAddressError, String(error));
      assert.deepEqual([error.code, error.reason], [code, reason], error.message);
      assert.match(error.message, /^Cannot listen( on .*)?: .+\.$/u);
      assert.doesNotMatch(error.message, /[\0\n]/, 'a message is one printable line');
    }
    assert.equal(server.listening, false);
    assert.deepEqual(snapshot(directory), before);
    assert.deepEqual(leftOpen(directory), []);
    if (reason === 'bad-address') await assert.rejects(inspect(address), { code, reason });
  });
}

test('bad input, a relative path in a directory that was removed → ENOENT, before anything is made', async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/gone`);
  const program = await Program.start(t, { cwd: `${directory}/gone` });
  fs.rmdirSync(`${directory}/gone`);
  for (const address of ['app.sock', './app.sock', '../app.sock']) {
    assert.equal((await program.refused('listen', { address })).code, 'ENOENT', address);
  }
  assert.deepEqual(fs.readdirSync(directory), []);
});

test('bad input, a server that is listening already, on a port or on a path → refused, and it continues', async (t) => {
  const directory = temporaryDirectory(t);
  const onPort = net.createServer();
  await new Promise<void>((listening) => onPort.listen(0, '127.0.0.1', listening));
  const expected = { code: 'ERR_SERVER_ALREADY_LISTEN', reason: 'already-listening' };
  await assert.rejects(listen(onPort, `${directory}/app.sock`), expected);
  assert.equal(onPort.listening, true);
  onPort.close();
  const onPath = net.createServer((connection) => connection.end('here'));
  const held = await listen(onPath, `${directory}/first`);
  await assert.rejects(listen(onPath, `${directory}/app.sock`), expected);
  assert.equal(await greeting(`${directory}/first`), 'here');
  await held.release();
  assert.deepEqual(fs.readdirSync(directory), ['first.lock']);
});

/** A path of just this length, whose directories are made. */
function pathOfLength(directory: string, bytes: number, name: string): string {
  let path = directory;
  // Made and entered part by part: mkdir(2) would take the whole path too, but this says which part
  // is wrong.
  while (path.length < bytes - name.length - 1) {
    const room = bytes - name.length - 1 - path.length - 1;
    const part = Math.min(room, room > 400 ? 200 : room > 250 ? 100 : room);
    path += `/${'d'.repeat(part)}`;
    fs.mkdirSync(path);
  }
  return `${path}/${name}`;
}

for (const bytes of [107, 108, 109, 300, 1_000, 3_900]) {
  test(
    `a path of ${bytes} bytes → a client connects, a second start is refused, a crash is recovered from`,
    onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      const address = pathOfLength(directory, bytes, 'app.sock');
      assert.equal(Buffer.byteLength(address), bytes);
      const parent = address.slice(0, address.lastIndexOf('/'));
      const crashed = await Program.start(t);
      await crashed.ask('listen', { address });
      const fd = fs.openSync(parent, 'r');
      t.after(() => fs.closeSync(fd));
      const reachable = `/proc/self/fd/${fd}/app.sock`;
      assert.equal(await greeting(reachable), String(crashed.pid));
      await assert.rejects(claim(address), { code: 'EADDRINUSE', reason: 'held' });
      await crashed.kill();
      const server = net.createServer((connection) => connection.end('here'));
      const held = await listen(server, address);
      assert.equal(await greeting(reachable), 'here');
      assert.equal(server.address(), address);
      await held.release();
      assert.deepEqual(fs.readdirSync(parent), ['app.sock.lock']);
    },
  );
}

test('a part over NAME_MAX → ENAMETOOLONG, nothing is made', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  await assert.rejects(claim(`${directory}/${'d'.repeat(256)}/app.sock`), { code: 'ENAMETOOLONG', reason: 'system' });
  await assert.rejects(claim(`${directory}/${'d'.repeat(256)}`), { code: 'ENAMETOOLONG', reason: 'too-long' });
  assert.deepEqual(fs.readdirSync(directory), []);
});

test(
  'an abstract name whose handover name is too long → the message names that name, its length and the limit',
  onLinux,
  async () => {
    const name = `@${'n'.repeat(99)}`;
    await assert.rejects(claim(name, { handover: true }), {
      code: 'ENAMETOOLONG',
      reason: 'too-long',
      message: `Cannot listen on ${name}: the abstract name of its handover socket, ${name}.handover, is 108 bytes long, and at most 107 are possible. Use a shorter name.`,
    });
  },
);

test(
  'a long path whose last part is of 85 bytes → it listens; names of letters beyond ASCII count in bytes',
  onLinux,
  async (t) => {
    const directory = `${temporaryDirectory(t)}/${'d'.repeat(100)}`;
    fs.mkdirSync(directory);
    for (const name of ['x'.repeat(85), `${'é'.repeat(42)}x`]) {
      const held = await claim(`${directory}/${name}`);
      assert.ok(inodeAt(`${directory}/${name}`));
      await held.release();
    }
    await assert.rejects(claim(`${directory}/${'é'.repeat(43)}`), { code: 'ENAMETOOLONG', reason: 'too-long' });
  },
);

test('names that are strange but good → they are claimed under exactly that name', async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['@app', ' ', 'a b', '-', '...', '.hidden', 'new\nline', 'ünï', '💬', 'a'.repeat(60), '%s', '"quoted"']) {
    const held = await claim(`${directory}/${name}`);
    assert.deepEqual(fs.readdirSync(directory).sort(), [name, `${name}.lock`].sort());
    await held.release();
    fs.rmSync(`${directory}/${name}.lock`);
  }
});

test('one address spelt in many ways, through symlinks too → the second start is refused each time', async (t) => {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/real`);
  fs.symlinkSync('real', `${directory}/link`);
  const held = await claim(`${directory}/real/app.sock`);
  for (const spelt of ['link/app.sock', 'real/../real/app.sock', 'link/./app.sock', 'real//app.sock', 'link/../link/app.sock']) {
    await assert.rejects(claim(`${directory}/${spelt}`), { code: 'EADDRINUSE', reason: 'held' }, spelt);
  }
  const here = process.cwd();
  process.chdir(`${directory}/link`);
  t.after(() => process.chdir(here));
  await assert.rejects(claim('app.sock'), { code: 'EADDRINUSE', reason: 'held' });
  await held.release();
});

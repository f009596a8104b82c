import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { test } from 'node:test';
import { claim, inspect, SocketAddressError } from 'reuseaddr';
import type { Refused, Refusal } from '#dist/claim/refusal.js';
import { explain } from '#dist/errors/explain.js';
import { reasons } from '#dist/errors/reasons.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux, ownUser } from '../support/privileges.js';
import { Program } from '../support/program.js';

async function refusal(address: string): Promise<SocketAddressError> {
  const error = await claim(address).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SocketAddressError, String(error));
  return error;
}

test('a held address → the message names pid, command, user, and since when; the fields are Node’s own', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await Program.start(t);
  await holder.ask('listen', { address });
  const error = await refusal(address);
  const user = ownUser();
  const pattern = new RegExp(
    `^Cannot listen on ${address}: process ${holder.pid} \\(node .*holder\\.mjs, user ${user}\\) has held it since \\d\\d:\\d\\d\\. Stop it, or wait for it with { wait: true }\\.$`,
  );
  assert.match(error.message, pattern);
  assert.deepEqual(
    [error.name, error.code, error.errno, error.syscall, error.address, error.reason],
    ['SocketAddressError', 'EADDRINUSE', -os.constants.errno.EADDRINUSE, 'listen', address, 'held'],
  );
  const { pid, uid, user: named, command, since, host } = error.holder!;
  assert.deepEqual(
    [pid, uid, named, host],
    [holder.pid, process.getuid?.(), user === String(process.getuid?.()) ? undefined : user, undefined],
  );
  assert.match(command!, /^node .*holder\.mjs$/);
  assert.ok(since! <= new Date() && since!.getTime() > Date.now() - 3_600_000);
  assert.ok(error instanceof Error && error.stack?.includes('errors/messages.test'));
});

for (const kind of ['pathname', 'abstract name'] as const) {
  test(
    `the holder of a held ${kind} serves handovers → the message says that it can be taken over, until it serves none any more`,
    { skip: kind === 'abstract name' && onLinux.skip },
    async (t) => {
      const short = abstractName().address.replace(/\.{9}$/, ''); // With `.handover` it has to fit, too.
      const address = kind === 'pathname' ? `${temporaryDirectory(t)}/app.sock` : short;
      const serving = await Program.start(t);
      await serving.ask('listen', { address, options: { handover: true } });
      assert.match((await refusal(address)).message, /Stop it, wait .*, or take it over with \{ takeover: true \}\.$/);
      await serving.kill();
      const another = await Program.start(t);
      await another.ask('listen', { address });
      assert.match((await refusal(address)).message, /Stop it, or wait for it with \{ wait: true \}\.$/);
    },
  );
}

test(
  'a stray → the message names its process, found in /proc',
  { skip: process.platform !== 'linux' && 'only Linux' },
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const program = await Program.start(t);
    await program.ask('stray', { address });
    const error = await refusal(address);
    assert.match(
      error.message,
      new RegExp(`process ${program.pid} \\(node .*holder\\.mjs.*\\) listens on ${address} without holding the lock`),
    );
    assert.deepEqual([error.code, error.reason, error.holder?.pid], ['EADDRINUSE', 'stray', program.pid]);
  },
);

test(
  'the socket file of a live holder was removed → the start says so, and so does inspect',
  { skip: process.platform !== 'linux' && 'only Linux' },
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const holder = await Program.start(t);
    await holder.ask('listen', { address });
    fs.unlinkSync(address);
    const error = await refusal(address);
    assert.match(error.message, new RegExp(`process ${holder.pid} .* has held it since .*, but its socket file was removed`));
    assert.deepEqual([error.code, error.reason, error.holder?.pid], ['EADDRINUSE', 'displaced', holder.pid]);
    const { state, reason, holder: inspected } = await inspect(address);
    assert.deepEqual([state, reason, inspected?.pid], ['starting', 'displaced', holder.pid]);
  },
);

test('a lock file whose record lies, is torn, or would write on the terminal → the start continues; no wrong process is named', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const server = net.createServer();
  const held = await claim(address);
  t.after(() => held.release());
  for (const record of [
    '',
    '{"reuseaddr":1,',
    '{"reuseaddr":1,"pid":"x","uid":0,"command":"a","sinceMs":1}\n',
    '{"reuseaddr":1,"pid":-4,"uid":0,"command":"a","sinceMs":1}\n',
    '{"reuseaddr":1,"pid":0,"uid":0,"command":"a","sinceMs":1}\n',
    '{"reuseaddr":1,"pid":4,"uid":0,"command":"a","sinceMs":1e300}\n',
    `{"reuseaddr":1,"pid":4,"uid":0,"command":"${'a'.repeat(5_000)}`,
    '{"reuseaddr":1,"pid":4,"uid":0,"command":"a\\u001b[2J\\nb\\u202ec","sinceMs":1,"host":"h\\u0007"}\n',
  ]) {
    fs.writeFileSync(`${address}.lock`, record);
    const error = await refusal(address);
    assert.deepEqual([error.code, error.reason], ['EADDRINUSE', 'held']);
    assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}\p{Zl}]/u);
    assert.ok(error.message.length < 1_200);
    if (error.holder?.command !== undefined && error.holder.pid !== process.pid) assert.equal(error.holder.command, 'a?[2J?b?c');
  }
  server.close();
});

test('a crashed holder’s record, and another process has the lock → the dead one is not named', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const holder = await Program.start(t);
  await holder.ask('listen', { address });
  const record = fs.readFileSync(`${address}.lock`, 'utf8');
  await holder.kill();
  const held = await claim(address);
  t.after(() => held.release());
  fs.writeFileSync(`${address}.lock`, record);
  assert.notEqual((await refusal(address)).holder?.pid, holder.pid);
});

const everyRefused: Readonly<Record<Refused, true>> = {
  held: true,
  starting: true,
  stray: true,
  displaced: true,
  'other-thread': true,
  'other-type': true,
  'not-a-socket': true,
  'aside-occupied': true,
  'lock-not-a-file': true,
  'lock-is-symlink': true,
  'lock-is-address': true,
  'lock-has-links': true,
  'lock-foreign-owner': true,
  'lock-foreign-content': true,
  'lock-denied': true,
  'lock-unstable': true,
  'no-directory': true,
  'too-long': true,
  'no-proc': true,
  'directory-moved': true,
  unstable: true,
  cancelled: true,
  system: true,
};

test('every reason to refuse → one line that says what happened and to which address, and ends as a sentence', () => {
  for (const refused of Object.keys(everyRefused) as Refused[]) {
    const why: Refusal = { refused, errno: 'EIO', syscall: 'open', path: '/run/a\nb\u001b.sock' };
    const { message, reason, code, errno, syscall } = explain('/run/\0a\nb\u001b.sock', why);
    assert.match(message, /^Cannot listen on \/run\/.*sock: \S.*[.]$/, refused);
    assert.doesNotMatch(message, /[\p{Cc}]|undefined/u, refused);
    const call = 'verdict' in reasons[refused] ? 'listen' : 'open';
    assert.deepEqual([reason, code, errno, syscall], [refused, 'EIO', -5, call]);
  }
});

test('a call that is not permitted → the message says which user may not do what, and where', async (t) => {
  const user = ownUser();
  const messageOf = (syscall: Refusal['syscall'], path: string, errno: 'EACCES' | 'EPERM' = 'EACCES') =>
    explain('app.sock', { refused: 'system', errno, syscall, path }).message;
  assert.match(
    messageOf('open', '/run/app.sock.lock'),
    new RegExp(`^Cannot listen on app\\.sock: user ${user} may not create files in /run\\. `),
  );
  assert.match(messageOf('realpath', '/root/'), new RegExp(`: user ${user} may not search /root, `));
  for (const path of ['/', '/.', '/./']) assert.match(messageOf('realpath', path), /may not search \/, /);
  assert.match(messageOf('realpath', '/a/./b/.c/../.'), /may not search \/a\/b\/\.c\/\.\., /);
  assert.match(messageOf('chown', '/run/app.sock', 'EPERM'), /: only root may give \/run\/app\.sock to another user; /);
  assert.match(
    messageOf('rename', '/run/app.sock', 'EPERM'),
    /may not remove \/run\/app\.sock: .* write permission on \/run and, in a sticky directory/,
  );
  const directory = temporaryDirectory(t);
  if (process.getuid?.() === 0) return;
  fs.chmodSync(directory, 0o500);
  assert.match(
    (await refusal(`${directory}/app.sock`)).message,
    new RegExp(`user ${user} may not create files in ${directory}\\. `),
  );
});

test('a path that cannot be → the message has each path once, and says how long a name may be', async (t) => {
  const directory = temporaryDirectory(t);
  const missing = await refusal(`${directory}/none/app.sock`);
  assert.equal(
    missing.message,
    `Cannot listen on ${directory}/none/app.sock: there is no directory ${directory}/none. Create it first.`,
  );
  fs.writeFileSync(`${directory}/file`, '');
  assert.match(
    (await refusal(`${directory}/file/app.sock`)).message,
    /: a part of \/.*\/file is not a directory\. Correct the path\.$/,
  );
  await assert.rejects(inspect(`${directory}/none/app.sock`), { message: /: there is no directory \/.*\/none\.$/ });
  await assert.rejects(claim(''), {
    message: "Cannot listen on '': the address is empty. Pass a path, or @ and an abstract name.",
  });
  if (process.platform !== 'linux') return;
  const { message } = await refusal(`${directory}/${'x'.repeat(205)}`);
  assert.match(message, /: the file name x+ is 205 bytes long, .* it may have at most 85\. /);
  assert.equal(message.split(directory).length, 2);
});

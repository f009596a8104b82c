import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claim, connect, inspect, listen, SocketAddressError } from 'reuseaddr';
import { explain } from '#dist/errors/explain.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';

const commandLine = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

async function refusal(address: string, options: object = {}): Promise<SocketAddressError> {
  const error = await claim(address, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof SocketAddressError, String(error));
  return error;
}

function inspectByCommand(address: string): string {
  return spawnSync(process.execPath, [commandLine, 'inspect', address], { encoding: 'utf8' }).stdout;
}

/** Stops a process, and waits until it is. */
async function stop({ pid }: { readonly pid: number }): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  while (!/\) T /.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))) await new Promise(setImmediate);
}

test(
  'the holder is stopped → the message and inspect say so, and how to continue it; after that they do not',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const holder = await Program.start(t);
    await holder.ask('listen', { address, options: { backlog: 1 } });
    await stop(holder);
    const { message } = await refusal(address);
    assert.match(message, /has held it since \d\d:\d\d, and is stopped, so it serves no client\. /);
    assert.match(message, new RegExp(` Continue it with kill -CONT ${holder.pid}, end it with kill -KILL, or wait `));
    assert.equal((await inspect(address)).holder?.stopped, true);
    assert.match(inspectByCommand(address), /holder .* since \d\d:\d\d,\s+stopped\n/);
    const full = await fill(t, address);
    assert.match(full.message, /its backlog is full: process \d+ \(.*\) is stopped\. Continue it with kill -CONT \d+\./);
    process.kill(holder.pid, 'SIGCONT');
    await holder.ask('ping');
    assert.doesNotMatch((await refusal(address)).message, /is stopped/);
    assert.equal((await inspect(address)).holder?.stopped, undefined);
  },
);

/** Connects until the backlog is full. */
async function fill(t: TestContext, address: string): Promise<Error> {
  for (let count = 0; count < 100; count++) {
    try {
      const connection = await connect(address, { timeout: 0 });
      t.after(() => connection.destroy());
    } catch (error) {
      return error as Error;
    }
  }
  return assert.fail('the backlog was never full');
}

test('this very process holds the address → the message says so, and advises neither to stop it nor to wait', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(net.createServer(), address);
  t.after(() => held.release());
  const { message } = await refusal(address);
  assert.match(message, new RegExp(`: this very process \\(${process.pid}\\) has held it since `));
  assert.match(message, / Close the server that listens there before you listen again\.$/);
  assert.doesNotMatch(message, /wait|stop/i);
  await assert.rejects(claim(address, { wait: 1 }), {
    message: /the wait for it has ended\. Close the server that listens there before you listen again\.$/,
  });
});

test('something else than a socket is at the path → the message says what; a symbolic link to a live socket is told apart', async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/live.sock`);
  t.after(() => held.release());
  fs.writeFileSync(`${directory}/file`, '');
  fs.mkdirSync(`${directory}/directory`);
  fs.symlinkSync('live.sock', `${directory}/to-live`);
  fs.symlinkSync('file', `${directory}/to-file`);
  fs.symlinkSync('nothing', `${directory}/to-nothing`);
  const live = `a symbolic link to ${directory}/live.sock, where a server listens`;
  for (const [name, what] of [
    ['file', 'a regular file, not a socket'],
    ['directory', 'a directory, not a socket'],
    ['to-live', live],
    ['to-file', `a symbolic link to ${directory}/file, not a socket`],
    ['to-nothing', 'a symbolic link that leads nowhere, not a socket'],
  ] as const) {
    const error = await refusal(`${directory}/${name}`);
    assert.equal(
      error.shortMessage,
      `Cannot listen on ${directory}/${name}: ${directory}/${name} is ${what}. It was left alone.`,
    );
    const advice = what.startsWith('a symbolic link')
      ? 'Use the path that it leads to, or remove the link.'
      : 'Move it away, or choose another path.';
    assert.equal(error.message, `${error.shortMessage} ${advice}`);
  }
  assert.ok(inspectByCommand(`${directory}/to-live`).replaceAll(/\s+/g, ' ').includes(`blocked: it is ${live}`));
});

test('a child has inherited the lock of a program that is gone → the message and inspect name the child', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const program = ['sh', '-c', 'sleep 1000 & exit 0'];
  const run = spawnSync(process.execPath, [commandLine, 'run', '--bind-self', address, '--', ...program], { stdio: 'ignore' });
  assert.equal(run.status, 0);
  const error = await refusal(address);
  const { pid = 0 } = error.holder ?? {};
  t.after(() => pid > 0 && process.kill(pid));
  assert.match(error.message, new RegExp(`: process ${pid} \\(sleep 1000, user \\S+\\) holds it but does not listen`));
  assert.equal((await inspect(address)).holder?.pid, pid);
});

const withTerminals = { skip: asRoot.skip || (!fs.existsSync('/dev/pts') && 'there is no /dev/pts') };

test(
  'a file system without sockets → the message says that, and not that the user lacks a permission',
  withTerminals,
  async (t) => {
    const { message, code } = await refusal('/dev/pts/app.sock', { lockPath: `${temporaryDirectory(t)}/lock` });
    assert.equal(code, 'EPERM');
    assert.match(
      message,
      /the file system of \/dev\/pts has no sockets \(bind failed with EPERM\)\. Choose a directory on another/,
    );
  },
);

test('a lock file that is immutable → the message says how to take that away; one of another user → whose it is', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock.lock`;
  fs.writeFileSync(path, '');
  const denied = (errno: 'EACCES' | 'EPERM'): string =>
    explain('app.sock', { refused: 'lock-denied', errno, syscall: 'openat', path }).message;
  assert.match(denied('EPERM'), new RegExp(`is immutable or append-only .* Remove that attribute with chattr -ia ${path}\\.$`));
  assert.match(
    denied('EACCES'),
    /may not open the lock file .* it belongs to user \S+\. Remove \S+ while no program runs there \(the owner of its directory may do so\), run as that user, or choose another address\.$/,
  );
});

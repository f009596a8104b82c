import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim, connect } from 'reuseaddr';
import { socketTypes } from '#dist/address/socketType.js';
import { addon } from '#dist/kernel/addon.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { needs } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { commandLine, echoing } from '../run/running.js';

const withPython = { skip: onLinux.skip || needs('python3').skip } as const;

/** Runs the command with this input. */
function ask(args: readonly string[], input: string | Buffer): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [commandLine, 'connect', ...args], { input, encoding: 'utf8', timeout: 20_000 });
}

async function echoServer(t: TestContext): Promise<string> {
  const address = `${temporaryDirectory(t)}/echo.sock`;
  const running = echoing(t, address);
  await running.line(/is ready\.$/);
  return address;
}

test('connect --type=datagram → each line is a message, and an empty line is none', onLinux, async (t) => {
  for (const address of [`${temporaryDirectory(t)}/log.sock`, abstractName().address]) {
    const held = await claim(address, { type: 'datagram' });
    t.after(() => held.release());
    const { status, stdout, stderr } = ask(['--type=datagram', address], 'one\n\ntwo words\nlast');
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
    const read = [1, 2, 3].map(() => kernel.recvmsg(held.fd, 100, 0));
    assert.deepEqual(
      read.map((message) => typeof message === 'object' && message.text),
      ['one', 'two words', 'last'],
    );
    assert.equal(kernel.recvmsg(held.fd, 100, 0), 'EAGAIN');
  }
});

test('a line that is not text, or has other separators → its bytes arrive as they are', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const held = await claim(address, { type: 'datagram' });
  t.after(() => held.release());
  const lines = ['\xff\xfe\0', 'one\rtwo', '\xe2\x80\xa8', 'crlf', 'x'.repeat(100_000), 'end'];
  const input = Buffer.from(lines.join('\n').replace('crlf', 'crlf\r'), 'latin1');
  assert.equal(ask(['--type=datagram', address], input).status, 0);
  const room = Buffer.alloc(200_000);
  for (const line of lines) assert.equal(room.subarray(0, fs.readSync(held.fd, room)).toString('latin1'), line);
  assert.equal(kernel.recvmsg(held.fd, 100, 0), 'EAGAIN');
});

for (const type of ['datagram', 'seqpacket'] as const)
  test(`a ${type} peer that does not answer, and a line that is too long → an error, and the end`, onLinux, async (t) => {
    const address = `${temporaryDirectory(t)}/silent.sock`;
    const held = await claim(address, { type });
    t.after(() => held.release());
    const { status, stderr } = ask([`--type=${type}`, address], Buffer.alloc(4_000_000, 'x'));
    assert.match(stderr, /broke: EMSGSIZE/);
    assert.equal(status, 1);
  });

test(
  'connect --type=seqpacket → each line is a message, and each answer a line; it ends when the server has closed',
  withPython,
  async (t) => {
    const address = await echoServer(t);
    const { status, stdout, stderr } = ask(['--type=seqpacket', address], 'one\ntwo words\nlast');
    assert.deepEqual([status, stdout, stderr], [0, 'one\ntwo words\nlast\n', '']);
  },
);

test('the reader of the answers is gone → the command ends', withPython, async (t) => {
  const address = await echoServer(t);
  const child = spawn(process.execPath, [commandLine, 'connect', '--type=seqpacket', address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  child.stdin.write('one\n');
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stdin.on('error', () => undefined);
  child.stdin.write('two\n');
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.equal(signal, null, String(status));
});

test('a socket of another type, or none, is there → the message says which', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const abstract = abstractName().address;
  for (const held of socketTypes) {
    for (const address of [`${directory}/${held}.sock`, `${abstract.slice(0, -9)}${held}`]) {
      const claimed = await claim(address, { type: held });
      for (const asked of socketTypes.filter((type) => type !== held)) {
        const error = new RegExp(`: it is a ${held} socket, not a ${asked}\\. Use reuseaddr connect --type=${held}, or`);
        if (asked === 'stream')
          await assert.rejects(connect(address, { timeout: 0 }), { code: 'EPROTOTYPE', reason: 'not-a-stream', message: error });
        const { status, stderr } = ask([`--type=${asked}`, address], '');
        assert.match(stderr, error);
        assert.equal(status, 1);
      }
      await claimed.release();
    }
  }
  const { status, stderr } = ask(['--type=datagram', `${directory}/none.sock`], '');
  assert.match(stderr, /no process listens there/);
  assert.equal(status, 1);
  assert.equal(ask(['--type=none', `${directory}/none.sock`], '').status, 2);
});

test('a datagram socket that is connected → the message says that it takes datagrams from one socket', onLinux, (t) => {
  const address = `${temporaryDirectory(t)}/connected.sock`;
  const fd = kernel.socket('datagram') as number;
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, address), 0);
  assert.equal(addon().connect(fd, address), 0, 'to itself');
  const { status, stderr } = ask(['--type=datagram', address], 'text');
  assert.match(stderr, /: it is connected to one socket and takes datagrams from no other, or a security module/);
  assert.equal(status, 1);
});

test('connect --wait --type=datagram, and the receiver starts later → the message arrives', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/log.sock`;
  const child = spawn(process.execPath, [commandLine, 'connect', '--wait', '--type=datagram', address], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  child.stdin.end('late\n');
  const exited = once(child, 'exit');
  const held = await claim(address, { type: 'datagram' });
  t.after(() => held.release());
  assert.deepEqual(await exited, [0, null]);
  assert.deepEqual(kernel.recvmsg(held.fd, 100, 0), { text: 'late', fds: [] });
});

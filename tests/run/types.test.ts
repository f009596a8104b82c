import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { claim, inspect } from 'reuseaddr';
import { failed } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { needs } from '../support/commands.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { receivers, replaceReceivers } from './datagrams.js';
import { commandLine, echoing, gone, program, Running } from './running.js';

const withPython = { skip: onLinux.skip || needs('python3').skip } as const;

// 20 replacements: tests/long/types.test.ts.
for (const receiver of Object.keys(receivers) as (keyof typeof receivers)[])
  test(
    `a receiver ${receiver} is replaced under 1,000 datagrams a second → none is lost, and none is read twice`,
    withPython,
    async (t) => {
      await replaceReceivers(t, receiver, 3);
    },
  );

test(
  'the program of a datagram socket is down → messages wait, and the next start reads them in their order',
  withPython,
  async (t) => {
    const directory = temporaryDirectory(t);
    const [address, file] = [`${directory}/log.sock`, `${directory}/log`];
    fs.writeFileSync(file, '');
    const args = ['--verbose', '--restart=always', '--type=datagram', address, '--', ...receivers['in Python'](address, file)];
    const running = new Running(t, args);
    const ready = async (): Promise<number> => Number((await running.line(/^reuseaddr: Process (\d+) is ready\.$/))[1]);
    const pid = await ready();
    const fd = kernel.connect(address, 'datagram') as number;
    t.after(() => kernel.close(fd));
    process.kill(pid, 'SIGSTOP');
    for (const text of ['a', 'b', 'c']) kernel.sendmsg(fd, text, []);
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    await ready();
    await until(() => fs.readFileSync(file, 'utf8') === 'a\nb\nc\n');
    assert.equal(await running.stop(), 0);
  },
);

test(
  'a seqpacket server is replaced while it has a connection → that one ends with the old instance, new ones reach the next',
  withPython,
  async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/echo.sock`;
    const running = echoing(t, address);
    const ready = async (): Promise<number> => Number((await running.line(/^reuseaddr: Process (\d+) is ready\.$/))[1]);
    const pid = await ready();
    assert.deepEqual([(await inspect(address)).type, (await inspect(address)).state], ['seqpacket', 'listening']);
    const echo = async (fd: number, text: string): Promise<void> => {
      assert.equal(kernel.sendmsg(fd, text, []), text.length);
      let answer = kernel.recvmsg(fd, 100, 0);
      while (answer === 'EAGAIN') {
        await new Promise((resolve) => setTimeout(resolve, 1));
        answer = kernel.recvmsg(fd, 100, 0);
      }
      assert.deepEqual(answer, { text, fds: [] });
    };
    const old = kernel.connect(address, 'seqpacket') as number;
    t.after(() => kernel.close(old));
    await echo(old, 'to the old one');
    running.signal('SIGHUP');
    assert.notEqual(await ready(), pid);
    await echo(old, 'still to the old one');
    kernel.close(old);
    // Until it has had SIGTERM, the old one may still accept a connection.
    await gone(pid);
    const next = kernel.connect(address, 'seqpacket') as number;
    t.after(() => kernel.close(next));
    await echo(next, 'to the next one');
    kernel.close(next);
    assert.equal(await running.stop(), 0);
  },
);

test('one run after another takes a datagram socket over → no message is lost', withPython, async (t) => {
  const directory = temporaryDirectory(t);
  const [address, file] = [`${directory}/log.sock`, `${directory}/log`];
  fs.writeFileSync(file, '');
  const start = async (): Promise<Running> => {
    const args = ['--verbose', '--type=datagram', '--takeover', '--handover', address, '--'];
    const running = new Running(t, [...args, ...receivers['in Python'](address, file)]);
    await running.line(/is ready\.$/);
    return running;
  };
  const first = await start();
  const fd = kernel.connect(address, 'datagram');
  assert.ok(!failed(fd));
  t.after(() => kernel.close(fd));
  kernel.sendmsg(fd, 'one', []);
  const second = await start();
  kernel.sendmsg(fd, 'two', []);
  assert.equal(await first.exited, 0);
  kernel.sendmsg(fd, 'three', []);
  await until(() => fs.readFileSync(file, 'utf8').split('\n').length === 4);
  assert.deepEqual(
    fs
      .readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .toSorted((a, b) => a.localeCompare(b)),
    ['one', 'three', 'two'],
  );
  assert.equal(await second.stop(), 0);
});

test(
  'a program binds a datagram socket by itself, and is killed → run removes the file, and the program binds again',
  withPython,
  async (t) => {
    const directory = temporaryDirectory(t);
    const [address, file] = [`${directory}/log.sock`, `${directory}/log`];
    fs.writeFileSync(file, '');
    const command = ['python3', program('bindsDatagram.py'), address, file];
    const running = new Running(t, ['--bind-self', '--restart=always', address, '--', ...command]);
    const send = (text: string): void => {
      const fd = kernel.connect(address, 'datagram');
      assert.ok(!failed(fd), String(fd));
      assert.equal(kernel.sendmsg(fd, text, []), text.length);
      kernel.close(fd);
    };
    const pid = await running.serving();
    send('one');
    await until(() => fs.readFileSync(file, 'utf8') === 'one\n');
    process.kill(pid, 'SIGKILL');
    await running.serving();
    send('two');
    await until(() => fs.readFileSync(file, 'utf8') === 'one\ntwo\n');
    await assert.rejects(claim(address, { type: 'datagram' }), { code: 'EADDRINUSE', reason: 'held' });
    running.signal('SIGTERM');
    await running.exited;
    const next = await claim(address, { type: 'datagram' });
    await next.release();
  },
);

for (const [where, wrapper] of [
  ['', []],
  [' below a wrapper', ['sh', '-c', '"$@"; exit $?', 'sh']],
] as const)
  test(`a program${where} listens with a stream, and run has a datagram socket → it is told so`, onLinux, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const command = [...wrapper, process.execPath, program('server.mjs'), address];
    const running = new Running(t, ['--type=datagram', address, '--', ...command]);
    await running.line(/this process was given a socket of another type/);
    assert.equal(await running.exited, 1);
  });

test('a program below a wrapper claims the abstract name of run, for another type → it has that address', onLinux, async (t) => {
  const { address } = abstractName();
  const script = `import('${import.meta.resolve('reuseaddr')}').then(async ({ claim }) => {
    const { inherited } = (await claim('${address}', { type: 'seqpacket' })).toJSON();
    console.log('inherited', inherited);
    process.exit();
  });`;
  const running = new Running(t, [
    '--type=datagram',
    address,
    '--',
    'sh',
    '-c',
    '"$@"; exit $?',
    'sh',
    process.execPath,
    '-e',
    script,
  ]);
  await running.line(/^inherited false$/);
  assert.equal(await running.exited, 0);
});

for (const [what, args, message] of [
  ['an unknown type', ['--type=dgram', 'ADDRESS'], /--type takes stream, datagram or seqpacket, not 'dgram'/],
  [
    'a program that binds by itself',
    ['--type=datagram', '--bind-self', 'ADDRESS'],
    /--type is for a socket that reuseaddr binds/,
  ],
  ['a backlog without connections', ['--type=datagram', '--backlog=3', 'ADDRESS'], /--backlog is for connections/],
] as const)
  test(`run with ${what} → wrong usage, and nothing is made`, (t) => {
    const directory = temporaryDirectory(t);
    const given = args.map((word) => (word === 'ADDRESS' ? `${directory}/app.sock` : word));
    const { status, stderr } = spawnSync(process.execPath, [commandLine, 'run', ...given, '--', 'true'], { encoding: 'utf8' });
    assert.match(stderr, message);
    assert.equal(status, 2);
    assert.deepEqual(fs.readdirSync(directory), []);
  });

/** Exit status, signals and options of `reuseaddr run`. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { SocketAddressError } from 'reuseaddr';
import { readArguments } from '#dist/cli/arguments.js';
import { UsageError } from '#dist/cli/command.js';
import { command } from '#dist/cli/runCommand.js';
import { leaveStale } from '../cli/support.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { queuedConnections } from '../support/reach.js';
import { commandLine, exists, gone, kill, program as fixture, Running } from './running.js';

// execvp(3) reports EACCES if this user may not search a directory of PATH.
process.env['PATH'] = [dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter);

function runOnce(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [commandLine, 'run', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const ends = [
  { name: 'ends with 0', command: ['true'], status: 0 },
  { name: 'ends with 7', command: ['sh', '-c', 'exit 7'], status: 7 },
  { name: 'is killed by SIGKILL', command: ['sh', '-c', 'kill -9 $$'], status: 137 },
  { name: 'is killed by SIGTERM', command: ['sh', '-c', 'kill $$'], status: 143 },
  { name: 'does not exist', command: ['/nonexistent/program'], status: 127 },
  { name: 'is not in PATH', command: ['no-such-program'], status: 127 },
  { name: 'cannot be executed', command: ['/etc/passwd'], status: 126 },
  { name: 'is a directory', command: ['/'], status: 126 },
] as const;
for (const { name, command: program, status } of ends) {
  test(`the program ${name} → exit status ${status}, with the socket and with --bind-self`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    const runs = [[`${directory}/a`], ['--bind-self', `${directory}/b`]].map(
      (args) => new Running(t, [...args, '--', ...program]),
    );
    assert.deepEqual(await Promise.all(runs.map(({ exited }) => exited)), [status, status]);
    assert.deepEqual(
      fs.readdirSync(directory).filter((file) => !file.endsWith('.lock')),
      [],
    );
  });
}

const losses = [
  {
    name: 'the socket file is removed, as some programs do at their end',
    lose: (path: string) => fs.unlinkSync(path),
    said: /^reuseaddr: The program or another process has removed .*: no new client reaches the program\. Restart run /,
  },
  {
    name: 'another socket takes the name',
    lose: (path: string) => {
      leaveStale(`${path}.new`);
      fs.renameSync(`${path}.new`, path);
    },
    said: /^reuseaddr: The program or another process has replaced .*: no new client reaches the program\. Restart run /,
  },
  {
    name: 'the lock file is removed',
    lose: (path: string) => fs.unlinkSync(`${path}.lock`),
    said: /^reuseaddr: Another process has removed or replaced the lock file .*: another process may claim .* now\.$/,
  },
];
for (const { name, lose, said } of losses) {
  test(`${name} → a message says so, and the program is left running`, onLinux, async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, [path, '--', 'sh', '-c', 'echo serving $$; exec sleep 1000']);
    const pid = await running.serving();
    lose(path);
    await running.line(said);
    assert.ok(exists(pid));
    assert.equal(await running.stop(), 143);
  });
}

const wrong = [
  [],
  ['A'],
  ['--mode=9', 'A', '--', 'true'],
  ['--mode=1777', 'A', '--', 'true'],
  ['--backlog=-1', 'A', '--', 'true'],
  ['--grace', 'A', '--', 'true'],
  ['--grace=x', 'A', '--', 'true'],
  ['--grace=1e3', 'A', '--', 'true'],
  ['--grace=3000000', 'A', '--', 'true'],
  ['--ready-after=2', '--ready-within=1', 'A', '--', 'true'],
  ['--instances=0', 'A', '--', 'true'],
  ['--instances=1025', 'A', '--', 'true'],
  ['--wait=soon', 'A', '--', 'true'],
  ['--restart=sometimes', 'A', '--', 'true'],
  ['--bind-self', '--mode=600', 'A', '--', 'true'],
  ['--bind-self', '--takeover', 'A', '--', 'true'],
  ['--bind-self', '@a', '--', 'true'],
  ['--no-such-option', 'A', '--', 'true'],
  ['A', '--mode=600', '--', 'true'],
  ['', '--', 'true'],
];
test('wrong options → they are refused, exit status 2, and nothing is touched', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const terminal = { print: () => {}, complain: () => {}, style: (_: unknown, text: string) => text, columns: undefined };
  for (const args of wrong) {
    const given = args.map((arg) => (arg === 'A' ? `${directory}/a` : arg));
    const refused = (async () => await command.run({ ...readArguments(command, given), terminal, commands: {} }))();
    await assert.rejects(
      refused,
      (error: SocketAddressError) => {
        return error instanceof UsageError || ['bad-option', 'bad-address'].includes(error.reason);
      },
      args.join(' '),
    );
  }
  assert.equal(runOnce('--mode=9', `${directory}/a`, '--', 'true').status, 2);
  assert.equal(runOnce('--bind-self', '@a', '--', 'true').status, 2);
  assert.deepEqual(fs.readdirSync(directory), []);
  // Longer than --ready-within is by default.
  assert.equal(runOnce('--ready-after=90', `${directory}/a`, '--', 'true').status, 0);
  t.diagnostic(`${wrong.length} wrong command lines`);
});

test("the program has options of the same names → they are the program's, with or without --", onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const echo = [process.execPath, '-p', 'process.argv.slice(1).join()', 'a', '--wait', '--help', '--', '--takeover'];
  assert.equal(runOnce(`${directory}/a`, '--', ...echo).stdout, 'a,--wait,--help,--,--takeover\n');
  assert.equal(runOnce(`${directory}/a`, ...echo).stdout, 'a,--wait,--help,--,--takeover\n');
});

test(
  'the environment → what it was, and what sd_listen_fds(3) says; names that a shell cannot have come through',
  onLinux,
  (t) => {
    const directory = temporaryDirectory(t);
    const print = 'console.log(JSON.stringify({ ...process.env, pid: process.pid }))';
    const env = { PATH: process.env['PATH'], 'odd.name': 'a "b"\n$c', LISTEN_PID: '1', LISTEN_FDS: '9', REUSEADDR_X: '1' };
    const child = spawnSync(process.execPath, [commandLine, 'run', `${directory}/a`, '--', process.execPath, '-e', print], {
      env,
      encoding: 'utf8',
    });
    const { pid, LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, ...rest } = JSON.parse(child.stdout) as Record<string, string>;
    assert.deepEqual(
      { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES },
      { LISTEN_PID: String(pid), LISTEN_FDS: '1', LISTEN_FDNAMES: 'reuseaddr' },
    );
    assert.equal(rest['odd.name'], env['odd.name']);
    assert.equal(rest['REUSEADDR_X'], '1');
  },
);

test('--mode, --group, --backlog, --lock-path → the socket has them, and the lock file is there', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const group = fs.statSync(directory).gid;
  const options = ['--mode=640', `--group=${group}`, '--backlog=5', `--lock-path=${directory}/lock`];
  const running = new Running(t, [...options, `${directory}/a`, '--', 'sh', '-c', 'echo serving $$; exec sleep 1000']);
  await running.serving();
  const { mode, gid } = fs.lstatSync(`${directory}/a`);
  assert.deepEqual([mode & 0o777, gid], [0o640, group]);
  assert.equal(await queuedConnections(`${directory}/a`, 10), 6);
  assert.deepEqual(fs.readdirSync(directory).sort(), ['a', 'lock']);
  assert.equal(await running.stop(), 143);
  assert.deepEqual(fs.readdirSync(directory), ['lock']);
});

test(
  'signals → SIGUSR1, SIGUSR2, SIGINT, SIGQUIT and SIGTERM reach the program, and its status comes out',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/a`;
    const print = `for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT', 'SIGTERM'])
    process.on(signal, () => { console.log('got', signal); if (signal === 'SIGTERM') process.exit(9); });
    setInterval(() => {}, 1000); console.log('serving', process.pid);`;
    const running = new Running(t, ['--restart=always', path, '--', process.execPath, '-e', print]);
    await running.serving();
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const) {
      running.signal(signal);
      await running.line(new RegExp(`^got ${signal}$`));
    }
    assert.equal(await running.exited, 9);
  },
);

test(
  'the program ends by a signal that we pass on → 128 and its number, even where it would be started again',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const statuses = [
      ['SIGTERM', 143],
      ['SIGINT', 130],
      ['SIGQUIT', 131],
    ] as const;
    const sleeps = ['sh', '-c', 'echo serving $$; exec sleep 1000'];
    await Promise.all(
      statuses.map(async ([signal, status]) => {
        const running = new Running(t, ['--restart=always', `${directory}/${signal}`, '--', ...sleeps]);
        await running.serving();
        running.signal(signal);
        assert.equal(await running.exited, status);
      }),
    );
  },
);

test('a process holds the address → exit status 3, and the message names it', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const running = new Running(t, [path, '--', process.execPath, fixture('server.mjs'), path]);
  await running.serving();
  for (const options of [[], ['--bind-self']]) {
    const { status, stderr } = runOnce(...options, path, '--', 'true');
    assert.equal(status, 3);
    assert.match(
      stderr,
      new RegExp(
        `Cannot listen on .*: process ${running.pid} \\(node .*server\\.mjs.*\\) has held it since .* Stop it, or wait for it with --wait\\.\n$`,
      ),
    );
  }
  assert.equal(runOnce('--wait=0.1', path, '--', 'true').status, 3);
  assert.equal(runOnce('--takeover=0.1', path, '--', 'true').status, 3);
});

test('the holder hands over → --takeover is advised, but not with --bind-self, which cannot', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, ['--handover', path, '--', process.execPath, fixture('plain.mjs')]);
  await running.serving();
  assert.match(runOnce(path, '--', 'true').stderr, / --wait, or take it over with --takeover\.\n$/);
  assert.match(runOnce('--bind-self', path, '--', 'true').stderr, / Stop it, or wait for it with --wait\.\n$/);
});

/** A server of plain Node, without the lock, that is bound by this path in this directory. */
async function stray(t: TestContext, cwd: string, path: string): Promise<number> {
  const listen = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('listening'))`;
  const child = spawn(process.execPath, ['-e', listen], { cwd, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

test('a stray was bound by a relative path → it is named, and its pid', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const pid = await stray(t, directory, 'app.sock');
  for (const options of [[], ['--bind-self'], ['--wait=0.1']]) {
    const { status, stderr } = runOnce(...options, `${directory}/app.sock`, '--', 'true');
    assert.equal(status, 3);
    assert.match(stderr, new RegExp(`process ${pid} \\(`));
  }
});

test(
  "another user's live server, with and without the lock → exit status 3; dead, or only locked → 1",
  { skip: onLinux.skip || asRoot.skip },
  async (t) => {
    const directory = temporaryDirectory(t);
    fs.chmodSync(directory, 0o1777);
    const start = (...args: readonly string[]) => {
      const { status, stderr } = spawnSync(process.execPath, [commandLine, 'run', ...args, '--', 'true'], {
        ...stranger,
        encoding: 'utf8',
      });
      return { status, stderr };
    };
    const pid = await stray(t, directory, 'a');
    fs.chmodSync(`${directory}/a`, 0o600);
    for (const options of [[], ['--bind-self'], ['--wait=0.1'], ['--bind-self', '--wait=0.1']]) {
      assert.deepEqual([options, start(...options, `${directory}/a`).status], [options, 3]);
    }
    kill(pid, 'SIGKILL');
    await gone(pid);
    const dead = start(`${directory}/a`);
    assert.equal(dead.status, 1);
    assert.match(dead.stderr, /which belongs to user root, and so cannot tell whether a server still has it\./);

    const running = new Running(t, [`${directory}/b`, '--', 'sh', '-c', 'echo serving $$; exec sleep 1000']);
    await running.serving();
    assert.equal(start(`${directory}/b`).status, 3);
    await running.stop();
    assert.equal(start(`${directory}/b`).status, 1);
  },
);

test('-v → it reports success; without it nothing', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/a`;
  const sleeps = ['--ready-after=0.1', path, '--', 'sh', '-c', 'echo serving $$; exec sleep 1000'];
  const verbose = new Running(t, ['-v', ...sleeps]);
  const pid = await verbose.serving();
  await verbose.line(new RegExp(`^reuseaddr: Process ${pid} is ready\\.$`));
  const said = verbose.lines.filter((line) => line.startsWith('reuseaddr: '));
  assert.deepEqual(said, [
    `reuseaddr: Listening on ${path}.`,
    `reuseaddr: Process ${pid} was started.`,
    `reuseaddr: Process ${pid} is ready.`,
  ]);
  await verbose.stop();
  const quiet = new Running(t, sleeps);
  const quietPid = await quiet.serving();
  await quiet.stop();
  assert.deepEqual(quiet.lines, [`serving ${quietPid}`]);
  const binds = runOnce('--verbose', '--bind-self', path, '--', 'true').stderr;
  assert.match(binds, /^reuseaddr: Locked .*\/a\.lock; the program binds .*\/a\.\nreuseaddr: Process \d+ was started\.\n$/);
});

test('a name with a line break in a message → the message is one line of the log all the same', onLinux, (t) => {
  const directory = `${temporaryDirectory(t)}/two\nlines`;
  fs.mkdirSync(directory);
  const script = 'kill -9 $$';
  for (const options of [
    ['-v', '--restart=never'],
    ['-v', '--bind-self'],
  ]) {
    const { stderr } = runOnce(...options, `${directory}/a`, '--', 'sh', '-c', script);
    assert.notEqual(stderr, '');
    for (const line of stderr.trimEnd().split('\n')) assert.match(line, /^reuseaddr: .*\.$/);
  }
  const { stderr } = runOnce(`${directory}/a`, '--', '/no\nsuch');
  assert.match(stderr, /^reuseaddr: .*\n$/);
});

test('on-failure: the program fails twice and then ends with 0 → so does run', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const script = `echo x >>${directory}/count; test $(wc -l <${directory}/count) -eq 3`;
  assert.equal(runOnce('--restart=on-failure', `${directory}/a`, '--', 'sh', '-c', script).status, 0);
  assert.equal(fs.readFileSync(`${directory}/count`, 'utf8'), 'x\nx\nx\n');
});

/**
 * Which processes `reuseaddr run` passes its socket to: those below its program, one at a time, and
 * no other.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { connect, listen } from 'reuseaddr';
import { needs } from '../support/commands.js';
import { leaveStale } from '../cli/support.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, secondStranger, stranger, withNamespaces } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { askLine } from './ask.js';
import { commandLine, kill, program, Running } from './running.js';

const node = process.execPath;
const register = import.meta.resolve('reuseaddr/register');

/**
 * A run whose program is a shell that starts the commands that the test writes to a FIFO, each next
 * to the others.
 */
class Shell {
  readonly path: string;
  readonly running: Running;
  readonly #fifo: string;

  constructor(t: TestContext, options: readonly string[] = []) {
    const directory = temporaryDirectory(t);
    this.path = join(directory, 'app.sock');
    this.#fifo = join(directory, 'commands');
    assert.equal(spawnSync('mkfifo', [this.#fifo]).status, 0);
    const script = 'echo name $REUSEADDR_RUN; exec 4<>"$1"; while read -r line <&4; do sh -c "exec $line" 4<&- & done';
    this.running = new Running(t, [...options, this.path, '--', 'sh', '-c', script, 'sh', this.#fifo]);
  }

  /** The value of REUSEADDR_RUN. */
  async name(): Promise<string> {
    return (await this.running.line(/^name (\S+)$/))[1] ?? '';
  }

  async run(...command: readonly string[]): Promise<void> {
    await fs.promises.appendFile(this.#fifo, `${command.map((word) => `'${word}'`).join(' ')}\n`);
  }

  /** Runs a server with these options of listen(). */
  async serve(options: object = {}): Promise<void> {
    await this.run(node, program('wrapped.mjs'), this.path, JSON.stringify(options));
  }

  async refused(): Promise<string> {
    return (await this.running.line(/^refused (.*)$|^serving \d+$/))[1] ?? 'serves';
  }

  /** Sends a line to the server, and gives its pid. */
  async tell(line: string): Promise<void> {
    const client = net.connect(this.path).resume();
    client.write(`${line}\n`);
    await once(client, 'end');
    client.destroy();
  }
}

test('a second process of the program → refused, with the pid of the first', onLinux, async (t) => {
  const shell = new Shell(t);
  await shell.serve();
  const first = await shell.running.serving();
  await shell.serve();
  assert.match(
    await shell.refused(),
    new RegExp(
      `^held \\| Cannot listen on .*/app\\.sock: another process of this program, process ${first} \\(.*\\), has the socket of reuseaddr run\\. ` +
        'Listen in one process of the program, or wait for it with \\{ wait: true \\}\\.$',
    ),
  );
  await shell.run(node, '--import', register, program('plain.mjs'), shell.path);
  await shell.running.line(new RegExp(`Another process of this program, process ${first} `));
  assert.equal(await askLine(shell.path), first);
});

test('the first process ends, in any way → the one that waits has the socket, and then the next', onLinux, async (t) => {
  const shell = new Shell(t, ['--handover']);
  await shell.serve();
  const first = await shell.running.serving();
  await shell.serve({ takeover: true });
  assert.match(await shell.refused(), new RegExp(`another process of this program, process ${first} `));
  await shell.serve({ wait: true, takeover: true });
  kill(first, 'SIGKILL');
  const second = await shell.running.serving();
  assert.notEqual(second, first);
  assert.equal(await askLine(shell.path), second);
  assert.doesNotMatch(shell.running.lines.join('\n'), /handed over/);
  kill(second, 'SIGTERM');
  await shell.running.line(/has had SIGTERM/);
  await shell.serve({ wait: true });
  assert.equal(await shell.running.serving(), await askLine(shell.path));
});

test(
  'a program closes and listens again, or listens twice → served again; the second is told that this process has it',
  onLinux,
  async (t) => {
    for (const direct of [true, false]) {
      const directory = temporaryDirectory(t);
      const path = join(directory, 'app.sock');
      const command = [node, program('wrapped.mjs'), path];
      const running = new Running(t, [path, '--', ...(direct ? command : ['sh', '-c', '"$@"; exit', 'sh', ...command])]);
      const pid = await running.serving();
      // Only a socket that it asks for comes over a connection.
      const sockets = openSockets(pid) + (direct ? 1 : 0);
      for (let time = 0; time < 2; time++) {
        assert.equal(await tellLine(path, 'again'), pid);
        assert.equal(await running.serving(), pid);
      }
      // The connections over which it was passed the socket before were closed.
      await until(() => openSockets(pid) === sockets);
      // A child is not given a second one: it does not find the variable.
      await tellLine(path, 'child');
      await running.line(/^refused held \| .*, and this process, which it started, could not ask it/);
      await tellLine(path, 'second');
      const [, said] = await running.line(/^second: (.*)$/);
      assert.match(
        String(said),
        new RegExp(`^held \\| .*: this very process \\(${pid}\\) holds it\\. Close the server`),
        String(direct),
      );
      assert.equal(await askLine(path), pid);
    }
  },
);

async function tellLine(path: string, line: string): Promise<number> {
  const client = net.connect(path).setEncoding('utf8');
  client.write(`${line}\n`);
  const [said] = (await once(client, 'data')) as [string];
  client.destroy();
  return Number.parseInt(said, 10);
}

/** A process that is not below the program. */
function outside(
  t: TestContext,
  args: readonly string[],
  options: object = {},
): { readonly lines: AsyncIterator<string>; readonly pid: number } {
  const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  t.after(() => child.kill('SIGKILL'));
  return { lines: createInterface(child.stdout)[Symbol.asyncIterator](), pid: child.pid ?? 0 };
}

test('another process of the same user knows the name → it receives nothing, and is told why', onLinux, async (t) => {
  const shell = new Shell(t);
  const name = await shell.name();
  const asks = outside(t, [program('asks.mjs'), name, shell.path]);
  await asks.lines.next();
  assert.equal((await asks.lines.next()).value, 'answered 0 reuseaddr 1 decline stranger');

  process.env['REUSEADDR_RUN'] = name;
  t.after(() => delete process.env['REUSEADDR_RUN']);
  await assert.rejects(listen(net.createServer(), shell.path), ({ message, reason }: Error & { reason: string }) => {
    assert.equal(reason, 'held');
    assert.match(
      message,
      /passes its socket only to the processes below its program\. This one is not: a process in between has ended\. Run the server in the foreground\.$/,
    );
    return true;
  });
  // Another address than that of the run is claimed as ever.
  const other = await listen(net.createServer(), `${dirname(shell.path)}/other.sock`);
  assert.equal(other.toJSON().inherited, false);
  await other.release();

  await shell.serve();
  assert.equal(await shell.running.serving(), await askLine(shell.path));
});

test('a process below the program asks for another address → it receives nothing, and is told so', onLinux, async (t) => {
  const shell = new Shell(t);
  const name = await shell.name();
  for (const other of [dirname(shell.path), '@reuseaddr-other']) {
    await shell.run(node, program('asks.mjs'), name, other);
    assert.equal((await shell.running.line(/^answered (.*)$/))[1], '0 reuseaddr 1 decline other-address');
  }
});

test('another user knows the name → it receives nothing', { skip: onLinux.skip || asRoot.skip }, async (t) => {
  for (const user of [undefined, { uid: stranger.uid + 7, gid: stranger.gid }] as const) {
    // Every user who knows its name can reach root's socket. An ordinary user's is in a directory
    // of mode 700.
    const directory = temporaryDirectory(t, 0o777);
    const path = join(directory, 'app.sock');
    const running = new Running(t, [path, '--', 'sh', '-c', 'echo name $REUSEADDR_RUN; exec sleep 1000'], user);
    const [, name = ''] = await running.line(/^name (\S+)$/);
    const { lines } = outside(t, [program('asks.mjs'), name, path], stranger);
    await lines.next();
    const { value } = (await lines.next()) as { value: string };
    assert.equal(value, user === undefined ? 'answered 0 reuseaddr 1 decline stranger' : 'EACCES');
  }
});

test(
  'there is no private directory, and another user asks at the abstract name → it is disconnected without a word',
  { skip: onLinux.skip || asRoot.skip },
  async (t) => {
    const path = join(temporaryDirectory(t, 0o777), 'app.sock');
    const env = { ...process.env, TMPDIR: '/nonexistent' };
    const user = { uid: stranger.uid + 7, gid: stranger.gid, env };
    const running = new Running(
      t,
      [path, '--', 'sh', '-c', 'echo name $REUSEADDR_RUN; "$@"; exit', 'sh', node, program('wrapped.mjs'), path],
      user,
    );
    const [, name = ''] = await running.line(/^name (@\S+)$/);
    const { lines } = outside(t, [program('asks.mjs'), name, path], stranger);
    await lines.next();
    assert.match(((await lines.next()) as { value: string }).value, /^(answered 0 nothing|ECONNRESET|EPIPE)$/);
    assert.equal(await running.serving(), await askLine(path));
  },
);

test('the process that has the socket ends while run is stopped → the next one that asks has it', onLinux, async (t) => {
  const shell = new Shell(t);
  const name = await shell.name();
  await shell.serve();
  const first = await shell.running.serving();
  shell.running.signal('SIGSTOP');
  kill(first, 'SIGKILL');
  await until(() => !fs.existsSync(`/proc/${first}/exe`));
  await shell.run(node, program('asks.mjs'), name, shell.path);
  await shell.running.line(/^asking/);
  shell.running.signal('SIGCONT');
  await shell.running.line(/^answered 1 reuseaddr 1 pass$/);
});

test('starts are cancelled while they ask run → they say so, and the next start has the socket', onLinux, async (t) => {
  const shell = new Shell(t);
  await shell.run(node, program('cancelled.mjs'), shell.path);
  const [, outcome] = await shell.running.line(/^cancelled: (.*)$/);
  assert.equal(outcome, 'AbortError, cancelled, and inherited after that');
});

test(
  'each call of the addon throws once in a start that asks run, or its release → the next start has the socket',
  onLinux,
  async (t) => {
    const shell = new Shell(t);
    await shell.run(node, program('throwingAsks.mjs'), shell.path);
    const [, seen = '', wrong = ''] = await shell.running.line(/^thrown by: (.*); wrong: (.*)$/);
    assert.deepEqual(JSON.parse(wrong), []);
    for (const name of ['connect', 'recvmsg', 'sendmsg', 'give'])
      assert.ok(seen.split(' ').includes(name), `${name} is not among: ${seen}`);
  },
);

test('a process that has the socket says READY=1 to NOTIFY_SOCKET → run hears it', onLinux, async (t) => {
  const shell = new Shell(t, ['-v']);
  await shell.run(node, program('asks.mjs'), await shell.name(), shell.path, 'ready');
  await shell.running.line(/^answered 1 reuseaddr 1 pass$/);
  await shell.running.line(/^reuseaddr: Process \d+ is ready\.$/);
});

test('at the name of REUSEADDR_RUN is something else → the start goes by the address, and keeps nothing', onLinux, async (t) => {
  const sockets: number[] = [];
  for (const what of ['other', 'bound', 'none', 'noise', 'gone']) {
    const directory = temporaryDirectory(t);
    const [name, address] = [join(directory, 'run'), join(directory, 'app.sock')];
    const other = what === 'bound' ? address : join(directory, 'other.sock');
    if (what !== 'gone') await outside(t, [program('pretends.mjs'), name, other, what]).lines.next();
    if (what !== 'bound') leaveStale(address);
    const env = { ...process.env, REUSEADDR_RUN: name };
    const { lines, pid } = outside(t, [program('wrapped.mjs'), address], { env });
    const said = String((await lines.next()).value);
    if (what === 'bound') assert.match(said, /^refused stray /);
    else {
      assert.equal(said, `serving ${pid}`, what);
      sockets.push(openSockets(pid));
      assert.deepEqual(
        fs.readdirSync(directory).filter((file) => file.startsWith('app')),
        ['app.sock', 'app.sock.lock'],
        what,
      );
    }
  }
  assert.equal(new Set(sockets).size, 1, `sockets that are open: ${sockets.join(', ')}`);
});

function openSockets(pid: number): number {
  const files = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
  return files.filter((file) => file.startsWith('socket:')).length;
}

test(
  'at the name of REUSEADDR_RUN is another user’s socket → nothing is accepted from there',
  { skip: onLinux.skip || asRoot.skip },
  async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    const [name, address] = [join(directory, 'run'), join(directory, 'app.sock')];
    const { lines: pretended } = outside(t, [program('pretends.mjs'), name, address], stranger);
    await pretended.next();
    fs.chmodSync(name, 0o777);
    fs.chmodSync(address, 0o777);
    const env = { ...process.env, REUSEADDR_RUN: name };
    const { lines } = outside(t, [program('wrapped.mjs'), address], { env, ...secondStranger });
    assert.match(String((await lines.next()).value), /^refused stray /);
  },
);

test('a program in the background, whose parent has ended → it is told to stay in the foreground', onLinux, async (t) => {
  const shell = new Shell(t);
  await shell.run('setsid', 'sh', '-c', `sleep 0.2; exec "$@" &`, 'sh', node, program('wrapped.mjs'), shell.path);
  assert.match(
    await shell.refused(),
    /^held \| .*\(.* run .*\).*, and passes its socket only .* Run the server in the foreground\.$/,
  );
});

test(
  'without REUSEADDR_RUN → refused at once, even with wait and takeover: the run above is not waited for',
  onLinux,
  async (t) => {
    for (const options of [{}, { wait: true }, { takeover: true }]) {
      const shell = new Shell(t, ['--handover']);
      await shell.run('env', '-u', 'REUSEADDR_RUN', node, program('wrapped.mjs'), shell.path, JSON.stringify(options));
      assert.match(
        await shell.refused(),
        /, and this process, which it started, could not ask it for its socket\. Leave REUSEADDR_RUN in the environment, name the server itself as the command of reuseaddr run, or listen in the process that has the socket\.$/,
      );
      await shell.serve();
      await shell.running.serving();
    }
  },
);

test('a child of the process that has the socket → it is told to listen in that process', onLinux, async (t) => {
  const shell = new Shell(t);
  await shell.serve();
  await shell.running.serving();
  await shell.tell('child');
  assert.match(await shell.refused(), /, or listen in the process that has the socket\.$/);
});

test('a command of the program removes the socket file → its server is told to leave the file in place', onLinux, async (t) => {
  const shell = new Shell(t);
  await shell.name();
  fs.unlinkSync(shell.path);
  await shell.serve();
  assert.match(
    await shell.refused(),
    /^displaced \| .* Have the program of reuseaddr run leave the file in place, and start run again\.$/,
  );
});

test(
  'a process that asks and dies, or is stopped → the next one is served, or told which process has the socket',
  onLinux,
  async (t) => {
    const shell = new Shell(t);
    const name = await shell.name();
    for (let time = 0; time < 5; time++) await shell.run(node, program('asks.mjs'), name, shell.path, 'die');
    for (let time = 0; time < 5; time++) await shell.running.line(/^asking \d+$/);
    await shell.serve({ wait: true });
    const first = await shell.running.serving();
    kill(first, 'SIGTERM');
    await shell.running.line(/has had SIGTERM/);

    await shell.run(node, program('asks.mjs'), name, shell.path, 'stop');
    const stopped = Number((await shell.running.line(/^asking (\d+)$/))[1]);
    await until(() => fs.readFileSync(`/proc/${stopped}/stat`, 'latin1').includes(') T '));
    await shell.serve();
    assert.match(await shell.refused(), new RegExp(`process ${stopped} `));
    await shell.serve({ wait: true });
    kill(stopped, 'SIGKILL');
    assert.equal(await shell.running.serving(), await askLine(shell.path));
  },
);

test('300 connections that are silent, or say something else → the program is served', onLinux, async (t) => {
  const shell = new Shell(t);
  const name = await shell.name();
  for (let index = 0; index < 300; index++) {
    const connection = (await connect(name)).on('error', () => undefined);
    t.after(() => connection.destroy());
    if (index % 2 === 0) connection.write(index % 4 === 0 ? 'GET / HTTP/1.1\r\n\r\n' : 'x'.repeat(100_000));
  }
  await shell.serve();
  assert.equal(await shell.running.serving(), await askLine(shell.path));
  assert.ok(fs.readdirSync(`/proc/${shell.running.pid}/fd`).length < 150, 'most of them were disconnected');
});

test(
  'a process says something else, or has not asked yet → it is disconnected, and the program is served',
  onLinux,
  async (t) => {
    const shell = new Shell(t);
    const name = await shell.name();
    const lines = ['GET / HTTP/1.1\r\n\r\n', 'x'.repeat(10_000), 'reuseaddr 1 ready\n', 'reuseaddr 1 done\n'];
    const disconnected: string[] = [];
    for (const line of lines) {
      const connection = (await connect(name)).on('error', () => undefined).resume();
      t.after(() => connection.destroy());
      connection.on('close', () => disconnected.push(line)).write(line);
    }
    await shell.serve();
    // It was answered after them.
    assert.equal(await shell.running.serving(), await askLine(shell.path));
    assert.deepEqual(disconnected.toSorted(), lines.toSorted());
  },
);

test(
  '/proc is that of another PID namespace → run passes its socket to no process, because the pids there are others',
  { skip: onLinux.skip || withNamespaces.skip },
  (t) => {
    const said = (...proc: readonly string[]): string => {
      const command = [
        node,
        commandLine,
        'run',
        join(temporaryDirectory(t), 'app.sock'),
        '--',
        'sh',
        '-c',
        'echo "$REUSEADDR_RUN"',
      ];
      return spawnSync('unshare', ['--pid', '--fork', ...proc, ...command], { encoding: 'utf8' }).stdout;
    };
    assert.match(said('--mount-proc'), /^\/.+\n$/);
    assert.equal(said(), '\n');
  },
);

test('the path is too long for a message → the program below a wrapper is served all the same', onLinux, async (t) => {
  const directory = join(temporaryDirectory(t), ...Array.from({ length: 18 }, () => 'd'.repeat(200)));
  fs.mkdirSync(directory, { recursive: true });
  const path = join(directory, 'app.sock');
  const running = new Running(t, [path, '--', 'sh', '-c', '"$@"; exit', 'sh', node, program('wrapped.mjs'), path]);
  const [, outcome] = await running.line(/^(serving|refused .*)/);
  assert.equal(outcome, 'serving');
});

test('a run below a run → each passes its own socket, and the inner one may have the outer one’s address', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const [outer, inner] = [join(directory, 'outer.sock'), join(directory, 'inner.sock')];
  const command = process.execPath;
  const cli = program('../../../dist/cli/main.js');
  for (const address of [inner, outer]) {
    const wrapped = ['sh', '-c', '"$@"; exit', 'sh'];
    const args = [
      outer,
      '--',
      ...wrapped,
      command,
      cli,
      'run',
      address,
      '--',
      ...wrapped,
      command,
      program('wrapped.mjs'),
      address,
    ];
    const running = new Running(t, args);
    const pid = await running.serving();
    assert.equal(await askLine(address), pid);
    // The inner one is not the program that the outer one knows, unless it has the same address.
    kill(pid, 'SIGTERM');
    await running.stop();
  }
});

test(
  'the program of root drops its privileges below a wrapper → it is served',
  { skip: onLinux.skip || asRoot.skip || needs('setpriv').skip },
  async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    const path = join(directory, 'app.sock');
    const drop = ['setpriv', `--reuid=${stranger.uid}`, `--regid=${stranger.gid}`, '--clear-groups'];
    const running = new Running(t, [
      '--mode=666',
      path,
      '--',
      'sh',
      '-c',
      '"$@"; exit',
      'sh',
      ...drop,
      node,
      program('wrapped.mjs'),
      path,
    ]);
    assert.equal(await running.serving(), await askLine(path));
  },
);

test(
  'the pid of a process that asked belongs to one below the program by now → the socket is not passed',
  { skip: onLinux.skip || withNamespaces.skip || needs('python3').skip },
  async (t) => {
    const directory = temporaryDirectory(t);
    const script = program('reusedPid.py');
    const child = spawn(
      'unshare',
      [
        '--pid',
        '--fork',
        '--mount-proc',
        '--kill-child',
        'python3',
        script,
        node,
        program('../../../dist/cli/main.js'),
        join(directory, 'app.sock'),
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    for await (const text of child.stdout.setEncoding('utf8')) said += text as string;
    assert.match(said, /^same pid: True\nanswered 0 b?'?reuseaddr 1 decline stranger/m, said);
  },
);

/** `--bind-self`: the next instance never takes the path from a process that still serves on it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { blockedWaits, until } from '../support/waits.js';
import { askLine } from './ask.js';
import { commandLine, kill, program, Running } from './running.js';

const withPython = { skip: onLinux.skip || needs('python3').skip };

for (const lock of ['keeps', 'closes']) {
  test(
    `the program leaves a server behind that ${lock} the lock → no other is started until that has ended`,
    withPython,
    async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const command = ['python3', program('daemon.py'), path, lock];
      const running = new Running(t, ['--bind-self', '--restart=always', path, '--', ...command]);
      let server = await running.serving();
      for (let time = 0; time < 2; time++) {
        const [, holder] = await running.line(
          /^reuseaddr: .* is still in use by process (\d+) \(.*\)\. The next instance is started when that has ended\.$/,
        );
        assert.equal(Number(holder), server);
        // SIGHUP is no reason either.
        running.signal('SIGHUP');
        assert.equal(await askLine(path), server);
        assert.equal(running.pids.length, time + 1);
        kill(server, 'SIGKILL');
        server = await running.serving();
        assert.equal(await askLine(path), server);
      }
      // While it waits, SIGTERM ends it, and the server keeps its claim.
      await running.line(/ is still in use by process /);
      assert.equal(await running.stop(), 143);
      assert.equal(await askLine(path), server);
      assert.equal(spawnSync(process.execPath, [commandLine, 'run', path, '--', 'true']).status, 3);
      kill(server, 'SIGKILL');
    },
  );
}

test(
  '--bind-self was forgotten, and the program binds the path itself → it is said, with its pid and the option',
  withPython,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const script = `import os, socket, sys
os.unlink(sys.argv[1])
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
print("serving", os.getpid(), flush=True)
listener.accept()`;
    const running = new Running(t, [path, '--', 'python3', '-c', script, path]);
    const [, binder] = await running.line(
      /^reuseaddr: The program itself, process (\d+) \(.*\), has replaced .* by a socket of its own, .* start it with --bind-self\.$/,
    );
    const pid = running.pids[0] ?? (await running.serving());
    assert.equal(Number(binder), pid);
    assert.equal(await running.stop(), 143);
  },
);

/** Exchanges two names at once: the one that waits never finds none, renameat2(2). */
function exchange(one: string, other: string): void {
  const script =
    'import ctypes, os, sys; a, b = map(os.fsencode, sys.argv[1:]); sys.exit(ctypes.CDLL(None).renameat2(-100, a, -100, b, 2))';
  assert.equal(spawnSync('python3', ['-c', script, one, other], { stdio: 'inherit' }).status, 0);
}

test(
  'the directory is replaced while run waits for the address → it waits for the holder in the new directory',
  withPython,
  async (t) => {
    const above = temporaryDirectory(t);
    const [directory, path] = [`${above}/run`, `${above}/run/app.sock`];
    fs.mkdirSync(directory);
    const command = ['--bind-self', '--wait', path, '--', 'python3', program('binds.py'), path];
    const first = new Running(t, command);
    await first.serving();
    const waiting = new Running(t, command);
    await until(() => blockedWaits(`${path}.lock`) === 1);
    fs.mkdirSync(`${above}/moved`);
    exchange(directory, `${above}/moved`);
    const second = new Running(t, command);
    // The one that waits sees at once that the directory is another one, so each may be the faster.
    const [holder, other] = await Promise.race([
      waiting.serving().then(() => [waiting, second] as const),
      second.serving().then(() => [second, waiting] as const),
    ]);
    assert.equal(await first.stop(), 143);
    await until(() => other.pids.length > 0 || blockedWaits(`${path}.lock`) === 1);
    assert.deepEqual([other.pids, [await askLine(path)]], [[], holder.pids]);
    await holder.stop();
    await until(() => other.pids.length > 0);
    assert.deepEqual([await askLine(path)], other.pids);
  },
);

test(
  'the directory is replaced, and the program has to be started again → run ends, because its lock means nothing there',
  withPython,
  async (t) => {
    const above = temporaryDirectory(t);
    const [directory, path] = [`${above}/run`, `${above}/run/app.sock`];
    fs.mkdirSync(directory);
    const command = ['--bind-self', path, '--', 'python3', program('binds.py'), path];
    const first = new Running(t, ['--restart=always', ...command]);
    const server = await first.serving();
    fs.renameSync(directory, `${above}/moved`);
    fs.mkdirSync(directory);
    const second = await new Running(t, command).serving();
    kill(server, 'SIGKILL');
    await first.line(/run was moved away or replaced/);
    assert.equal(await first.exited, 1);
    assert.deepEqual([first.pids, await askLine(path)], [[server], second]);
  },
);

/**
 * A program that cannot be started, for a moment or at all: an instance that ended, and no end of
 * `run` itself.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { askLine } from './ask.js';
import { commandLine, gone, kill, program, Running } from './running.js';

const node = process.execPath;
const traced = { skip: onLinux.skip || needs('strace').skip };

/** From now on this process cannot fork, for so many times. */
async function refuseForks(t: TestContext, pid: number, errno: string, times: number): Promise<() => Promise<void>> {
  const calls = 'clone,fork,vfork';
  const args = ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${calls}`];
  const strace = spawn('strace', [...args, '-e', `inject=${calls}:error=${errno}:when=1..${times}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => strace.kill('SIGKILL'));
  const exited = once(strace, 'exit');
  await once(strace.stderr, 'data'); // strace: Process 412 attached
  return async () => {
    strace.kill('SIGTERM');
    await exited;
  };
}

// Node throws for the first two, and emits the third.
for (const errno of ['ENOMEM', 'E2BIG', 'EAGAIN']) {
  test(
    `${errno} at SIGHUP → the old instance stays, with its socket file, and the next SIGHUP replaces it`,
    traced,
    async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const running = new Running(t, [path, '--', node, program('server.mjs'), path]);
      const pid = await running.serving();
      const allow = await refuseForks(t, running.pid, errno, 1);
      running.signal('SIGHUP');
      await running.line(new RegExp(`^reuseaddr: A new process could not be started \\(${errno}\\); process ${pid} stays\\.$`));
      await allow();
      assert.equal(await askLine(path), pid);
      running.signal('SIGHUP');
      const [, second] = await running.line(new RegExp(`^reuseaddr: Process (\\d+) serves; stopping process ${pid}\\.$`));
      running.pids.push(Number(second));
      await gone(pid);
      assert.equal(await askLine(path), Number(second));
      assert.equal(await running.stop(), 0);
    },
  );

  for (const options of [[], ['--bind-self']]) {
    const mode = options.length === 0 ? 'with the socket' : 'with --bind-self';
    test(`${errno} twice at a restart, ${mode} → it is tried again, as an instance that ended`, traced, async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const command = options.length === 0 ? [node, program('server.mjs'), path] : [node, program('plain.mjs'), path];
      const running = new Running(t, ['--restart=on-failure', '--restart-delay=0.1', ...options, path, '--', ...command]);
      const first = await running.serving();
      const allow = await refuseForks(t, running.pid, errno, 2);
      kill(first, 'SIGKILL');
      const again = new RegExp(`^reuseaddr: A new process could not be started \\(${errno}\\); starting it again in 0\\.1 s\\.$`);
      await running.line(again);
      await running.line(again);
      const second = await running.serving();
      await allow();
      assert.equal(await askLine(path), second);
      assert.equal(await running.stop(), 0);
    });
  }
}

test('large variables that a shell cannot have → they are passed once, and the program starts', onLinux, (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const names = Array.from({ length: 12 }, (_none, i) => `odd.${i}`);
  const env = { ...process.env, ...Object.fromEntries(names.map((name) => [name, 'x'.repeat(120_000)])) };
  const count = 'console.log(Object.keys(process.env).filter((name) => name.startsWith("odd.")).length)';
  const args = [commandLine, 'run', path, '--', node, '-e', count];
  const { status, stdout, stderr } = spawnSync(node, args, { env, encoding: 'utf8' });
  assert.equal(stderr.slice(0, 1000), '');
  assert.deepEqual({ status, stdout }, { status: 0, stdout: '12\n' });
});

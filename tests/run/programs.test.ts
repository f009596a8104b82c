/** Programs that know nothing of reuseaddr, each started again after kill -9. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { askHttp, askLine } from './ask.js';
import { gone, kill, program, Running } from './running.js';

const registered = ['--import', import.meta.resolve('reuseaddr/register')];

const programs = [
  { name: "Python's http.server on fd 3", wants: ['python3'], command: () => ['python3', program('http_fd3.py')], ask: askHttp },
  { name: 'plain Node, listening on { fd: 3 }', command: () => [process.execPath, program('plain.mjs')], ask: askLine },
  { name: 'Node with listen()', command: (path: string) => [process.execPath, program('server.mjs'), path], ask: askLine },
  {
    name: 'plain Node under the preload',
    command: (path: string) => [process.execPath, ...registered, program('plain.mjs'), path],
    ask: askLine,
  },
  {
    name: 'Python asyncio, which binds by itself',
    wants: ['python3'],
    options: ['--bind-self'],
    command: (path: string) => ['python3', program('binds.py'), path],
    ask: askLine,
  },
];

for (const { name, options = [], wants, command, ask } of programs) {
  test(
    `${name} is killed twice → it is started again and answers, and leaves no process and no file`,
    { skip: onLinux.skip || needs(...(wants ?? [])).skip },
    async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const running = new Running(t, ['--restart=always', '--restart-delay=0.1', ...options, path, '--', ...command(path)]);
      let pid = await running.serving();
      for (let time = 0; time < 2; time++) {
        assert.equal(await ask(path), pid);
        kill(pid, 'SIGKILL');
        assert.equal((await running.line(/^reuseaddr: Process (\d+) was killed by SIGKILL; starting it again/))[1], String(pid));
        pid = await running.serving();
      }
      assert.equal(await ask(path), pid);
      const status = await running.stop();
      // Node's own programs end by themselves on SIGTERM, Python's by the signal.
      assert.ok(status === 0 || status === 143, String(status));
      assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
      for (const each of running.pids) await gone(each);
    },
  );
}

test(
  "gunicorn from Debian's packages: killed, and replaced on SIGHUP by its own READY=1 → it answers each time",
  { skip: onLinux.skip || needs('gunicorn').skip },
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const command = ['gunicorn', '--workers=1', '--no-sendfile', '--worker-tmp-dir=/dev/shm', 'wsgi:app'];
    const running = new Running(t, ['--restart=always', path, '--', ...command], { cwd: dirname(program('wsgi.py')) });
    const booted = async (): Promise<number> => {
      const [, pid] = await running.line(/\[(\d+)\] \[INFO\] Listening at: unix:/);
      return Number(pid);
    };
    // A worker whose master was killed notices within a second, and may still answer until then.
    const answeredBy = async (master: number): Promise<void> => {
      for (let answer = 0; answer !== master;) answer = await askHttp(path);
    };
    const first = await booted();
    running.pids.push(first);
    await answeredBy(first);
    kill(first, 'SIGKILL');
    const second = await booted();
    running.pids.push(second);
    await answeredBy(second);
    running.signal('SIGHUP');
    const third = await booted();
    running.pids.push(third);
    await running.line(new RegExp(`Process ${third} serves; stopping process ${second}`));
    await answeredBy(third);
    await gone(second);
    assert.equal(await running.stop(), 0);
    assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
  },
);

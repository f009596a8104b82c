/** The ancestors of a process, while processes end and others get their pids. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { ancestorsOf, isOwnRun } from '#dist/holder/ancestors.js';
import { startTicks } from '#dist/holder/self.js';
import { kernel } from '#dist/kernel/posix.js';
import { onLinux } from '../support/privileges.js';

/** A shell, a shell that it has started, and a process that this one has started. */
async function family(t: TestContext): Promise<readonly [outer: number, inner: number, youngest: number]> {
  const script = "sh -c 'echo $$; sleep 1000 & echo $!; read -r end; kill $!'; exit";
  const shell = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => shell.stdin.end());
  let said = '';
  while (said.split('\n').length < 3) said += String((await once(shell.stdout, 'data'))[0]);
  const [inner = 0, youngest = 0] = said.split('\n').map(Number);
  return [shell.pid ?? 0, inner, youngest];
}

/** A process that is younger than another one, by the clock that the kernel shows. */
async function youngerThan(t: TestContext, pid: number): Promise<number> {
  for (;;) {
    const child: ChildProcess = spawn('sleep', ['1000']);
    t.after(() => child.kill('SIGKILL'));
    await once(child, 'spawn');
    if (Number(startTicks(child.pid ?? 0)) > Number(startTicks(pid))) return child.pid ?? 0;
    child.kill('SIGKILL');
  }
}

/** From the nth look on, another process has the pid of one that has ended. */
function reusePid(t: TestContext, pid: number, by: number, nth: number): void {
  const { openat } = kernel;
  let looks = 0;
  t.mock.method(kernel, 'openat', (at: number, path: string, ...rest: [never, number]) =>
    openat(at, path === `/proc/${pid}/stat` && ++looks >= nth ? `/proc/${by}/stat` : path, ...rest),
  );
}

test('a process below others → all of them, from the parent up', onLinux, async (t) => {
  const [outer, inner, youngest] = await family(t);
  assert.deepEqual(ancestorsOf(youngest).slice(0, 4), [inner, outer, process.pid, process.ppid]);
  assert.deepEqual(ancestorsOf(process.pid).slice(0, 1), [process.ppid]);
  assert.deepEqual(ancestorsOf(0), []);
});

test('a parent has ended, and a younger process has its pid → that one is no ancestor', onLinux, async (t) => {
  const [outer, inner, youngest] = await family(t);
  reusePid(t, outer, await youngerThan(t, youngest), 1);
  assert.deepEqual(ancestorsOf(youngest), [inner]);
});

test(
  'a parent ends after the look at it → its own parent is the next, not that of a process with its pid',
  onLinux,
  async (t) => {
    const [outer, inner, youngest] = await family(t);
    reusePid(t, inner, await youngerThan(t, youngest), 2);
    assert.deepEqual(ancestorsOf(youngest).slice(0, 3), [inner, outer, process.pid]);
  },
);

test('the run above this process → known by its pid here, its command, and no other', onLinux, () => {
  const run = { pid: process.ppid, command: 'reuseaddr run /run/app.sock -- npm start' };
  assert.equal(isOwnRun(run), true);
  assert.equal(isOwnRun({ ...run, pidNamespace: 'pid:[1]' }), false);
  assert.equal(isOwnRun({ ...run, host: 'elsewhere' }), false);
  assert.equal(isOwnRun({ ...run, command: 'node server.js' }), false);
  assert.equal(isOwnRun({ ...run, pid: process.pid }), false);
});

/** G7 under `reuseaddr run`: while the program is replaced, or killed, no client is refused. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { askLine } from './ask.js';
import { exists, gone, kill, load, program, Running } from './running.js';

const node = process.execPath;

test('G7: 50 SIGHUPs under the load of 4 clients → none is refused, none reset, none answered wrongly', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, [path, '--', node, program('server.mjs'), path]);
  const pids = new Set([await running.serving()]);
  const unload = await load(t, path, 4);
  for (let time = 0; time < 50; time++) {
    running.signal('SIGHUP');
    const [, pid, old] = await running.line(/^reuseaddr: Process (\d+) serves; stopping process (\d+)\.$/);
    assert.ok(pids.has(Number(old)));
    pids.add(Number(pid));
  }
  assert.equal(pids.size, 51);
  const { answered, refused, reset, wrong, codes } = await unload();
  t.diagnostic(`50 SIGHUPs: ${answered} answered, ${refused} refused, ${reset} reset, ${wrong} wrong ${JSON.stringify(codes)}`);
  assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
  assert.equal(await running.stop(), 0);
  assert.deepEqual([...pids].filter(exists), []);
  assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
});

test(
  'G7: 20 SIGKILLs of the program under the load of 4 clients → no connect fails; what it had accepted is lost',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, ['--restart=always', '--restart-delay=0.05', path, '--', node, program('server.mjs'), path]);
    let last = await running.serving();
    const unload = await load(t, path, 4);
    for (let time = 0; time < 20; time++) {
      assert.equal(await askLine(path), last);
      kill(last, 'SIGKILL');
      last = await running.serving();
    }
    const { answered, refused, reset, wrong, codes } = await unload();
    t.diagnostic(
      `20 SIGKILLs: ${answered} answered, ${refused} refused, ${wrong} wrong, ${reset} in flight lost ${JSON.stringify(codes)}`,
    );
    assert.deepEqual({ refused, wrong }, { refused: 0, wrong: 0 });
    assert.ok(reset <= 80, 'at most one for each client and kill');
    assert.equal(await askLine(path), last);
    assert.equal(await running.stop(), 0);
  },
);

/** Serves the first time; the second time does as it is told. */
function secondTime(path: string, directory: string, then: string): readonly string[] {
  const script = `if test -e ${directory}/second; then ${then}; fi; touch ${directory}/second; exec "$@"`;
  return ['sh', '-c', script, 'sh', node, program('server.mjs'), path];
}

test('SIGHUP, and the new instance ends before it is ready → the old one stays, and it is said', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const running = new Running(t, ['--restart=always', path, '--', ...secondTime(path, directory, 'exit 5')]);
  const pid = await running.serving();
  running.signal('SIGHUP');
  const [, , stays] = await running.line(
    /^reuseaddr: Process (\d+) ended with status 5 before it was ready; process (\d+) stays\.$/,
  );
  assert.equal(Number(stays), pid);
  assert.equal(await askLine(path), pid);
  assert.equal(await running.stop(), 0);
});

test('SIGHUP, and the new instance never says READY=1 → it is stopped, the old one stays, and it is said', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const stuck = secondTime(path, directory, 'exec sleep 1000');
  const running = new Running(t, ['--ready-within=0.2', path, '--', ...stuck]);
  const pid = await running.serving();
  running.signal('SIGHUP');
  const [, late] = await running.line(
    /^reuseaddr: Process (\d+) did not say READY=1 within 0.2 s, and is being stopped; .* --ready-after\.$/,
  );
  await gone(Number(late));
  assert.equal(await askLine(path), pid);
  assert.equal(await running.stop(), 0);
});

test('SIGHUP, and the old instance dies while the new one starts → the new one takes its place', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const slow = secondTime(path, directory, 'echo starting; kill -STOP $$');
  const running = new Running(t, [path, '--', ...slow]);
  const pid = await running.serving();
  running.signal('SIGHUP');
  await running.line(/^starting$/);
  kill(pid, 'SIGKILL');
  const [, next] = await running.line(/^reuseaddr: Process \d+ was killed by SIGKILL; process (\d+) takes its place\.$/);
  running.pids.push(Number(next));
  // It is asked before it listens: the queue is the kernel's.
  const answer = askLine(path);
  kill(Number(next), 'SIGCONT');
  assert.equal(await answer, Number(next));
  assert.equal(await running.stop(), 0);
});

test('SIGHUP, and the old instance ignores SIGTERM → it is killed after the grace time', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const stubborn = ['sh', '-c', 'trap "" TERM; echo serving $$; exec sleep 1000'];
  const running = new Running(t, ['--ready-after=0.1', '--grace=0.1', path, '--', ...stubborn]);
  const first = await running.serving();
  running.signal('SIGHUP');
  await running.line(new RegExp(`serves; stopping process ${first}`));
  await gone(first);
  assert.deepEqual(running.pids.filter(exists).length, 1);
});

test('SIGHUP with --bind-self → the old instance is stopped first, and the new one binds', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, ['--bind-self', path, '--', process.execPath, program('plain.mjs'), path, 'abrupt']);
  const first = await running.serving();
  running.signal('SIGHUP');
  const second = await running.serving();
  assert.equal(exists(first), false);
  assert.equal(await askLine(path), second);
  assert.equal(await running.stop(), 143);
  assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
});

test('SIGTERM in the pause before a restart → it ends at once, as the signal would', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, ['--restart=always', '--restart-delay=1000', path, '--', 'false']);
  for (let pause = ''; pause !== '0.4 s';)
    [, pause = ''] = await running.line(/ended with status 1; starting it again(?: in (.*)\.|\.)$/);
  assert.equal(await running.stop(), 143);
});

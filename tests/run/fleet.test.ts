/** The rules by which `run` starts, replaces and stops processes, whatever happens in between. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { until } from '../support/waits.js';
import { FakePrograms, turns } from './fakePrograms.js';

const started = (next: number, old: number): string =>
  `Process ${next} was started; process ${old} continues until it says READY=1 (at most 1000 s; use --ready-after for a program that never does).`;

test('the old one dies, and then the new one is ready → it took its place once, and no other is signalled', async (t) => {
  const run = new FakePrograms(t);
  await run.rollOut();
  await run.at(1).ends(1);
  await run.at(2).ready();
  await run.at(2).ends(3);
  assert.deepEqual(run.reports, [
    started(2, 1),
    'Process 1 ended with status 1; process 2 takes its place.',
    'Process 2 ended with status 3; starting it again.',
  ]);
  await until(() => run.programs.length === 3);
  assert.deepEqual([run.at(1).signals, run.at(2).signals, run.at(3).signals], [[], [], []]);
});

test('the old one dies while the new one starts → the roll-out continues when that is ready, and not if it ends', async (t) => {
  for (const isReady of [true, false]) {
    const run = new FakePrograms(t, { instances: 2 });
    await run.rollOut();
    await run.at(1).ends(1);
    assert.deepEqual(run.told, ['reloading']);
    if (isReady) await run.at(3).ready();
    else await run.at(3).ends(5);
    await until(() => run.programs.length === 4);
    assert.equal(run.at(4).index, isReady ? 1 : 0);
    assert.deepEqual(run.told, isReady ? ['reloading'] : ['reloading', 'reloaded']);
    const stopped = 'The roll-out has stopped: 0 of 2 instances were replaced.';
    assert.equal(run.reports.includes(stopped), !isReady);
  }
});

test('all is stopped while a new one starts → both are signalled each time, and it ends after the last', async (t) => {
  for (const order of [
    [1, 2],
    [2, 1],
  ] as const) {
    const run = new FakePrograms(t, { instances: 1 });
    await run.rollOut();
    await run.stop();
    await run.at(2).ready();
    await run.stop('SIGINT');
    assert.deepEqual(run.at(1).signals, ['SIGTERM', 'SIGINT']);
    assert.deepEqual(run.at(2).signals, ['SIGTERM', 'SIGINT']);
    await run.at(order[0]).ends(order[0]);
    assert.equal(run.ended, undefined);
    await run.at(order[1]).ends(order[1]);
    assert.deepEqual(run.ended, { code: 1, signal: null });
    assert.deepEqual(run.reports, [started(2, 1)]);
    assert.deepEqual(run.told, ['reloading', 'stopping', 'reloaded']);
  }
});

test('all is stopped during a roll-out, after one was replaced → no other is started, now or at the next SIGHUP', async (t) => {
  const run = new FakePrograms(t, { instances: 2 });
  await run.rollOut();
  await run.at(3).ready();
  await run.stop();
  await run.at(1).ends(0);
  await run.rollOut();
  assert.equal(run.programs.length, 3);
  assert.deepEqual(run.told, ['reloading', 'stopping', 'reloaded']);
  assert.deepEqual(run.reports, [started(3, 1), 'Process 3 serves; stopping process 1.']);
  // The one that was told already is not told again.
  assert.deepEqual([run.at(1).signals, run.at(2).signals, run.at(3).signals], [['SIGTERM'], ['SIGTERM'], ['SIGTERM']]);
  await run.at(2).ends(0);
  await run.at(3).ends(0);
  assert.deepEqual(run.ended, { code: 0, signal: null });
});

test('a replaced process has not ended when all others have → run ends after it', async (t) => {
  const run = new FakePrograms(t);
  await run.rollOut();
  await run.at(2).ready();
  await run.stop();
  await run.at(2).ends(0);
  assert.equal(run.ended, undefined);
  await run.at(1).ends(0);
  assert.deepEqual(run.ended, { code: 0, signal: null });
});

test('the address was handed over while a new one starts → all are told to end, and any end is a success', async (t) => {
  const run = new FakePrograms(t, { instances: 2 });
  await run.rollOut();
  run.fleet.drain();
  assert.deepEqual([run.at(1).signals, run.at(2).signals, run.at(3).signals], [['SIGTERM'], ['SIGTERM'], ['SIGTERM']]);
  for (const pid of [1, 2, 3]) await run.at(pid).ends(5);
  assert.deepEqual(run.ended, { code: 0, signal: null });
});

test('some have ended for good at a SIGHUP → the others are replaced', async (t) => {
  for (const restart of ['never', 'on-failure'] as const) {
    const run = new FakePrograms(t, { instances: 3, restart });
    await run.at(1).ends(0);
    await run.rollOut();
    assert.equal(run.at(4).index, 1);
    await run.at(4).ready();
    await run.at(2).ends(0);
    assert.equal(run.at(5).index, 2);
    await run.at(5).ready();
    assert.deepEqual(run.told, ['reloading', 'reloaded']);
    assert.deepEqual(
      run.reports.filter((report) => report.includes('roll-out')),
      [],
    );
  }
});

test('the new one is late → the roll-out ends after it, and the next one starts no other before', async (t) => {
  const run = new FakePrograms(t, { readyWithinMs: 1 });
  await run.rollOut();
  await until(() => run.at(2).signals.length > 0);
  await run.rollOut();
  assert.deepEqual(run.at(2).signals, ['SIGTERM']);
  assert.deepEqual(run.told, ['reloading']);
  assert.equal(run.programs.length, 2);
  await run.at(2).ends(0);
  assert.deepEqual(run.told, ['reloading', 'reloaded', 'reloading']);
  assert.equal(run.programs.length, 3);
  assert.deepEqual(run.at(1).signals, []);
});

test('SIGHUP while new ones start → one roll-out more, whatever number came', async (t) => {
  const run = new FakePrograms(t);
  for (let time = 0; time < 5; time++) await run.rollOut();
  await run.at(2).ready();
  await run.at(3).ready();
  assert.deepEqual(run.told, ['reloading', 'reloaded', 'reloading', 'reloaded']);
  assert.equal(run.programs.length, 3);
});

test('a replaced process takes its time → the next is replaced after its end; after the last nothing waits', async (t) => {
  const run = new FakePrograms(t, { instances: 2 });
  await run.rollOut();
  await run.at(3).ready();
  assert.equal(run.programs.length, 3);
  await run.at(1).ends(0);
  await run.at(4).ready();
  assert.deepEqual(run.told, ['reloading', 'reloaded']);
  const both = [1, 2].flatMap((old) => [started(old + 2, old), `Process ${old + 2} serves; stopping process ${old}.`]);
  assert.deepEqual(run.reports, both);
});

test('it may end by SIGINT, and does, or with a status → it is not started again; one that starts is stopped', async (t) => {
  for (const [code, signal] of [
    [null, 'SIGINT'],
    [130, undefined],
    [0, undefined],
  ] as const) {
    const run = new FakePrograms(t);
    await run.rollOut();
    run.fleet.expectEnd('SIGINT');
    await run.at(1).ends(code, signal);
    assert.deepEqual(run.at(2).signals, ['SIGTERM']);
    await run.at(2).ends(0);
    assert.deepEqual(run.ended, { code, signal: signal ?? null });
    assert.equal(run.programs.length, 2);
  }
});

test('it may end by SIGINT, and is killed by another signal, or ends when that is over → it is started again', async (t) => {
  const run = new FakePrograms(t);
  run.fleet.expectEnd('SIGINT');
  await run.at(1).ends(null, 'SIGKILL');
  await until(() => run.programs.length === 2);
  run.fleet.expectEnd(undefined);
  await run.at(2).ends(null, 'SIGINT');
  await until(() => run.programs.length === 3);
});

/** Ends it so often that the next pause is longer than the test. */
async function untilPause(run: FakePrograms): Promise<void> {
  for (let row = 1; row < 15; row++) {
    await run.at(row).ends(1);
    // Unless the pause is over already.
    if (run.programs.length === row) void run.fleet.rollOut();
    await until(() => run.programs.length === row + 1);
  }
  await run.at(15).ends(1);
}

test('a long pause before a restart → SIGHUP ends it, SIGINT and SIGTERM end run, and nothing is started later', async (t) => {
  for (const end of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    const signals: AbortSignal[] = [];
    const run = new FakePrograms(t, { restartDelayMs: 1e6 }, (signal) => Promise.resolve(void signals.push(signal)));
    await untilPause(run);
    assert.equal(run.reports.at(-1), 'Process 15 ended with status 1; starting it again in 819.2 s.');
    assert.equal(signals.length, 14);
    if (end === 'SIGHUP') await run.rollOut();
    else if (end === 'SIGINT') run.fleet.expectEnd('SIGINT');
    else await run.stop();
    await turns();
    assert.equal(run.programs.length, end === 'SIGHUP' ? 16 : 15);
    assert.equal(signals.length, end === 'SIGHUP' ? 15 : 14);
    assert.deepEqual(run.ended, end === 'SIGHUP' ? undefined : { code: null, signal: end });
  }
});

test('the pauses → at most as long as asked; after a process that ran for long they begin anew', async (t) => {
  const run = new FakePrograms(t, { restartDelayMs: 2 });
  for (let row = 1; row < 15; row++) {
    await run.at(row).ends(1);
    await until(() => run.programs.length === row + 1);
    const pause = row === 1 ? '' : ' in 0.002 s';
    assert.equal(run.reports.at(-1), `Process ${row} ended with status 1; starting it again${pause}.`);
  }
  const nowMs = performance.now();
  t.mock.method(performance, 'now', () => nowMs + 10_000);
  await run.at(15).ends(1);
  assert.equal(run.reports.at(-1), 'Process 15 ended with status 1; starting it again.');
});

test('there is no room yet for the next one, and all is stopped → it is not started', async (t) => {
  const run = new FakePrograms(t, { overlaps: false }, (signal) => once(signal, 'abort').then(() => undefined));
  await run.rollOut();
  assert.deepEqual(run.at(1).signals, ['SIGTERM']);
  await run.at(1).ends(1);
  // It was stopped for this, which is no failure.
  assert.deepEqual(run.reports, []);
  await run.stop();
  assert.equal(run.programs.length, 1);
  assert.deepEqual(run.ended, { code: null, signal: 'SIGTERM' });
});

test('it cannot be started at first, and restarts are off → it is said, and run ends as a shell would', async (t) => {
  for (const [failing, code] of [
    ['ENOENT', 127],
    ['ENOTDIR', 127],
    ['EACCES', 126],
  ] as const) {
    const run = new FakePrograms(t, { restart: 'never', failing });
    await turns();
    assert.deepEqual(run.reports, [`A new process could not be started (${failing}).`]);
    assert.deepEqual(run.ended, { code, signal: null, unstarted: failing });
  }
});

test('one of several fails → its status; it cannot be started → it is said once, and the old one stays', async (t) => {
  const run = new FakePrograms(t, { instances: 3, restart: 'never' });
  run.failing = 'EAGAIN';
  await run.rollOut();
  assert.deepEqual(run.reports, [
    'A new process could not be started (EAGAIN); process 1 stays.',
    'The roll-out has stopped: 0 of 3 instances were replaced.',
  ]);
  for (const pid of [1, 2, 3]) await run.at(pid).ends(pid - 1);
  assert.deepEqual(run.ended, { code: 1, signal: null });
  assert.equal(run.reports.length, 2);
});

/** One process that `run` has started, and the program that it leaves behind if it is a wrapper. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { Descendant } from '#dist/run/descendant.js';
import { Instance } from '#dist/run/instance.js';
import { until } from '../support/waits.js';
import { turns } from './fakePrograms.js';

/** A wrapper and the program below it, which was passed the socket. */
class Wrapped {
  readonly reports: string[] = [];
  /** The signals to each of the two. */
  readonly toWrapper: string[] = [];
  readonly toProgram: string[] = [];
  readonly program: Descendant;
  readonly instance: Instance;
  exited = false;
  endsProgram!: () => void;
  readonly #child = new EventEmitter();

  constructor(graceMs: number) {
    const child = Object.assign(this.#child, { pid: 2_000_000_001, kill: (signal: string) => this.toWrapper.push(signal) });
    const report = (message: string): void => void this.reports.push(message);
    this.instance = new Instance(() => child as unknown as ChildProcess, { graceMs, report });
    void this.instance.exited.then(() => (this.exited = true));
    this.program = {
      pid: 2_000_000_002,
      ended: new Promise<void>((resolve) => (this.endsProgram = resolve)),
      stops: false,
      hasSocket: true,
      signal: (signal: string) => this.toProgram.push(signal),
      done(this: { hasSocket: boolean }) {
        this.hasSocket = false;
      },
    } as unknown as Descendant;
    this.instance.passed(this.program);
  }

  /** A signal could not be sent to the wrapper. */
  async fails(code: string): Promise<void> {
    this.#child.emit('error', Object.assign(new Error('kill'), { code }));
    await turns();
  }

  async endsWrapper(): Promise<void> {
    this.#child.emit('exit', 0, null);
    await turns();
  }
}

test('a wrapper ends by itself → the program is told to end, then killed, and it is said; it ends with the program', async () => {
  const run = new Wrapped(1);
  assert.equal(run.instance.runs, true);
  await run.endsWrapper();
  assert.equal(run.instance.runs, false);
  await until(() => run.toProgram.length === 2);
  assert.deepEqual(run.toProgram, ['SIGTERM', 'SIGKILL']);
  assert.deepEqual(run.reports, ['Process 2000000001 has ended and left process 2000000002 behind; stopping that, too.']);
  assert.equal(run.exited, false);
  run.endsProgram();
  await until(() => run.exited);
});

test('a wrapper was told to end → the program is told, too, takes its time, and a later signal reaches it', async () => {
  const run = new Wrapped(1);
  run.instance.signal('SIGTERM');
  await run.endsWrapper();
  await until(() => run.toProgram.length > 0);
  // By then it would have been killed.
  await sleep(2);
  run.instance.signal('SIGINT');
  assert.deepEqual(run.toProgram, ['SIGTERM', 'SIGINT']);
  assert.deepEqual(run.toWrapper, ['SIGTERM', 'SIGINT']);
  assert.deepEqual(run.reports, []);
  run.endsProgram();
  await until(() => run.exited);
});

test('the program ends soon after its wrapper → it is sent nothing', async () => {
  for (const isTold of [true, false]) {
    const run = new Wrapped(1);
    if (isTold) run.instance.signal('SIGTERM');
    const left = run.endsWrapper();
    run.endsProgram();
    await left;
    await until(() => run.exited);
    assert.deepEqual(run.toProgram, []);
    assert.deepEqual(run.reports, []);
  }
});

test('the program stops already, by the signal of its group or of its wrapper → it is not sent a second one', async () => {
  for (const bySignal of [true, false]) {
    const run = new Wrapped(1);
    if (bySignal) run.instance.stopping = true;
    else {
      run.instance.signal('SIGTERM');
      run.instance.closedBy(run.program);
    }
    assert.equal(run.program.stops, true);
    assert.equal(run.instance.receiver === undefined, !bySignal);
    await run.endsWrapper();
    // The next one is told by then.
    const next = new Wrapped(1);
    await next.endsWrapper();
    await until(() => next.toProgram.length > 0);
    assert.deepEqual(run.toProgram, []);
    next.endsProgram();
    run.endsProgram();
    await until(() => run.exited && next.exited);
  }
});

test('the program closes its socket and continues → that is no stop', () => {
  const run = new Wrapped(1);
  run.instance.closedBy(run.program);
  assert.equal(run.program.stops, false);
  assert.equal(run.instance.receiver, undefined);
});

test('a signal → SIGKILL for both, SIGTERM for the wrapper, SIGUSR2 for the process that has the socket', () => {
  const run = new Wrapped(1);
  for (const signal of ['SIGUSR2', 'SIGTERM', 'SIGKILL'] as const) run.instance.signal(signal);
  assert.deepEqual(run.toWrapper, ['SIGTERM', 'SIGKILL']);
  assert.deepEqual(run.toProgram, ['SIGUSR2', 'SIGKILL']);
  run.program.done();
  run.instance.signal('SIGUSR2');
  assert.deepEqual(run.toWrapper, ['SIGTERM', 'SIGKILL', 'SIGUSR2']);
});

test('a signal cannot be sent, because the process belongs to another user by now → that is no end', async () => {
  const run = new Wrapped(1);
  run.endsProgram();
  await run.fails('EPERM');
  assert.equal(run.exited, false);
  await run.endsWrapper();
  assert.equal(run.exited, true);
});

test('it does not end by SIGTERM → SIGKILL after the grace time', async () => {
  const run = new Wrapped(1);
  run.endsProgram();
  const stopped = run.instance.stop(1);
  await until(() => run.toWrapper.length === 2);
  assert.deepEqual(run.toWrapper, ['SIGTERM', 'SIGKILL']);
  await run.endsWrapper();
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

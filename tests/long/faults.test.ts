import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { temporaryDirectory } from '../support/directory.js';
import type { Failure, Program } from '../support/program.js';
import { inLanes } from './lanes.js';
import { newStage, record } from './points.js';
import { Cast, scenarios, type Scenario } from './scenarios.js';
import { assertSound, type State } from './stage.js';
import { injectedAt, Strace, type Point } from './strace.js';

/**
 * With which errnos each call may fail, by its man page. Not in it is close(2): on Linux it gives
 * the descriptor free whatever it says, and strace could only leave it out. Nor epoll_ctl(2), at
 * whose failure libuv aborts: that is a crash, and tested as one. Nor mmap(2): the allocator of the
 * runtime calls it at other moments each time, and ends the process when it fails. The record is
 * copied into a mapping by process_vm_writev(2), and its EFAULT stands for both: the same other way
 * to write follows.
 */
const errnos: Readonly<Record<string, readonly string[]>> = {
  open: ['EINTR', 'ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'EACCES', 'EROFS'],
  openat: ['EINTR', 'ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'EACCES', 'EROFS'],
  readlink: ['EACCES', 'EIO', 'ENOMEM'],
  faccessat2: ['EACCES', 'EIO', 'ENOMEM'],
  statx: ['EACCES', 'ENOMEM', 'EIO'],
  flock: ['EINTR', 'ENOLCK', 'EIO'],
  fcntl: ['EMFILE'],
  pread64: ['EINTR', 'EIO'],
  pwrite64: ['EINTR', 'EIO', 'ENOSPC'],
  process_vm_writev: ['EFAULT', 'ENOMEM', 'EPERM', 'ENOSYS'],
  ftruncate: ['EINTR', 'EIO', 'EROFS'],
  fchmod: ['EIO', 'EROFS', 'ENOMEM'],
  chmod: ['EACCES', 'EIO', 'EROFS', 'ENOMEM'],
  chown: ['EACCES', 'EIO', 'EROFS', 'ENOMEM'],
  fchmodat2: ['EACCES', 'EIO', 'EROFS', 'ENOMEM', 'ENOSYS'],
  fchownat: ['EACCES', 'EIO', 'EROFS', 'ENOMEM'],
  renameat2: ['EACCES', 'EIO', 'EROFS', 'ENOMEM', 'ENOSPC'],
  linkat: ['EACCES', 'EIO', 'EROFS', 'ENOMEM', 'ENOSPC'],
  unlink: ['EACCES', 'EIO', 'EROFS', 'ENOMEM'],
  unlinkat: ['EACCES', 'EIO', 'EROFS', 'ENOMEM'],
  socket: ['EACCES', 'EMFILE', 'ENFILE', 'ENOMEM'],
  bind: ['EACCES', 'ENOMEM', 'EROFS', 'EIO', 'ENOSPC'],
  listen: ['EACCES', 'ENOMEM'],
  connect: ['EACCES', 'EINTR', 'ENOMEM'],
  accept4: ['EINTR', 'EMFILE', 'ENFILE', 'ENOMEM'],
  sendto: ['EINTR', 'ENOMEM'],
  recvfrom: ['EINTR', 'ENOMEM'],
  sendmsg: ['EINTR', 'ENOMEM'],
  recvmsg: ['EINTR', 'ENOMEM'],
  pipe2: ['EMFILE', 'ENFILE', 'ENOMEM'],
  eventfd2: ['EMFILE', 'ENFILE', 'ENOMEM'],
  clone: ['EAGAIN', 'ENOMEM'],
  clone3: ['EAGAIN', 'ENOMEM'],
  poll: ['EINTR', 'ENOMEM'],
  ppoll: ['EINTR', 'ENOMEM'],
};

/** How long a process may continue after a call failed: it tries again after a pause. */
const settleMs = 5000;

async function settled(program: Program, before: State): Promise<State> {
  const untilMs = performance.now() + settleMs;
  for (;;) {
    const state = await program.ask<State>('state');
    if (state.waits === 0 && state.fds.join() === before.fds.join()) return state;
    if (performance.now() > untilMs) return state;
  }
}

function errnosOf({ syscall, text }: Point): readonly string[] {
  if (syscall === 'fcntl' && !text.includes('F_DUPFD')) return [];
  return errnos[syscall] ?? [];
}

const laneCount = 3;

/**
 * Longer than all deadlines of a handover together: a process that is not done by then never will
 * be.
 */
const hangMs = 300_000;

/** These fail also from that call on, for good: what is tried again must come to an end. */
const lasting = new Set(['flock', 'bind', 'renameat2', 'unlinkat', 'socket', 'clone3']);

interface Fault {
  readonly point: Point;
  readonly errno: string;
  readonly forGood: boolean;
}

function faultsAt(point: Point): Fault[] {
  const once = errnosOf(point).map((errno): Fault => ({ point, errno, forGood: false }));
  if (!lasting.has(point.syscall)) return once;
  // A signal that comes at every call is none.
  return [...once, ...once.filter(({ errno }) => errno !== 'EINTR').map((fault): Fault => ({ ...fault, forGood: true }))];
}

async function failAt(fault: Fault, cast: Cast, scenario: Scenario, root: string): Promise<string> {
  const { point, errno, forGood } = fault;
  const { stage, bystanders } = newStage(cast, scenario, root);
  const roles = [scenario.victim, ...(scenario.partner === undefined ? [] : [scenario.partner])];
  const programs = await Promise.all(roles.map((role) => cast.get(role)));
  const [victim] = programs as [Program];
  const before = await Promise.all(programs.map((one) => one.ask<State>('state')));
  await scenario.prepare(stage);
  const strace = await Strace.attach(victim.pid, `${stage.directory}.strace`, {
    inject: `${point.syscall}:error=${errno}:when=${point.nth}${forGood ? '+' : ''}`,
    threads: point.thread === 'other',
  });
  let failure: Failure | undefined;
  const acted = scenario.act(stage).catch((error: unknown) => (failure = error as Failure));
  const guard = new AbortController();
  const hung = await Promise.race([acted.then(() => false), pause(hangMs, true, { signal: guard.signal }).catch(() => false)]);
  guard.abort();
  const said = await strace.detach();
  try {
    assert.equal(hung, false, 'it hangs');
    assert.deepEqual(
      programs.filter(({ ended }) => ended).map(({ pid }) => pid),
      [],
      'a process has ended',
    );
    const outcome = await assertSound(stage, scenario, programs, bystanders);
    const after = await Promise.all(programs.map((one, index) => settled(one, before[index]!)));
    for (const [index, { fds, waits }] of after.entries()) {
      assert.deepEqual(fds, before[index]?.fds, `${roles[index]} has descriptors left`);
      assert.equal(waits, 0, `${roles[index]} has a thread left`);
    }
    if (injectedAt(said) === undefined) return 'not reached';
    if (failure === undefined) return 'went on';
    // The second is Node's own, of a `server.listen({ fd })` that failed.
    assert.match(failure.message, /Cannot listen on|^listen E[A-Z]+: /, 'the error says what could not be done');
    // A failed call is never mistaken for a holder, if there is none.
    // A long path that cannot be bound through /proc is too long.
    if (scenario.partner === undefined && stage.stray === undefined)
      assert.ok([errno, 'EINVAL', 'ENAMETOOLONG'].includes(failure.code), failure.message);
    return outcome === 'the stray continues to serve' && failure.reason === 'stray' ? 'refused as before' : 'clear error';
  } catch (error) {
    const where = `${scenario.name}: ${point.syscall} no. ${point.nth} of the ${point.thread} thread failed with ${errno}${forGood ? ' for good' : ''}: ${point.text}`;
    throw new Error(`${where}\n${(error as Error).message}\nit said: ${failure?.message}\nwhat it did:\n${said}`, {
      cause: error,
    });
  }
}

// Sockets of other types make the same calls: `crash.test.ts` has them.
for (const scenario of scenarios.filter(({ killsOnly, type }) => killsOnly !== true && type === undefined)) {
  test(`each system call fails with each errno, in: ${scenario.name} → an error that says so, or it continues; nothing is left`, async (t: TestContext) => {
    const root = temporaryDirectory(t);
    const points = await record(t, scenario, root);
    const faults = points.flatMap(faultsAt);
    const outcomes = new Map<string, number>();
    const lanes = Array.from({ length: laneCount }, () => new Cast(t, root));
    await inLanes(faults, lanes, async (fault, cast) => {
      const outcome = await failAt(fault, cast, scenario, root);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    });
    await Promise.all(lanes.map((cast) => cast.end()));
    const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ');
    t.diagnostic(`${faults.length} faults at ${points.length} calls: ${counts}`);
    assert.ok((outcomes.get('not reached') ?? 0) <= faults.length / 20, counts);
  });
}

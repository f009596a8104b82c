import { addon } from './addon.js';
import { clearTimeout, pause, setTimeout } from './clock.js';
import type { AsyncKernel, Errno } from './kernel.js';
import { errnoName } from './errno.js';
import { kernel } from './posix.js';
import { watchLockFile } from './watchLockFile.js';

/** The longest timeout of poll(2), about 25 days. */
const timeoutMsMax = 2 ** 31 - 1;

/** The pause between attempts to lock, if no thread can wait for the lock. */
const retryMs = 50;

/**
 * Returns the real kernel with a `flock`, a `poll` and a `sleep` that never block the event loop.
 *
 * Each `flock` and each `poll` waits on a thread of its own, keeps the process alive, and does not
 * delay its end. It uses a duplicate of the descriptor. So a connection stays open until the `poll`
 * on it has ended, even if it is closed elsewhere.
 *
 * @param signal Cancels all waits at once. They end with `ECANCELED`, even if the lock or the input
 * arrived at the same moment. The lock may have been obtained, so the descriptor should be closed.
 * @param lockPath The path of the lock file that `flock` waits for. If another file is there, or
 * none, the wait ends with `ESTALE`, in the same way.
 */
export function waitingKernel(signal?: AbortSignal, lockPath?: string): AsyncKernel {
  return {
    ...kernel,
    flock(fd, operation) {
      if (operation !== 'LOCK_EX') return kernel.flock(fd, operation);
      const interrupts = [aborted(signal)];
      if (lockPath !== undefined) interrupts.push((interrupt) => watchLockFile(lockPath, fd, () => interrupt('ESTALE')));
      return wait(lockOnThread(fd), interrupts);
    },
    poll: (fd, timeoutMs) => wait(inputOnThread(fd, timeoutMs), [aborted(signal)]),
    sleep: (milliseconds) => pause(milliseconds).then(() => 0),
  };
}

/**
 * Begins a wait. Returns a function that cancels it, or the reason why it cannot begin. `done` is
 * called once, when the wait has ended.
 */
type Begin = (done: (result: 0 | Errno) => void) => (() => void) | Errno;

/** May end a wait early, with a reason. Returns a function that stops watching. */
type Interrupt = (interrupt: (why: Errno) => void) => () => void;

async function wait(begin: Begin, interrupts: readonly Interrupt[]): Promise<0 | Errno> {
  const { promise, resolve } = withResolvers<0 | Errno>();
  let interrupted: Errno | undefined;
  let cancel: (() => void) | undefined;
  const watched: (() => void)[] = [];
  const interrupt = (why: Errno): void => {
    interrupted ??= why;
    cancel?.();
  };
  try {
    for (const watch of interrupts) watched.push(watch(interrupt));
    // The interrupt may have come before there was a wait.
    if (interrupted !== undefined) return interrupted;
    const begun = begin((result) => resolve(interrupted ?? result));
    if (typeof begun === 'string') return begun;
    cancel = begun;
    return await promise;
  } finally {
    for (const unwatch of watched) unwatch();
  }
}

function aborted(signal: AbortSignal | undefined): Interrupt {
  return (interrupt) => {
    const abort = () => interrupt('ECANCELED');
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    return () => signal?.removeEventListener('abort', abort);
  };
}

function lockOnThread(fd: number): Begin {
  return (done) => {
    const begun = addon().waitFlock(fd, (result) => done(outcome(result)));
    if (typeof begun !== 'number') return begun;
    const errno = errnoName(begun);
    return errno === 'ENOSYS' ? tryAgainAndAgain(fd)(done) : errno;
  };
}

/**
 * Waits for a lock if flock(2) on a thread cannot be cancelled. It notices a dead holder late, and
 * any of several standbys may be next.
 *
 * @internal
 */
export function tryAgainAndAgain(fd: number): Begin {
  return (done) => {
    let timer: NodeJS.Timeout;
    const attempt = () => {
      const result = kernel.flock(fd, 'LOCK_EX|LOCK_NB');
      if (result === 'EAGAIN') timer = setTimeout(attempt, retryMs);
      else done(result);
    };
    timer = setTimeout(attempt, 0);
    return () => {
      clearTimeout(timer);
      done('ECANCELED');
    };
  };
}

function inputOnThread(fd: number, timeoutMs: number): Begin {
  const wholeMs = timeoutMs === Infinity ? -1 : Math.min(Math.ceil(timeoutMs), timeoutMsMax);
  return (done) => {
    const begun = addon().waitPoll(fd, (result) => done(outcome(result)), wholeMs);
    return typeof begun === 'number' ? errnoName(begun) : begun;
  };
}

function outcome(result: number): 0 | Errno {
  return result < 0 ? errnoName(result) : 0;
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers<Value>() {
  let resolve!: (value: Value) => void;
  const promise = new Promise<Value>((resolved) => {
    resolve = resolved;
  });
  return { promise, resolve };
}

import { addon } from './addon.js';
import { clearTimeout, pause, setTimeout } from './clock.js';
import type { AsyncKernel, Errno } from './kernel.js';
import { errnoName } from './errno.js';
import { kernel } from './posix.js';
import { watchLockFile } from './watch.js';

/** The longest time that poll(2) can be told, about 25 days. */
const timeoutMsMax = 2 ** 31 - 1;

/** How often the lock is tried where no thread can wait for it. */
const retryMs = 50;

/**
 * The real kernel, with a `flock`, a `poll` and a `sleep` that never keep the event loop waiting. Each wait of the first two has
 * a thread of its own, keeps the process alive, and doesn't delay its end. It works on a duplicate of the descriptor, so a connection that `poll` waits for stays open until that has ended,
 * whoever closes it.
 *
 * @param signal Calls all waits off, at once. They end with `ECANCELED`, even if what they waited for came in the same moment: the
 *   lock may have been got, and the descriptor should be closed.
 * @param lockPath Where the lock file is that `flock` waits for. When there is another file there, or none, the wait ends with
 *   `ESTALE`, and likewise.
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

/** Begins a wait and gives what calls it off, or why it can't begin. `done` is called once, when the wait has ended. */
type Begin = (done: (result: 0 | Errno) => void) => (() => void) | Errno;

/** Something that may end a wait early: it says why. Gives what ends the watching. */
type Interrupt = (interrupt: (why: Errno) => void) => () => void;

async function wait(begin: Begin, interrupts: readonly Interrupt[]): Promise<0 | Errno> {
  const { promise, resolve } = withResolvers<0 | Errno>();
  let interrupted: Errno | undefined;
  let callOff: (() => void) | undefined;
  const watched = interrupts.map((watch) =>
    watch((why) => {
      interrupted ??= why;
      callOff?.();
    }),
  );
  try {
    // The interrupt may have come before there was anything to watch.
    if (interrupted !== undefined) return interrupted;
    const begun = begin((result) => resolve(interrupted ?? result));
    if (typeof begun === 'string') return begun;
    callOff = begun;
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
 * Where flock(2) on a thread can't be called off. A dead holder is noticed late, and of several standbys any may be next.
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

import { ancestorsOf } from '../holder/ancestors.js';
import { lockWaiters } from '../inspect/locks.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** The interval of the looks, in milliseconds. */
const lookMs = 200;

/**
 * Watches whether a program wants the lock file for itself, while this process holds it for the
 * program.
 *
 * tmux and libwayland flock(2) a file of the same name, and would silently wait indefinitely. Calls
 * `wanted` when the program, or a child of it, waits for the lock.
 *
 * @returns a function that stops watching
 */
export function watchOwnLock(lockFd: number, program: () => number | undefined, wanted: (waiter: number) => void): () => void {
  const file = kernel.fstat(lockFd);
  const timer = setInterval(() => {
    const pid = program();
    if (pid === undefined || failed(file)) return;
    const waiter = lockWaiters(file).find((each) => each === pid || ancestorsOf(each).includes(pid));
    if (waiter === undefined) return;
    clearInterval(timer);
    wanted(waiter);
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}

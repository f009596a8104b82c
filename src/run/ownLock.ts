import { readFileSync } from 'node:fs';
import { lockWaiters } from '../inspect/locks.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** How often we look, in milliseconds. */
const lookMs = 200;

/** No process has more ancestors than this. */
const ancestorsMax = 64;

/**
 * Watches whether a program wants the lock file for itself, which we hold for it: tmux and libwayland flock(2) a file of the same name,
 * and would wait for us indefinitely, without a word. Calls `wanted` when the program, or a child of it, waits for the lock.
 *
 * @returns what ends the watching
 */
export function watchOwnLock(lockFd: number, program: () => number | undefined, wanted: () => void): () => void {
  const file = kernel.fstat(lockFd);
  const timer = setInterval(() => {
    const pid = program();
    if (pid === undefined || failed(file) || !lockWaiters(file).some((waiter) => isBelow(waiter, pid))) return;
    clearInterval(timer);
    wanted();
  }, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Whether a process is this one, or descends from it. */
function isBelow(pid: number, ancestor: number): boolean {
  let each: number | undefined = pid;
  for (let steps = 0; steps < ancestorsMax && each !== undefined && each > 1; steps++) {
    if (each === ancestor) return true;
    each = parentOf(each);
  }
  return false;
}

function parentOf(pid: number): number | undefined {
  try {
    const [, parent] = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return parent === undefined ? undefined : Number(parent);
  } catch {
    return undefined; // It has ended.
  }
}

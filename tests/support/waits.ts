import fs from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/**
 * Looks again and again, a turn of the event loop each, until it is so. A test that waits in vain
 * ends by the runner's limit.
 */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await setImmediate();
}

/**
 * How many are inside flock(2) and wait for the lock of this file, as the kernel counts them:
 * proc_locks(5). While others lock and unlock, a line may be missing or come twice: so wait `until`
 * it is so many. Only none is sure.
 */
export function blockedWaits(path: string): number {
  const { ino } = fs.statSync(path, { bigint: true });
  const locks = fs.readFileSync('/proc/locks', 'utf8').split('\n');
  return locks.filter((line) => line.includes('-> FLOCK') && line.includes(`:${ino} `)).length;
}

/** How many threads of this process wait for the addon. */
export function waitThreads(): number {
  return fs.readdirSync('/proc/self/task').filter((task) => nameOfThread(task) === 'reuseaddr-wait').length;
}

function nameOfThread(task: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
  } catch {
    return undefined; // It has ended since the folder was read.
  }
}

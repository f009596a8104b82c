import type { Holder } from './holder.js';
import { parentOf, startTicks } from './self.js';

/** More ancestors than the processes of a program have. */
const ancestorsMax = 64;

/**
 * Returns the parent of a process, that one's parent, and so on. Empty: there is no such process
 * (any more), or no /proc.
 *
 * A process may end while this looks, and another may get its pid. That one is younger than the
 * child, so it is left out.
 */
export function ancestorsOf(pid: number): readonly number[] {
  const ancestors: number[] = [];
  let started = startTicks(pid);
  for (let parent = parentOf(pid); parent !== undefined && parent > 0 && ancestors.length < ancestorsMax;) {
    const before = startTicks(parent);
    if (started === undefined || before === undefined || before > started) break;
    ancestors.push(parent);
    started = before;
    parent = parentOf(parent);
  }
  return ancestors;
}

/** Whether a holder is the `reuseaddr run` that started this process, directly or not. */
export function isOwnRun({ pid, host, pidNamespace, command }: Holder): boolean {
  // A process in another container may have the same pid.
  const isHere = host === undefined && pidNamespace === undefined;
  return isHere && command?.includes(' run ') === true && ancestorsOf(process.pid).includes(pid);
}

import type { Holder } from './holder.js';
import { birthOf } from './self.js';

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
  for (let child = birthOf(pid); child?.startTicks !== undefined && ancestors.length < ancestorsMax;) {
    const parent = birthOf(child.parent);
    if (parent?.startTicks === undefined || parent.startTicks > child.startTicks) break;
    ancestors.push(child.parent);
    child = parent;
  }
  return ancestors;
}

/** Whether a holder is the `reuseaddr run` that started this process, directly or not. */
export function isOwnRun({ pid, host, pidNamespace, command }: Holder): boolean {
  // A process in another container may have the same pid.
  const isHere = host === undefined && pidNamespace === undefined;
  return isHere && command?.includes(' run ') === true && ancestorsOf(process.pid).includes(pid);
}

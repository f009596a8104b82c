import { parentOf } from './self.js';

/**
 * Whether another process is a worker of the same node:cluster as this process. Known on Linux
 * only.
 */
export function isFellowWorker(pid: number): boolean {
  return isWorker() && parentOf(pid) === process.ppid;
}

/**
 * node:cluster is loaded only if this is called: importing it would slow down the start of every
 * program.
 */
function isWorker(): boolean {
  const cluster = process.getBuiltinModule('node:cluster') as unknown as { readonly isWorker?: boolean } | undefined;
  return cluster?.isWorker === true;
}

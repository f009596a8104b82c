import { parentOf } from './self.js';

/** Whether another process is a worker of the node:cluster whose worker this process is. Known on Linux only. */
export function isFellowWorker(pid: number): boolean {
  return isWorker() && parentOf(pid) === process.ppid;
}

/** Looked up when it is asked: to load node:cluster with this package would cost every program something. */
function isWorker(): boolean {
  const cluster = process.getBuiltinModule('node:cluster') as unknown as { readonly isWorker?: boolean } | undefined;
  return cluster?.isWorker === true;
}

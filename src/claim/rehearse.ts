import type { FileStatus, Operation, SystemCall } from '../kernel/kernel.js';
import { writeRecord } from './acquire.js';
import { bindUnderLock, type Terms } from './bind.js';
import type { Named, Place } from './place.js';

/** Of no directory: nothing looks there. */
const directory = { fd: -1, path: '/nowhere', through: '/nowhere' };
const [socketName, lock, aside] = ['p', 'p.lock', '.p.aside'].map((name) => ({ directory, name })) as [Named, Named, Named];
const place: Place = { ...socketName, lock, aside, path: 'p', lockPath: 'p.lock', asidePath: '.p.aside', long: false };

const socket: FileStatus = { type: 'socket', dev: 1n, ino: 1n, mode: 0o600, uid: 0, gid: 0, nlink: 1, size: 0 };

/**
 * Steps 5 to 10, over the stale socket of a holder that died, with no kernel: each system call is answered as a kernel would, and none
 * is made. A standby does this while it waits. JavaScript that runs for the first time is compiled first, and at the failover, when
 * nobody serves, that would take longer than the steps themselves.
 *
 * @returns the calls that were asked for, in their order
 */
export function rehearse(terms: Terms): readonly SystemCall['name'][] {
  const asked: SystemCall['name'][] = [];
  play(bindUnderLock(place, terms), asked);
  play(writeRecord(0, terms.record), asked);
  return asked;
}

function play(operation: Operation<unknown>, asked: SystemCall['name'][]): void {
  let step = operation.next();
  while (!step.done) {
    const result = answer(step.value, asked);
    asked.push(step.value.name);
    step = operation.next(result);
  }
}

function answer({ name, args }: SystemCall, before: readonly SystemCall['name'][]): unknown {
  if (name === 'bind') return before.includes('unlinkat') ? 0 : 'EADDRINUSE';
  if (name === 'fstatat') return args[1] === aside.name && !before.includes('renameat2') ? 'ENOENT' : socket;
  if (name === 'probe') return 'ECONNREFUSED';
  if (name === 'fstat') return socket;
  if (name === 'sock_diag') return { dev: socket.dev, ino: socket.ino };
  return 0;
}

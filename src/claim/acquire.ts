import { hasConnections } from '../address/socketType.js';
import { failed, sys, type Operation } from '../kernel/kernel.js';
import { bindUnderLock, type Identity, type Terms } from './bindUnderLock.js';
import type { Place } from './place.js';
import { removeAndUnlock, lockFile, termsOfStart, type LockFile } from './lock.js';
import { padded } from './record.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';

/** A claim on a pathname: its descriptors, and the file that the socket is bound to. */
export interface PathnameClaim {
  readonly lockFd: number;
  readonly listenFd: number;
  readonly identity: Identity;
  /** Whether the release removes the lock file. */
  readonly removesLock?: boolean | undefined;
}

/**
 * Claims a pathname.
 *
 * - G1: at most one process at a time is past `lock`. Only a process that has locked the lock file
 *   unlinks it, as its last step, and each process compares the inodes after it has locked.
 * - G3: the kernel releases the lock of a process that dies. The socket file that it leaves is
 *   dead, and is removed here.
 */
export function* acquire(place: Place, terms: Terms, wait = false): Operation<PathnameClaim | Refusal> {
  const locked = yield* lockFile(place, wait, termsOfStart);
  if (isRefusal(locked)) return locked;
  const { lockFd } = locked;
  const removesLock = removes(terms, locked);
  const bound = yield* bindUnderLock(place, terms);
  if (isRefusal(bound)) {
    if (removesLock) yield* removeAndUnlock(place, lockFd);
    else yield* sys.close(lockFd);
    return bound;
  }
  yield* writeRecord(lockFd, terms.record);
  return { lockFd, removesLock, ...bound };
}

/** Whether a claim in a lock file removes that file at its release. */
export function removes({ lockFile: rule }: Terms, { made }: Pick<LockFile, 'made'>): boolean {
  return rule === 'remove' || (rule === 'remove-made' && made);
}

/**
 * The step "record". It raises no event: a program that watches the directory, and restarts this
 * one at each change, must not take a start for a change. The first start in a file makes it as
 * long as all records are. A full disk is not a reason to fail.
 */
export function* writeRecord(lockFd: number, record: string): Operation<void> {
  if (!failed(yield* sys.mmap(lockFd, record))) return;
  const written = yield* sys.pwrite(lockFd, padded(record));
  if (!failed(written)) yield* sys.ftruncate(lockFd, written);
}

/** Records that no process holds the claim, without an event. */
export function* eraseRecord(lockFd: number): Operation<void> {
  if (failed(yield* sys.mmap(lockFd, ''))) yield* sys.ftruncate(lockFd, 0);
}

/**
 * Claims an abstract name: the kernel's own table excludes a second holder, and forgets a dead one.
 */
export function* acquireAbstract(name: string, terms: Terms): Operation<{ readonly listenFd: number } | Refusal> {
  const listenFd = yield* sys.socket(terms.type);
  if (failed(listenFd)) return refuse('system', listenFd, 'socket');
  const bound = yield* sys.bind(listenFd, `\0${name}`);
  const listening = failed(bound) || !hasConnections(terms.type) ? bound : yield* sys.listen(listenFd, terms.backlog);
  if (!failed(listening)) return { listenFd };
  yield* sys.close(listenFd);
  if (bound === 'EADDRINUSE') return refuse('held', 'EADDRINUSE', 'bind');
  return refuse('system', listening, failed(bound) ? 'bind' : 'listen');
}

import { sys, type Operation } from '../kernel/kernel.js';
import { eraseRecord, type PathnameClaim } from './acquire.js';
import type { Place } from './place.js';
import { removeAndUnlock, unlinkLocked } from './lock.js';
import { isInode, removeIf, type Removal } from './removeIf.js';

/**
 * The step "remove" of a release: removes our socket file, and nothing else (G5).
 *
 * The socket is still open, and pins its inode. After the close, the file system may give the same
 * number to the next file (ext4 does so at once), and the comparison would lie. The lock is still
 * held, so the file is never a successor's.
 */
export function removeSocketFile(place: Place, { identity }: Pick<PathnameClaim, 'identity'>): Operation<Removal> {
  return removeIf(place, isInode(identity));
}

/**
 * The step "unlock" of a release, after the listening socket was closed. It uses close(2), never
 * LOCK_UN: after a handover other processes share the open file description, and LOCK_UN would take
 * the lock from all of them.
 */
export function* eraseAndUnlock({ lockFd }: Pick<PathnameClaim, 'lockFd'>): Operation<void> {
  try {
    yield* eraseRecord(lockFd);
  } finally {
    yield* sys.close(lockFd);
  }
}

/** Gives the lock up: removes the lock file, or keeps it without a record. */
export function* unlock(place: Place, { lockFd, removesLock }: Pick<PathnameClaim, 'lockFd' | 'removesLock'>): Operation<void> {
  if (removesLock === true) yield* removeAndUnlock(place, lockFd);
  else yield* eraseAndUnlock({ lockFd });
}

/** Does the same at the exit of the process: the kernel then closes the descriptor. */
export function* unlockAtExit(
  place: Place,
  { lockFd, removesLock }: Pick<PathnameClaim, 'lockFd' | 'removesLock'>,
): Operation<void> {
  if (removesLock === true) yield* unlinkLocked(place, lockFd);
  else yield* eraseRecord(lockFd);
}

/**
 * Makes a whole release. If the runtime owns the listening socket, the runtime closes it between
 * the two halves.
 */
export function* release(place: Place, claim: PathnameClaim): Operation<Removal> {
  const removal = yield* removeSocketFile(place, claim);
  yield* sys.close(claim.listenFd);
  yield* unlock(place, claim);
  return removal;
}

import { failed, sys, type Errno, type Operation } from '../kernel/kernel.js';
import type { Place } from './place.js';
import { createLockFile, removeAndUnlock, lock, lockFile, termsOfExisting } from './lock.js';
import { isRefusal, type Refusal } from './refusal.js';

/**
 * Removes a socket file because a program asked for it, unless its claim is held.
 *
 * It holds the lock meanwhile, so no claim can begin between the question and the unlink(2). A lock
 * file that this creates is removed again. Returns the refusal if the lock is not free, and the
 * result of unlink(2) otherwise.
 */
export function* unlinkUnclaimed(place: Place): Operation<0 | Errno | Refusal> {
  const locked = yield* lockFile(place, false, { claims: false, create: createLockFile });
  if (isRefusal(locked)) return locked;
  const removed = yield* sys.unlinkat(place.directory.fd, place.name);
  if (locked.made) yield* removeAndUnlock(place, locked.lockFd);
  else yield* sys.close(locked.lockFd);
  return removed;
}

/** Removes the lock file of an address, unless a process has the lock. */
export function* unlinkLock(place: Place): Operation<void> {
  const locked = yield* lockFile(place, false, termsOfExisting);
  if (!isRefusal(locked)) yield* removeAndUnlock(place, locked.lockFd);
}

/**
 * Returns the refusal that a start would meet now if the claim is held. Creates and changes
 * nothing.
 */
export function* findRefusal(place: Place): Operation<Refusal | undefined> {
  if (failed(yield* sys.fstatat(place.lock.directory.fd, place.lock.name))) return undefined;
  const lockFd = yield* lock(place, false);
  if (isRefusal(lockFd)) return lockFd;
  yield* sys.close(lockFd);
  return undefined;
}

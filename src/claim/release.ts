import { sys, type Operation } from '../kernel/kernel.js';
import { eraseRecord, type PathnameClaim } from './acquire.js';
import type { Place } from './place.js';
import { isInode, take, type Taken } from './take.js';

/**
 * Step 1 of a release: removes our socket file, and nothing else. G5.
 *
 * While our socket is still open: it pins its inode. After the close the file system may give the same number to the next file
 * (ext4 does so at once), and the comparison would lie. And while we still have the lock: a successor's file is never there.
 */
export function removeSocketFile(place: Place, { identity }: Pick<PathnameClaim, 'identity'>): Operation<Taken> {
  return take(place, isInode(identity));
}

/**
 * Steps 3 and 4: gives up the lock, after the listening socket was closed. By close(2), never LOCK_UN: after a hand-over others
 * have the same open file description, and LOCK_UN would take the lock from all of them.
 */
export function* releaseLock({ lockFd }: Pick<PathnameClaim, 'lockFd'>): Operation<void> {
  try {
    yield* eraseRecord(lockFd);
  } finally {
    yield* sys.close(lockFd);
  }
}

/** A whole release. Where the runtime owns the listening socket, it closes that between the two halves itself. */
export function* release(place: Place, claim: PathnameClaim): Operation<Taken> {
  const taken = yield* removeSocketFile(place, claim);
  yield* sys.close(claim.listenFd);
  yield* releaseLock(claim);
  return taken;
}

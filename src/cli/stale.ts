import { lock } from '../claim/lock.js';
import type { Place } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { releaseLock } from '../claim/release.js';
import { isDead, take, type Taken, type Unproved } from '../claim/take.js';
import { explain } from '../errors/explain.js';
import { joined, partsOf } from '../errors/message.js';
import { failed, run, type FileStatus } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { frontEndOf } from './frontEnd.js';

/** What came of cleaning one socket file. */
export type Cleaned =
  | { readonly outcome: 'removed' | 'gone' }
  | { readonly outcome: 'kept'; readonly reason: 'live' | 'not-a-socket' }
  | { readonly outcome: 'failed'; readonly reason: string; readonly message: string };

/** Whether a socket file is stale, as far as it can be seen without the lock. */
export function looksStale(place: Place): Cleaned {
  const status = kernel.fstatat(place.directory.fd, place.name);
  if (status === 'ENOENT') return { outcome: 'gone' };
  if (failed(status)) return refused('system', `lstat failed with ${status}`);
  const verdict = run(kernel, isDead(place, status));
  return verdict === 'proved' ? { outcome: 'removed' } : unproved(verdict);
}

/**
 * Removes a socket file if it is stale: under its lock, and by the same steps as a start, so that whoever starts at this moment keeps
 * what is theirs. G4. The lock file that this leaves is empty, and belongs to the owner of the socket.
 */
export function removeStale(place: Place): Cleaned {
  // First without the lock: to lock what is live could make a starter fail, and would leave a lock file at every live socket.
  const first = looksStale(place);
  if (first.outcome !== 'removed') return first;
  const socket = kernel.fstatat(place.directory.fd, place.name);
  if (failed(socket)) return { outcome: 'gone' };

  const isNew = kernel.fstatat(place.lock.directory.fd, place.lock.name) === 'ENOENT';
  const user = kernel.geteuid();
  if (isNew && user !== 0 && socket.uid !== user) {
    // Our lock file would keep its owner from ever starting there again.
    return refused('not-yours', `it belongs to user ${socket.uid}: run this as that user, or as root`);
  }
  const lockFd = run(kernel, lock(place, false));
  // Something has taken the name since, and no lock file was made.
  if (isRefusal(lockFd) && lockFd.refused === 'stray') return { outcome: 'kept', reason: 'live' };
  if (isRefusal(lockFd) && lockFd.refused === 'not-a-socket') return { outcome: 'kept', reason: 'not-a-socket' };
  if (isRefusal(lockFd)) {
    const { reason, explanation } = explain(place.path, lockFd, undefined, 'clean');
    const { happened, todo } = partsOf(explanation, frontEndOf({}));
    return { outcome: 'failed', reason, message: joined(`${happened}.`, todo) };
  }
  if (isNew) giveAway(lockFd, socket);
  const taken = run(kernel, take(place, isDead));
  run(kernel, releaseLock({ lockFd }));
  return explainTaken(taken);
}

/** A lock file of root's, mode 0600, would keep the socket's owner from starting there again. */
function giveAway(lockFd: number, { uid, gid }: FileStatus): void {
  if (uid === kernel.geteuid()) return;
  kernel.fchownat(lockFd, '', uid, gid);
}

function explainTaken(taken: Taken): Cleaned {
  switch (taken.outcome) {
    case 'removed':
    case 'gone':
      return { outcome: taken.outcome };
    case 'kept':
      return unproved(taken.why);
    case 'left-aside':
      return refused(
        'aside-occupied',
        'another process took the name meanwhile; the file that was there is next to it, as .NAME.reuseaddr-aside',
      );
    case 'failed':
      return refused('system', `${taken.syscall} failed with ${taken.errno}`);
  }
}

function unproved(why: Unproved): Cleaned {
  if (why === 'live' || why === 'not-a-socket') return { outcome: 'kept', reason: why };
  if (why === 'another-inode') return { outcome: 'kept', reason: 'live' };
  if (why.errno === 'ENOENT') return { outcome: 'gone' };
  return refused(
    'system',
    why.errno === 'EACCES' ? 'this user may not find out whether it is stale' : `connect failed with ${why.errno}`,
  );
}

function refused(reason: string, clause: string): Cleaned {
  return { outcome: 'failed', reason, message: `${clause}.` };
}

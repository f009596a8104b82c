import { judgeLock, removeLock, type LockRemoved } from '../claim/removeLock.js';
import { judge, removeStale } from '../claim/removeStale.js';
import { explainKept as refusalOf } from '../claim/bindUnderLock.js';
import type { Place } from '../claim/place.js';
import { cleaningRecord } from '../claim/record.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import type { Removal, Unproved } from '../claim/removeIf.js';
import { explain } from '../errors/explain.js';
import { joined, partsOf } from '../errors/messageOf.js';
import { ownRecord } from '../holder/self.js';
import type { Guarded } from '../inspect/guardedPlace.js';
import { lockKey } from '../inspect/locks.js';
import { failed, run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { frontEndOf } from './frontEnd.js';

/** The outcome of cleaning one socket file, or one lock file. */
export type Cleaned =
  | { readonly outcome: 'removed' | 'gone' }
  | { readonly outcome: 'kept'; readonly reason: 'live' | 'not-a-socket' | (LockRemoved & { outcome: 'kept' })['why'] }
  | { readonly outcome: 'failed'; readonly reason: string; readonly message: string };

/** Whether `clean` would remove a socket file, as far as it can be seen without the lock. */
export function looksStale({ place }: Guarded, address: string): Cleaned {
  const judged = run(kernel, judge(place));
  return judged === 'proved' ? { outcome: 'removed' } : explainKept(place, judged, address);
}

/** Removes a socket file if it is stale. */
export function clean({ place, guards }: Guarded, address: string): Cleaned {
  const outcome = run(kernel, removeStale({ place, guards, record: cleaningRecord(ownRecord()) }));
  return isRefusal(outcome) ? explainRefusal(outcome, address) : explainKept(place, outcome, address);
}

/**
 * Whether `cleanLock` would remove a lock file, as far as it can be seen without the lock.
 *
 * @param locked the files that some process has locked
 * @param absent whether to take a file of this name for absent
 */
export function looksUnused(place: Place, locked: ReadonlySet<string>, absent: (name: string) => boolean): Cleaned {
  const judged = run(kernel, judgeLock(place, absent));
  if (judged !== 'proved') return explainLock(judged, place);
  const file = kernel.fstatat(place.lock.directory.fd, place.lock.name);
  return !failed(file) && locked.has(lockKey(file)) ? { outcome: 'kept', reason: 'locked' } : { outcome: 'removed' };
}

/** Removes a lock file that no process holds, and that guards no file. */
export function cleanLock(place: Place): Cleaned {
  return explainLock(run(kernel, removeLock(place, cleaningRecord(ownRecord()))), place);
}

function explainLock(outcome: LockRemoved | Refusal, { path }: Place): Cleaned {
  if (isRefusal(outcome)) return explainRefusal(outcome, path);
  return outcome.outcome === 'kept' ? { outcome: 'kept', reason: outcome.why } : outcome;
}

function explainRefusal(refusal: Refusal, address: string): Cleaned {
  if (refusal.refused === 'held') return { outcome: 'kept', reason: 'live' };
  // Our lock file would prevent that user from starting there.
  if (refusal.syscall === 'chown')
    return refused('not-yours', 'another user starts programs there. Run this as that user, or as root');
  const { reason, explanation } = explain(address, refusal, undefined, 'clean');
  const { happened, todo } = partsOf(explanation, frontEndOf({}));
  return { outcome: 'failed', reason, message: joined(`${happened}.`, todo) };
}

function explainKept(place: Place, taken: Removal, address: string): Cleaned {
  switch (taken.outcome) {
    case 'removed':
    case 'gone':
      return { outcome: taken.outcome };
    case 'kept':
      return unproved(taken.why);
    case 'left-aside':
      return refused(
        'aside-occupied',
        'another process took its name meanwhile. The file is now next to it, as .reuseaddr-aside.NAME',
      );
    case 'failed':
      return explainRefusal(refusalOf(place, taken), address);
  }
}

function unproved(why: Unproved): Cleaned {
  if (why === 'live' || why === 'not-a-socket') return { outcome: 'kept', reason: why };
  if (why === 'another-inode') return { outcome: 'kept', reason: 'live' };
  if (why.errno === 'ENOENT') return { outcome: 'gone' };
  return refused(
    'system',
    why.errno === 'EACCES' ? 'permission denied: whether it is stale cannot be determined' : `connect failed with ${why.errno}`,
  );
}

function refused(reason: string, clause: string): Cleaned {
  return { outcome: 'failed', reason, message: `${clause}.` };
}

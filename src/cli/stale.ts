import { judge, removeStale } from '../claim/removeStale.js';
import { explainTaken as refusalOf } from '../claim/bind.js';
import type { Place } from '../claim/place.js';
import { cleaningRecord } from '../claim/record.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import type { Taken, Unproved } from '../claim/take.js';
import { explain } from '../errors/explain.js';
import { joined, partsOf } from '../errors/message.js';
import { ownRecord } from '../holder/self.js';
import type { Guarded } from '../inspect/guard.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { frontEndOf } from './frontEnd.js';

/** The outcome of cleaning one socket file. */
export type Cleaned =
  | { readonly outcome: 'removed' | 'gone' }
  | { readonly outcome: 'kept'; readonly reason: 'live' | 'not-a-socket' }
  | { readonly outcome: 'failed'; readonly reason: string; readonly message: string };

/** Whether `clean` would remove a socket file, as far as it can be seen without the lock. */
export function looksStale({ place }: Guarded, address: string): Cleaned {
  const judged = run(kernel, judge(place));
  return judged === 'proved' ? { outcome: 'removed' } : explainTaken(place, judged, address);
}

/** Removes a socket file if it is stale. */
export function clean({ place, guards }: Guarded, address: string): Cleaned {
  const outcome = run(kernel, removeStale({ place, guards, record: cleaningRecord(ownRecord()) }));
  return isRefusal(outcome) ? explainRefusal(outcome, address) : explainTaken(place, outcome, address);
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

function explainTaken(place: Place, taken: Taken, address: string): Cleaned {
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

import { sys, type Operation } from '../kernel/kernel.js';
import { writeRecord } from './acquire.js';
import { explainTaken, recoverAside } from './bind.js';
import type { Place } from './place.js';
import { lock, restsMs } from './lock.js';
import { isRefusal, type Refusal } from './refusal.js';
import { isDead, take } from './take.js';

/**
 * Claims a pathname for a program that binds it by itself: takes the lock, and clears the way to bind(2), steps 1 to 5 and 7.
 * Gives the descriptor that holds the lock; whoever shares it has the claim.
 */
export function* reserve(place: Place, record: string, wait: boolean): Operation<number | Refusal> {
  const lockFd = yield* lock(place, wait);
  if (isRefusal(lockFd)) return lockFd;
  const refused = (yield* recoverAside(place)) ?? (yield* clearStale(place));
  if (refused !== undefined) {
    yield* sys.close(lockFd);
    return refused;
  }
  yield* writeRecord(lockFd, record);
  return lockFd;
}

/**
 * Removes the socket that a dead program left, under the lock. It is probed without a bind(2) before it, so a stranger's
 * half-finished bind may look dead; but the rename in `take` waits for the directory until that is over, and the second proof says
 * that it lives.
 */
export function* clearStale(place: Place): Operation<Refusal | undefined> {
  for (let rest = 0; ; rest++) {
    const taken = yield* take(place, isDead);
    if (taken.outcome === 'removed' || taken.outcome === 'gone') return undefined;
    // A killed process may close its lock a moment before its socket (Linux 6 begins with the highest descriptor): not all that
    // is live is a stray.
    const restMs = restsMs[rest];
    if (taken.outcome !== 'kept' || taken.why !== 'live' || restMs === undefined) return explainTaken(place, taken);
    yield* sys.sleep(restMs);
  }
}

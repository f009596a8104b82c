import { sys, type Operation } from '../kernel/kernel.js';
import { writeRecord } from './acquire.js';
import { explainKept, recoverAside } from './bindUnderLock.js';
import { directoriesOf, isInPlace, type Place } from './place.js';
import { lock, restsMs } from './lock.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { isDead, removeIf } from './removeIf.js';

/**
 * Claims a pathname for a program that binds it by itself: takes the lock, recovers, and removes a
 * dead socket. Returns the descriptor that holds the lock; every process that shares it shares the
 * claim.
 */
export function* acquireUnbound(place: Place, record: string, wait: boolean): Operation<number | Refusal> {
  const lockFd = yield* lock(place, wait);
  if (isRefusal(lockFd)) return lockFd;
  const refused = (yield* findReplaced(place)) ?? (yield* recoverAside(place)) ?? (yield* removeDead(place));
  if (refused !== undefined) {
    yield* sys.close(lockFd);
    return refused;
  }
  yield* writeRecord(lockFd, record);
  return lockFd;
}

/**
 * Returns the refusal if the path leads to another directory than the pinned one by now. The
 * program would bind there, and the lock means nothing there.
 */
export function* findReplaced(place: Place): Operation<Refusal | undefined> {
  for (const directory of directoriesOf(place))
    if (!(yield* isInPlace(directory))) return refuse('directory-moved', 'ESTALE', 'flock', directory.path);
  return undefined;
}

/**
 * Removes the socket that a dead program left, under the lock.
 *
 * It is probed without a preceding bind(2), so another program's half-finished bind may look dead.
 * But the rename in `removeIf` waits for the directory until that bind is over, and the second
 * proof finds the socket live.
 */
export function* removeDead(place: Place): Operation<Refusal | undefined> {
  for (let rest = 0; ; rest++) {
    const removal = yield* removeIf(place, isDead);
    if (removal.outcome === 'removed' || removal.outcome === 'gone') return undefined;
    // A killed process may close its lock a moment before its socket, because Linux 6 begins with
    // the highest descriptor. A live socket is not yet a stray.
    const restMs = restsMs[rest];
    if (removal.outcome !== 'kept' || removal.why !== 'live' || restMs === undefined) return explainKept(place, removal);
    yield* sys.sleep(restMs);
  }
}

import { lock } from '../claim/lock.js';
import type { Place } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { eraseAndUnlock } from '../claim/release.js';
import { isDead, removeIf } from '../claim/removeIf.js';
import { run, type Kernel, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/**
 * Removes the files of a claim that two processes shared, and that both gave up at the same time.
 *
 * Each calls this after it has closed its share, so whichever is the last finds the lock free. If
 * the other process is the holder, the lock is taken, and nothing happens.
 */
export function removeAbandoned(place: Place): void {
  run(unresting(), lockAndRemove(place));
}

/** One operation, so that an exception closes the lock too. */
function* lockAndRemove(place: Place): Operation<void> {
  const lockFd = yield* lock(place, false);
  if (isRefusal(lockFd)) return;
  if (place.handover !== undefined) yield* removeIf(place.handover, isDead);
  yield* removeIf(place, isDead);
  yield* eraseAndUnlock({ lockFd });
}

/**
 * Does not pause: the process that has the lock now will either come here itself, or is the next
 * holder.
 */
const unresting = (): Kernel => ({ ...kernel, sleep: () => 0 });

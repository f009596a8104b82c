import { isRefusal, type Refusal } from '../claim/refusal.js';
import { clearTimeout, pause, pauses, setTimeout } from '../kernel/clock.js';
import type { Request } from '../request/readRequest.js';
import { isInUse } from './refused.js';

/**
 * Waits for an address as long as it may come, and no longer than was requested.
 *
 * A held pathname is waited for in flock(2), by the attempt itself. The kernel does not tell when a
 * stray or an abstract name goes away, so these are looked at repeatedly.
 *
 * @param attempt makes an attempt that waits until the signal is aborted. It resolves the address
 * again: the path may lead to another directory by now.
 */
export async function waitFor<Outcome extends object>(
  { waitMs = Infinity, signal }: Request,
  first: Refusal,
  attempt: (signal: AbortSignal) => Promise<Outcome | Refusal>,
): Promise<Outcome | Refusal> {
  const deadline = new AbortController();
  // Not AbortSignal.timeout: nothing would protect it from the garbage collector.
  const timer = waitMs === Infinity ? undefined : setTimeout(() => deadline.abort(), waitMs);
  const end = signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, signal]);
  let refusal = first;
  try {
    for (const pauseMs of pauses()) {
      const outcome = await attempt(end);
      if (!isRefusal(outcome)) return outcome;
      if (outcome.refused === 'cancelled') return { ...outcome, record: outcome.record ?? refusal.record };
      if (!mayCome(outcome)) return outcome;
      refusal = outcome;
      await pause(pauseMs, end);
      if (end.aborted) return { ...refusal, refused: 'cancelled', errno: 'EADDRINUSE' };
    }
    return refusal;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Whether a wait may end this refusal. It continues even if the lock file was often removed
 * meanwhile, or another directory is at the path.
 */
export function mayCome(refusal: Refusal): boolean {
  return isInUse(refusal) || refusal.refused === 'lock-unstable' || refusal.refused === 'directory-moved';
}

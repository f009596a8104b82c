import { isRefusal, type Refusal } from '../claim/refusal.js';
import { runPromptly } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Acceptor } from './acceptor.js';
import { acquireTarget, type Attempt } from './attempt.js';
import { Hold } from './hold.js';

/**
 * Makes the claim, and has the acceptor accept on it. The usual attempt ends in this very turn.
 *
 * @param waits If given, waits while another process has the lock, until this is aborted.
 */
export async function acquireAndStart(attempt: Attempt, acceptor: Acceptor, waits?: AbortSignal): Promise<Hold | Refusal> {
  const { target } = attempt;
  const lockPath = 'abstract' in target || waits === undefined ? undefined : target.place.lockPath;
  const claiming = runPromptly(waitingKernel(waits, lockPath), acquireTarget(attempt, waits !== undefined));
  const held = claiming instanceof Promise ? await claiming : claiming;
  const hold = isRefusal(held) ? held : Hold.of(held, attempt, acceptor);
  if (!isRefusal(hold)) await hold.start();
  return hold;
}

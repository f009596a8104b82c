import { isRefusal, type Refusal } from '../claim/refusal.js';
import { runPromptly } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Acceptor } from './acceptor.js';
import { acquireTarget, type Attempt } from './attempt.js';
import { Hold } from './hold.js';
import { inheritAnswer } from './inherit.js';
import { askSupervisor } from './askSupervisor.js';

/**
 * Makes the claim, or gets the socket of the `reuseaddr run` above, and has the acceptor accept on
 * it. The usual attempt ends in this very turn.
 *
 * @param waits If given, waits while another process has the lock, until this is aborted.
 */
export async function acquireAndStart(attempt: Attempt, acceptor: Acceptor, waits?: AbortSignal): Promise<Hold | Refusal> {
  const { request, target } = attempt;
  const asked = askSupervisor(attempt, waits ?? request.signal);
  const answer = inheritAnswer(asked instanceof Promise ? await asked : asked, attempt, acceptor);
  if (answer instanceof Hold) return await answer.start();
  if (isRefusal(answer)) return answer;
  const lockPath = 'abstract' in target || waits === undefined ? undefined : target.place.lockPath;
  const claiming = runPromptly(waitingKernel(waits, lockPath), acquireTarget(attempt, waits !== undefined));
  const held = claiming instanceof Promise ? await claiming : claiming;
  const hold = isRefusal(held) ? { ...held, unpassed: answer } : Hold.of(held, attempt, acceptor);
  if (!isRefusal(hold)) await hold.start();
  return hold;
}

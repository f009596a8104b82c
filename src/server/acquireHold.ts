import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isOwnRun } from '../holder/ancestors.js';
import { holderOfRecord } from '../holder/holder.js';
import { run, runPromptly } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Request } from '../request/readRequest.js';
import type { Acceptor } from './acceptor.js';
import { beginAttempt, acquireTarget, endAttempt, type Attempt } from './attempt.js';
import { Hold } from './hold.js';
import { inherit, inheritNow } from './inherit.js';
import { explainStart, happened, isInUse, refusedStart } from './refused.js';
import { takeOver } from './takeover.js';
import { say, trace, traceNow } from './trace.js';
import { waitFor } from './waitFor.js';

/** Makes the claim at once, without waiting for another process. The acceptor has not started. */
export function acquireHoldNow(request: Request, acceptor: Acceptor): Hold {
  const attempt = beginAttempt(request);
  const acquiring = (): Hold => {
    const answer = inheritNow(attempt, acceptor);
    if (answer instanceof Hold) return answer;
    if (isRefusal(answer)) throw refusedStart(attempt, answer);
    const held = run(kernel, acquireTarget(attempt));
    if (isRefusal(held)) throw refusedStart(attempt, { ...held, unpassed: answer });
    return new Hold(held, attempt, acceptor);
  };
  try {
    return traceNow('reuseaddr.claim', () => ({ address: request.text }), acquiring);
  } finally {
    endAttempt(attempt);
  }
}

/**
 * Makes the claim in the requested ways: at once; if the address is in use, by a handover; and if
 * that fails too, by waiting. The acceptor has started when this returns.
 */
export async function acquireHold(request: Request, acceptor: Acceptor): Promise<Hold> {
  const attempt = beginAttempt(request);
  const acquiring = (): Promise<Hold> => acquireInTurn(attempt, acceptor);
  try {
    return await trace('reuseaddr.claim', () => ({ address: request.text }), acquiring);
  } finally {
    endAttempt(attempt);
  }
}

async function acquireInTurn(attempt: Attempt, acceptor: Acceptor): Promise<Hold> {
  const { signal, takeoverMs, waitMs } = attempt.request;
  signal?.throwIfAborted();
  let hold = await acquireAndStart(attempt, acceptor);
  if (isRefusal(hold)) signal?.throwIfAborted();
  if (isRefusal(hold) && isHeldByOwnRun(hold)) throw refusedStart(attempt, hold);
  if (isInUse(hold) && takeoverMs !== undefined && hold.pid === undefined)
    hold = await traceTakeover(attempt, acceptor, takeoverMs, hold);
  if (isRefusal(hold)) signal?.throwIfAborted();
  if (isInUse(hold) && waitMs !== undefined) hold = await traceWait(attempt, acceptor, hold);
  if (!isRefusal(hold)) return hold;
  signal?.throwIfAborted();
  throw refusedStart(attempt, hold);
}

/**
 * Inherits the claim, or makes it, and has the acceptor accept on it. The usual attempt ends in
 * this very turn.
 *
 * @param waits If given, waits while another process has the lock, until this is aborted.
 */
async function acquireAndStart(attempt: Attempt, acceptor: Acceptor, waits?: AbortSignal): Promise<Hold | Refusal> {
  const { request, target } = attempt;
  const asked = inherit(attempt, acceptor, waits ?? request.signal);
  const answer = asked instanceof Promise ? await asked : asked;
  if (answer instanceof Hold) return await answer.start();
  if (isRefusal(answer)) return answer;
  const lockPath = 'abstract' in target || waits === undefined ? undefined : target.place.lockPath;
  const acquiring = runPromptly(waitingKernel(waits, lockPath), acquireTarget(attempt, waits !== undefined));
  const held = acquiring instanceof Promise ? await acquiring : acquiring;
  const hold = isRefusal(held) ? { ...held, unpassed: answer } : Hold.of(held, attempt, acceptor);
  if (!isRefusal(hold)) await hold.start();
  return hold;
}

/** The `run` above does not end before its program, nor should it hand over to it. */
function isHeldByOwnRun({ refused: why, record }: Refusal): boolean {
  const holder = why === 'held' ? holderOfRecord(record) : undefined;
  return holder !== undefined && isOwnRun(holder);
}

function traceTakeover(attempt: Attempt, acceptor: Acceptor, takeoverMs: number, refusal: Refusal): Promise<Hold | Refusal> {
  const { text } = attempt.request;
  say(text, () => `asks for a handover, because ${happened(explainStart(attempt, refusal))}`);
  return trace(
    'reuseaddr.takeover',
    () => ({ address: text }),
    async (context) => {
      const taken = await takeOver(attempt, acceptor, takeoverMs, refusal, () => acquireAndStart(attempt, acceptor));
      const outcome = isRefusal(taken) ? (taken.handover ?? taken.refused) : 'taken';
      if (context !== undefined) context.outcome = outcome;
      say(text, () => (outcome === 'taken' ? 'was handed over' : `was not handed over: ${outcome}`));
      return taken;
    },
  );
}

function traceWait(attempt: Attempt, acceptor: Acceptor, refusal: Refusal): Promise<Hold | Refusal> {
  const { text } = attempt.request;
  say(text, () => `waits, because ${happened(explainStart(attempt, refusal))}`);
  return trace(
    'reuseaddr.wait',
    () => {
      const { reason, holder } = explainStart(attempt, refusal);
      return { address: text, reason, holder };
    },
    () => waitFor(attempt.request, refusal, (signal) => acquireAgain(attempt.request, acceptor, signal)),
  );
}

/** Makes another attempt: the path may lead to another directory by now. */
async function acquireAgain(request: Request, acceptor: Acceptor, signal: AbortSignal): Promise<Hold | Refusal> {
  const attempt = beginAttempt(request);
  try {
    return await acquireAndStart(attempt, acceptor, signal);
  } finally {
    endAttempt(attempt);
  }
}

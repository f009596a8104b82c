import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isOwnRun } from '../holder/ancestors.js';
import { holderOfRecord } from '../holder/holder.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/readRequest.js';
import type { Acceptor } from './acceptor.js';
import { beginAttempt, acquireTarget, endAttempt, type Attempt } from './attempt.js';
import { acquireAndStart } from './acquireAndStart.js';
import type { Held } from './held.js';
import { Hold } from './hold.js';
import { inherit, inheritAnswer } from './inherit.js';
import { explainStart, happened, isInUse, refusedStart } from './refused.js';
import { askSupervisorNow } from './askSupervisor.js';
import { takeOver } from './takeover.js';
import { say, trace, traceNow } from './trace.js';
import { waitFor } from './waitFor.js';

/** Makes the claim at once, without waiting for another process. The acceptor has not started. */
export function acquireHoldNow(request: Request, acceptor: Acceptor): Hold {
  const attempt = beginAttempt(request);
  const claiming = (): Hold => {
    const held = inherit(attempt, acceptor) ?? acquireNow(attempt, acceptor);
    if (isRefusal(held)) throw refusedStart(attempt, held);
    return held instanceof Hold ? held : new Hold(held, attempt, acceptor);
  };
  try {
    return traceNow('reuseaddr.claim', () => ({ address: request.text }), claiming);
  } finally {
    endAttempt(attempt);
  }
}

function acquireNow(attempt: Attempt, acceptor: Acceptor): Hold | Held | Refusal {
  const answer = inheritAnswer(askSupervisorNow(attempt), attempt, acceptor);
  if (typeof answer === 'object') return answer;
  const held = run(kernel, acquireTarget(attempt));
  return isRefusal(held) ? { ...held, unpassed: answer } : held;
}

/**
 * Makes the claim in the requested ways: at once; if the address is in use, by a handover; and if
 * that fails too, by waiting. The acceptor has started when this returns.
 */
export async function acquireHold(request: Request, acceptor: Acceptor): Promise<Hold> {
  const attempt = beginAttempt(request);
  const claiming = (): Promise<Hold> => acquireInTurn(attempt, acceptor);
  try {
    return await trace('reuseaddr.claim', () => ({ address: request.text }), claiming);
  } finally {
    endAttempt(attempt);
  }
}

async function acquireInTurn(attempt: Attempt, acceptor: Acceptor): Promise<Hold> {
  const { signal, takeoverMs, waitMs } = attempt.request;
  signal?.throwIfAborted();
  const inherited = inherit(attempt, acceptor);
  if (inherited instanceof Hold) return await inherited.start();
  let hold = inherited ?? (await acquireAndStart(attempt, acceptor));
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
      const taken = await takeOver(attempt, acceptor, takeoverMs, refusal);
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

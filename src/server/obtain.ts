import type { Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { clearTimeout, pause, setTimeout } from '../kernel/clock.js';
import { runAsync, runPromptly } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { acquireTarget, explainStart, inherit, isInUse, pauses, refusedStart, whyRefused } from './acquire.js';
import { holdFor, start } from './begin.js';
import { Hold } from './hold.js';
import { takeOver } from './takeover.js';
import { attempt } from './target.js';
import { say, trace, type DiagnosticsTracing } from './trace.js';

/**
 * Makes the claim in the requested ways: at once; if the address is in use, by a handover; and if
 * that fails too, by waiting. The acceptor has started when this returns.
 */
export function obtain(request: Request, target: Target, acceptor: Acceptor): Promise<Hold> {
  const claiming = (): Promise<Hold> => obtainInTurn(request, target, acceptor);
  return trace('reuseaddr.claim', () => ({ address: request.text }), claiming);
}

async function obtainInTurn(request: Request, target: Target, acceptor: Acceptor): Promise<Hold> {
  request.signal?.throwIfAborted();
  const inherited = inherit(request, target);
  if (inherited !== undefined) return await start(inherited, acceptor);
  const first = runPromptly(waitingKernel(), acquireTarget(target, request));
  // The usual start ends in this very turn.
  const held = first instanceof Promise ? await first : first;
  const hold = isRefusal(held) ? held : holdFor(request, held);
  if (!isRefusal(hold)) return await start(hold, acceptor);
  let refusal: Refusal = hold;
  if (isInUse(refusal) && request.takeoverMs !== undefined) {
    const taken = await traceTakeover(request, target, acceptor, request.takeoverMs, refusal);
    if (taken instanceof Hold) return taken;
    refusal = taken;
  }
  request.signal?.throwIfAborted();
  if (isInUse(refusal) && request.waitMs !== undefined) {
    const waited = await traceWait(request, target, request.waitMs, refusal);
    if (waited instanceof Hold) return await start(waited, acceptor);
    refusal = waited;
    request.signal?.throwIfAborted();
  }
  throw refusedStart(request, target, refusal);
}

function traceTakeover(
  request: Request,
  target: Target,
  acceptor: Acceptor,
  takeoverMs: number,
  refusal: Refusal,
): Promise<Hold | Refusal> {
  say(request.text, () => `asks for a handover, because ${whyRefused(request, target, refusal)}`);
  return trace(
    'reuseaddr.takeover',
    () => ({ address: request.text }),
    async (context) => {
      const taken = await takeOver(request, target, acceptor, takeoverMs, refusal);
      const outcome = taken instanceof Hold ? 'taken' : (taken.handover ?? taken.refused);
      if (context !== undefined) context.outcome = outcome;
      say(request.text, () => (outcome === 'taken' ? 'was handed over' : `was not handed over: ${outcome}`));
      return taken;
    },
  );
}

function traceWait(request: Request, target: Target, waitMs: number, refusal: Refusal): Promise<Hold | Refusal> {
  say(request.text, () => `waits, because ${whyRefused(request, target, refusal)}`);
  const context = (): DiagnosticsTracing['reuseaddr.wait'] => {
    const { reason, holder } = explainStart(request, target, refusal);
    return { address: request.text, reason, holder };
  };
  return trace('reuseaddr.wait', context, () => waitFor(request, waitMs, refusal));
}

/**
 * Waits for the address. A held pathname is waited for in flock(2). The kernel does not tell when a
 * stray or an abstract name goes away, so these are looked at repeatedly.
 */
async function waitFor(request: Request, waitMs: number, first: Refusal): Promise<Hold | Refusal> {
  const deadline = new AbortController();
  // Not AbortSignal.timeout: nothing would protect it from the garbage collector.
  const timer = waitMs === Infinity ? undefined : setTimeout(() => deadline.abort(), waitMs);
  const signal = request.signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, request.signal]);
  try {
    return await waitUntil(request, signal, first);
  } finally {
    clearTimeout(timer);
  }
}

async function waitUntil(request: Request, signal: AbortSignal, first: Refusal): Promise<Hold | Refusal> {
  let refusal = first;
  for (const pauseMs of pauses()) {
    const hold = await tryOrWait(request, signal);
    if (!isRefusal(hold)) return hold;
    if (hold.refused === 'cancelled') return { ...hold, record: hold.record ?? refusal.record };
    // The wait continues even if the lock file was often removed meanwhile, or another directory is
    // at the path.
    if (!isInUse(hold) && hold.refused !== 'lock-unstable' && hold.refused !== 'directory-moved') return hold;
    refusal = hold;
    await pause(pauseMs, signal);
    if (signal.aborted) return { ...refusal, refused: 'cancelled', errno: 'EADDRINUSE' };
  }
  return refusal;
}

/** Makes one attempt: the path may lead to another directory by now. */
async function tryOrWait(request: Request, signal: AbortSignal): Promise<Hold | Refusal> {
  return await attempt(request, async (target) => {
    const waits = !('abstract' in target);
    const waiting = waitingKernel(signal, waits ? target.place.lockPath : undefined);
    const held = await runAsync(waiting, acquireTarget(target, request, waits));
    return isRefusal(held) ? held : holdFor(request, held);
  });
}

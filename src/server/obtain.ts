import { locate } from '../claim/locate.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { rehearse } from '../claim/rehearse.js';
import { clearTimeout, pause, setImmediate, setTimeout } from '../kernel/clock.js';
import { run, runAsync, runPromptly } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { acquireRequest, explainStart, inherit, isInUse, pauses, refusedStart, whyRefused } from './acquire.js';
import { holdFor, start } from './begin.js';
import { Hold, type Held } from './hold.js';
import { takeOver } from './takeover.js';
import { say, trace, type DiagnosticsTracing } from './trace.js';

/**
 * Makes the claim in the ways that the caller asked for: at once; if somebody has the address by hand-over; if that fails too, by
 * waiting. The acceptor has started when this returns.
 */
export function obtain(request: Request, acceptor: Acceptor): Promise<Hold> {
  const claiming = (): Promise<Hold> => obtainInTurn(request, acceptor);
  return trace('reuseaddr.claim', () => ({ address: request.text }), claiming);
}

async function obtainInTurn(request: Request, acceptor: Acceptor): Promise<Hold> {
  request.signal?.throwIfAborted();
  const inherited = inherit(request);
  if (inherited !== undefined) return await start(inherited, acceptor);
  const first = runPromptly(waitingKernel(), acquireRequest(request));
  const held = first instanceof Promise ? await first : first; // The usual start comes to its end in this very turn.
  const hold = isRefusal(held) ? held : holdFor(request, held);
  if (!isRefusal(hold)) return await start(hold, acceptor);
  let refusal: Refusal = hold;
  if (isInUse(refusal) && request.takeoverMs !== undefined) {
    const taken = await traceTakeover(request, acceptor, request.takeoverMs, refusal);
    if (taken instanceof Hold) return taken;
    refusal = taken;
  }
  request.signal?.throwIfAborted();
  if (isInUse(refusal) && request.waitMs !== undefined) {
    const waited = await traceWait(request, request.waitMs, refusal);
    if (waited instanceof Hold) return await start(waited, acceptor);
    refusal = waited;
    request.signal?.throwIfAborted();
  }
  throw refusedStart(request, refusal);
}

function traceTakeover(request: Request, acceptor: Acceptor, takeoverMs: number, refusal: Refusal): Promise<Hold | Refusal> {
  say(request.text, () => `asks for a handover, because ${whyRefused(request, refusal)}`);
  return trace(
    'reuseaddr.takeover',
    () => ({ address: request.text }),
    async (context) => {
      const taken = await takeOver(request, acceptor, takeoverMs, refusal);
      const outcome = taken instanceof Hold ? 'taken' : (taken.handover ?? taken.refused);
      if (context !== undefined) context.outcome = outcome;
      say(request.text, () => (outcome === 'taken' ? 'was handed over' : `was not handed over: ${outcome}`));
      return taken;
    },
  );
}

function traceWait(request: Request, waitMs: number, refusal: Refusal): Promise<Hold | Refusal> {
  say(request.text, () => `waits, because ${whyRefused(request, refusal)}`);
  const context = (): DiagnosticsTracing['reuseaddr.wait'] => {
    const { reason, holder } = explainStart(request, refusal);
    return { address: request.text, reason, holder };
  };
  return trace('reuseaddr.wait', context, () => waitFor(request, waitMs, refusal));
}

/**
 * Waits for the address. A held pathname is waited for in flock(2); of a stray and of an abstract name the kernel can't tell us
 * when they go, so they are looked at again and again.
 */
async function waitFor(request: Request, waitMs: number, first: Refusal): Promise<Hold | Refusal> {
  const deadline = new AbortController();
  // Not AbortSignal.timeout: nobody would keep that from the garbage collector.
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
  if (request.address.kind === 'pathname') setImmediate(rehearse, request.terms);
  for (const pauseMs of pauses()) {
    const held = await tryOrWait(request, signal);
    const hold = isRefusal(held) ? held : holdFor(request, held);
    if (!isRefusal(hold)) return hold;
    if (hold.refused === 'cancelled') return { ...hold, record: hold.record ?? refusal.record };
    // A lock file that was often removed while we slept is no reason to give up.
    if (!isInUse(hold) && hold.refused !== 'lock-unstable') return hold;
    refusal = hold;
    await pause(pauseMs, signal);
    if (signal.aborted) return { ...refusal, refused: 'cancelled', errno: 'EADDRINUSE' };
  }
  return refusal;
}

async function tryOrWait(request: Request, signal: AbortSignal): Promise<Held | Refusal> {
  if (request.address.kind !== 'pathname') return await runAsync(waitingKernel(signal), acquireRequest(request));
  const place = run(kernel, locate(request.address, process.platform));
  if (isRefusal(place)) return place;
  return await runAsync(waitingKernel(signal, place.lockPath), acquireRequest(request, true));
}

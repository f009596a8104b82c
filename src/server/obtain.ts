import { setTimeout as pause } from 'node:timers/promises';
import { acquire } from '../claim/acquire.js';
import { locate, type Place } from '../claim/locate.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { run, runAsync } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { acquireRequest, inherit, isInUse, pauses, refused } from './acquire.js';
import { Hold, type Held } from './hold.js';
import { start, takeOver } from './takeover.js';

/**
 * Makes the claim in the ways that the caller asked for: at once; if somebody has the address by hand-over; if that fails too, by
 * waiting. The acceptor has started when this returns.
 */
export async function obtain(request: Request, acceptor: Acceptor): Promise<Hold> {
  request.signal?.throwIfAborted();
  const inherited = inherit(request);
  if (inherited !== undefined) return await start(inherited, acceptor);
  const held = run(kernel, acquireRequest(request));
  if (!isRefusal(held)) return await start(new Hold(held), acceptor);
  let refusal: Refusal = held;
  if (isInUse(refusal) && request.takeoverMs !== undefined) {
    const taken = await takeOver(request, acceptor, request.takeoverMs, refusal);
    if (taken instanceof Hold) return taken;
    refusal = taken;
  }
  if (isInUse(refusal) && request.waitMs !== undefined) {
    const waited = await waitFor(request, request.waitMs, refusal);
    if (waited instanceof Hold) return await start(waited, acceptor);
    refusal = waited;
  }
  request.signal?.throwIfAborted();
  throw refused(request, refusal);
}

/**
 * Waits for the address. A held pathname is waited for in flock(2); of a stray and of an abstract name the kernel can't tell us
 * when they go, so they are looked at again and again.
 */
async function waitFor(request: Request, waitMs: number, first: Refusal): Promise<Hold | Refusal> {
  const signals = [request.signal, waitMs === Infinity ? undefined : AbortSignal.timeout(waitMs)];
  const signal = AbortSignal.any(signals.filter((each) => each !== undefined));
  const place = request.address.kind === 'pathname' ? run(kernel, locate(request.address, process.platform)) : undefined;
  if (isRefusal(place)) return place;
  let refusal = first;
  for (const pauseMs of pauses()) {
    const held = place === undefined ? run(kernel, acquireRequest(request)) : await waitForLock(request, place, signal);
    if (!isRefusal(held)) return new Hold(held);
    if (held.refused === 'cancelled') return { ...held, record: held.record ?? refusal.record };
    if (!isInUse(held)) return held;
    refusal = held;
    await pause(pauseMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return { ...refusal, refused: 'cancelled' };
  }
  return refusal;
}

async function waitForLock({ terms }: Request, place: Place, signal: AbortSignal): Promise<Held | Refusal> {
  const claim = await runAsync(waitingKernel(signal, place.lockPath), acquire(place, terms, true));
  return isRefusal(claim) ? claim : { ...claim, place };
}

import { removes, writeRecord } from '../claim/acquire.js';
import { bindUnderLock } from '../claim/bindUnderLock.js';
import { createLockFile, lockFile } from '../claim/lock.js';
import { isInPlace } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { acquireTarget, endAttempt, resolveRequest, type Attempt } from './attempt.js';
import type { Hold } from './hold.js';
import { isAt, type Displacement } from './displacement.js';

/**
 * Recovers a claim whose files another process has removed.
 *
 * If that is impossible for now (another process has the address, another file is at the path, the
 * directory is gone), nothing changes, and the next change in the directory leads here again.
 * Connections that were not accepted yet are lost with the old socket, and clients see them reset.
 */
export function rebind(hold: Hold, what: Displacement): void {
  // A newcomer with a share of the old socket would be left with that one. A listener of
  // `displaced` may have released.
  if (hold.released || hold.place === undefined || hold.handover?.offering === true) return;
  if (what === 'socket') return bindAgain(hold);
  const attempt = resolveRequest(hold.request);
  if (isRefusal(attempt)) return;
  try {
    acquireAgain(attempt, hold);
  } finally {
    endAttempt(attempt);
  }
}

/** Binds again under the same lock: no other process that uses reuseaddr can be at the path. */
function bindAgain(hold: Hold): void {
  // If the path leads to another directory now, the lock means nothing there, and no file of ours
  // may appear in it.
  if (hold.place === undefined || !run(kernel, isInPlace(hold.place.directory))) return;
  const bound = run(kernel, bindUnderLock(hold.place, hold.request.terms));
  if (isRefusal(bound)) return;
  hold.rebind(bound);
}

/**
 * Claims again, because the lock file or the directory is gone or replaced. The old lock excludes
 * no process any more, so the claim is made like a new one, and that lock is given up only
 * afterwards.
 */
function acquireAgain(attempt: Attempt, hold: Hold): void {
  const { request, target } = attempt;
  const { held } = hold;
  if ('abstract' in target || held.place === undefined) return;
  if (isAt(target.place.path, held.identity)) {
    // Clients still reach our socket, and a start finds it live: only the lock is missing.
    const locked = run(kernel, lockFile(target.place, false, { claims: false, create: createLockFile }));
    if (isRefusal(locked)) return;
    const { lockFd } = locked;
    hold.replace({ ...held, lockFd, place: target.place, removesLock: removes(request.terms, locked) });
    run(kernel, writeRecord(lockFd, request.terms.record));
  } else {
    const claim = run(kernel, acquireTarget(attempt));
    if (isRefusal(claim) || claim.place === undefined) return;
    hold.replace(claim);
  }
  hold.serveAgain();
}

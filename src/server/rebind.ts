import { removes } from '../claim/acquire.js';
import { bindUnderLock } from '../claim/bind.js';
import { createLockFile, lockFile } from '../claim/lock.js';
import { isInPlace, resolve, type Target } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { HandoverSocket } from '../handover/socket.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { acquireTarget } from './acquire.js';
import { start } from './begin.js';
import type { Hold } from './hold.js';
import { closeTarget } from './target.js';
import { isAt, type Displacement } from './watch.js';

/**
 * Recovers a claim whose files another process has removed.
 *
 * If that is impossible for now (another process has the address, another file is at the path, the
 * directory is gone), nothing changes, and the next change in the directory leads here again.
 * Connections that were not accepted yet are lost with the old socket, and clients see them reset.
 *
 * @param serve serves handovers of the new claim
 */
export function rebind(request: Request, hold: Hold, acceptor: Acceptor, what: Displacement, serve: () => void): void {
  // A newcomer with a share of the old socket would be left with that one. A listener of
  // `displaced` may have released.
  if (hold.released || hold.place === undefined || hold.handover?.offering === true) return;
  if (what === 'socket') return bindAgain(request, hold, acceptor);
  const target = run(kernel, resolve(request.address, request.handover));
  if (isRefusal(target)) return;
  try {
    claimAgain(request, target, hold, acceptor, serve);
  } finally {
    closeTarget(target);
  }
}

/** Binds again under the same lock: no other process that uses reuseaddr can be at the path. */
function bindAgain({ terms }: Request, hold: Hold, acceptor: Acceptor): void {
  // If the path leads to another directory now, the lock means nothing there, and no file of ours
  // may appear in it.
  if (hold.place === undefined || !run(kernel, isInPlace(hold.place.directory))) return;
  const bound = run(kernel, bindUnderLock(hold.place, terms));
  if (isRefusal(bound)) return;
  hold.rebind(bound);
  moveServer(hold, acceptor);
}

/**
 * Claims again, because the lock file or the directory is gone or replaced. The old lock excludes
 * no process any more, so the claim is made like a new one, and that lock is given up only
 * afterwards.
 */
function claimAgain(request: Request, target: Target, hold: Hold, acceptor: Acceptor, serve: () => void): void {
  const { held } = hold;
  if ('abstract' in target || held.place === undefined) return;
  if (isAt(target.place.path, held.identity)) {
    // Clients still reach our socket, and a start finds it live: only the lock is missing.
    const locked = run(kernel, lockFile(target.place, false, { claims: false, create: createLockFile }));
    if (isRefusal(locked)) return;
    hold.replace(
      { ...held, lockFd: locked.lockFd, place: target.place, removesLock: removes(request.terms, locked) },
      () => undefined,
    );
    hold.writeRecord(request.terms.record);
  } else {
    const claim = run(kernel, acquireTarget(target, request));
    if (isRefusal(claim) || claim.place === undefined) return;
    hold.replace(claim, () => moveServer(hold, acceptor));
  }
  if (request.handover) serveAgain(hold, serve);
}

/** Makes the server accept on the new socket, whatever becomes of the old one. */
function moveServer(hold: Hold, acceptor: Acceptor): void {
  try {
    acceptor.takeBack();
  } finally {
    void start(hold, acceptor).catch(() => undefined);
  }
}

/** Serves handovers of the new claim. */
function serveAgain(hold: Hold, serve: () => void): void {
  const socket = HandoverSocket.bind(hold.held, undefined);
  if (isRefusal(socket)) return;
  hold.handover = socket;
  serve();
}

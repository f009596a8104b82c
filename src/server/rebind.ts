import { bindUnderLock } from '../claim/bind.js';
import { isInPlace } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import type { Hold } from './hold.js';

/**
 * Listens again at a path from which somebody has removed our socket file. The lock is still ours, so nobody else who uses reuseaddr
 * can be there; where a stray or another file is, it is left alone, and we try again when something changes.
 *
 * Connections that were not accepted yet are lost with the old socket, and clients see them reset.
 */
export function rebind({ terms }: Request, hold: Hold, acceptor: Acceptor): void {
  // A newcomer that has a share of the old socket would be left with that. A listener of `displaced` may have released.
  if (hold.released || hold.place === undefined || hold.handover?.offering === true) return;
  // Where the path leads to another directory now, our lock says nothing, and no file of ours is to appear there.
  if (!run(kernel, isInPlace(hold.place.directory))) return;
  const bound = run(kernel, bindUnderLock(hold.place, terms));
  if (isRefusal(bound)) return;
  acceptor.takeBack();
  hold.rebind(bound);
  void Promise.resolve(acceptor.start(bound.listenFd)).catch(() => hold.surrender());
}

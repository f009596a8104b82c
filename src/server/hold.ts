import { acquire, acquireAbstract, type PathnameClaim } from '../claim/acquire.js';
import { locate, type Place } from '../claim/locate.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { releaseLock, removeSocketFile } from '../claim/release.js';
import { isDead, take } from '../claim/take.js';
import { failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';

/** A claim on a pathname, and where. */
interface PathnameHold extends PathnameClaim {
  readonly place: Place;
}

type Held = PathnameHold | { readonly listenFd: number; readonly place?: undefined };

/** Finds the place of an address and claims it: steps 1 to 10 of the protocol. */
export function* acquireRequest({ address, terms }: Request): Operation<Held | Refusal> {
  if (address.kind === 'abstract') return yield* acquireAbstract(address.name, terms);
  if (address.kind === 'pipe') throw new Error('A Windows pipe is not claimed; Node listens on it by itself.');
  const place = yield* locate(address, process.platform);
  if (isRefusal(place)) return place;
  const claim = yield* acquire(place, terms);
  return isRefusal(claim) ? claim : { ...claim, place };
}

/**
 * A claim of this process, from the moment that it is made until it is given up. Normal process exit gives it up; a crash leaves
 * that to the kernel.
 */
export class Hold {
  readonly listenFd: number;
  readonly place: Place | undefined;
  readonly #held: Held;
  /** The number of the socket itself, not of its file: tells whether `listenFd` is still that socket. */
  readonly #socketInode: bigint | undefined;
  #released = false;

  constructor(held: Held) {
    this.#held = held;
    this.listenFd = held.listenFd;
    this.place = held.place;
    this.#socketInode = inodeOf(held.listenFd);
    remember(this);
  }

  get released(): boolean {
    return this.#released;
  }

  /**
   * Gives the claim up: removes our socket file, has the listening socket closed, and then unlocks. In that order, see
   * `claim/release.ts`. Does nothing the second time.
   */
  surrender(closeSocket: () => void = () => this.#closeSocket()): void {
    if (this.#released) return closeSocket();
    this.#released = true;
    holds.delete(this);
    const held = this.#held;
    if (held.place === undefined) return closeSocket();
    // Whoever was given the descriptor may have closed it. Then the inode of our file is no longer pinned, and its number proves
    // nothing; but under the lock, a dead socket at the path may be removed whoever left it.
    run(kernel, this.#isOpen() ? removeSocketFile(held.place, held) : take(held.place, isDead));
    closeSocket();
    run(kernel, releaseLock(held));
  }

  /** At exit the name is removed and the record emptied. The kernel closes the descriptors, with no chance to come between. */
  removeAtExit(): void {
    const held = this.#held;
    if (held.place === undefined || !this.#isOpen()) return;
    run(kernel, removeSocketFile(held.place, held));
    kernel.ftruncate(held.lockFd, 0);
  }

  #isOpen(): boolean {
    return this.#socketInode !== undefined && inodeOf(this.listenFd) === this.#socketInode;
  }

  #closeSocket(): void {
    if (this.#isOpen()) kernel.close(this.listenFd);
  }
}

function inodeOf(fd: number): bigint | undefined {
  const status = kernel.fstat(fd);
  return failed(status) ? undefined : status.ino;
}

const holds = new Set<Hold>();

function remember(hold: Hold): void {
  // Before everybody else's listeners: one that throws would skip ours.
  if (holds.size === 0 && !process.listeners('exit').includes(removeAllAtExit)) process.prependListener('exit', removeAllAtExit);
  holds.add(hold);
}

function removeAllAtExit(): void {
  for (const hold of holds) hold.removeAtExit();
}

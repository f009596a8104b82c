import { writeRecord } from '../claim/acquire.js';
import type { Bound } from '../claim/bindUnderLock.js';
import type { Place } from '../claim/place.js';
import { unlock, unlockAtExit } from '../claim/release.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import type { Offered } from '../handover/offer.js';
import type { Hooks } from '../handover/handoverService.js';
import { bindHandoverSocket, receivedHandoverSocket, type HandoverSocket } from '../handover/socket.js';
import { Descriptor } from '../kernel/descriptor.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/readRequest.js';
import { removeAbandoned } from './abandoned.js';
import type { Acceptor } from './acceptor.js';
import type { Attempt } from './attempt.js';
import { releasedBeforeExit, inTurn, releaseAtExit } from './atExit.js';
import { withSharedPins, removeSocket, type Held, type PathnameHold } from './held.js';
import { unpin } from './pins.js';
import type { Supervisor } from './supervisor.js';
import { publish, say } from './trace.js';

/**
 * A claim of this process, from the moment that it is made until it is given up. A normal process
 * exit gives it up; after a crash the kernel does.
 */
export class Hold {
  readonly request: Request;
  /** The address in a form that clients can use after a chdir(2). */
  readonly address: string;
  readonly acceptor: Acceptor;
  #held: Held;
  #socket: Descriptor | undefined;
  #handover: HandoverSocket | undefined;
  #hooks: Hooks | undefined;
  #released = false;
  #exchanged = false;

  constructor(held: Held, { request, address }: Attempt, acceptor: Acceptor) {
    this.request = request;
    this.address = address;
    this.acceptor = acceptor;
    this.#held = withSharedPins(held);
    this.#socket = Descriptor.at(held.listenFd);
    say(request.text, () => (this.inherited ? 'is an inherited socket' : 'is claimed'));
    releaseAtExit(this);
  }

  /**
   * Returns the hold of a claim that was just made, with the handover socket if one was requested.
   * This comes before the acceptor: no process may find the address held without that socket.
   */
  static of(held: Held, attempt: Attempt, acceptor: Acceptor): Hold | Refusal {
    const hold = new Hold(held, attempt, acceptor);
    try {
      const refused = hold.bindHandover();
      if (refused === undefined) return hold;
      hold.release();
      return refused;
    } catch (error) {
      hold.release();
      throw error;
    }
  }

  /** Returns the hold of a claim that was handed over. Its acceptor has started. */
  static received(offered: Offered, held: Held, attempt: Attempt, acceptor: Acceptor): Hold {
    let hold: Hold | undefined;
    try {
      hold = new Hold(held, attempt, acceptor);
      hold.#handover = receivedHandoverSocket(offered, hold.held);
      if (hold.#held.place !== undefined) run(kernel, writeRecord(hold.#held.lockFd, attempt.request.terms.record));
      return hold;
    } catch (error) {
      if (hold === undefined) acceptor.stop();
      else hold.stopAndRelease();
      kernel.close(offered.handoverFd);
      throw error;
    }
  }

  /** Makes the acceptor accept on a claim that this process holds alone. */
  async start(): Promise<this> {
    try {
      await this.acceptor.start(this.listenFd, this.address);
      return this;
    } catch (error) {
      this.stopAndRelease();
      throw error;
    }
  }

  /**
   * Makes the last steps of a start. If one throws, gives the claim up: the caller would have
   * nothing to release it with.
   */
  finish<Outcome>(steps: () => Outcome): Outcome {
    try {
      return steps();
    } catch (error) {
      this.stopAndRelease();
      throw error;
    }
  }

  get released(): boolean {
    return this.#released;
  }

  /** -1: the runtime has the listening socket. */
  get listenFd(): number {
    return this.#exchanged ? -1 : this.#held.listenFd;
  }

  /** Whether the process that passed the socket has the claim. */
  get inherited(): boolean {
    return this.#held.place === undefined && this.#held.inherited === true;
  }

  /** The `reuseaddr run` that has passed the socket on request. */
  get supervisor(): Supervisor | undefined {
    return this.#held.place === undefined ? this.#held.supervisor : undefined;
  }

  get place(): Place | undefined {
    return this.#held.place;
  }

  /** The descriptors and the file, for watchers. */
  get held(): Held {
    return this.#held;
  }

  /**
   * Gives the claim up: removes our own files, has the listening socket closed, and then unlocks.
   * The order matters, see `claim/release.ts`. Does nothing the second time.
   */
  release(closeSocket: () => void = () => this.closeSocket()): void {
    if (this.#released) return closeSocket();
    this.#released = true;
    releasedBeforeExit(this);
    let shared = false;
    inTurn(
      () => (shared = this.removeFiles()),
      closeSocket,
      () => this.supervisor?.done(),
      () => this.#unlock(shared),
      // The last signal to the newcomer: the end of its connection tells it that our share is
      // closed.
      () => this.#handover?.close(),
      // It may have given up in this very moment, and then neither process is the holder.
      () => shared && this.place !== undefined && removeAbandoned(this.place),
      () => this.#unpin(),
    );
    say(this.request.text, () => 'is released');
    publish('reuseaddr.release', () => ({ address: this.request.text }));
  }

  /** Gives the claim up after its acceptor may have started. */
  stopAndRelease(): void {
    this.release(() => {
      this.acceptor.stop();
      this.closeSocket();
    });
  }

  /**
   * Unlocks. If a newcomer has a share of the lock, it is the holder now, and the record is not
   * ours to empty.
   */
  #unlock(shared: boolean): void {
    const held = this.#held;
    if (held.place === undefined) return;
    if (shared) kernel.close(held.lockFd);
    else run(kernel, unlock(held.place, held));
  }

  /**
   * Removes the names, and removes the lock file or empties its record, at exit. The kernel then
   * closes the descriptors.
   */
  releaseAtExit(): void {
    const held = this.#held;
    if (held.place === undefined || !this.#isOpen()) return;
    if (!this.removeFiles()) run(kernel, unlockAtExit(held.place, held));
  }

  /**
   * Removes our files from the directory, unless a newcomer has a share of the claim at the moment.
   * The newcomer takes our end for a crash, and is the holder then. Returns whether there is such a
   * newcomer.
   */
  removeFiles(): boolean {
    if (this.#handover?.offering === true) return true;
    const held = this.#held;
    if (held.place === undefined) return false;
    this.#handover?.removeFile();
    removeSocket(held, this.#socket);
    return false;
  }

  /** Replaces the claim's own socket by one of the runtime, of which this process has the file. */
  exchange(bound: Bound): void {
    this.closeSocket();
    this.#held = { ...this.#held, ...bound };
    this.#socket = Descriptor.at(bound.listenFd);
    this.#exchanged = true;
  }

  /** Replaces the displaced listening socket by another one, bound under the same lock. */
  rebind(bound: Bound): void {
    this.#held = { ...this.#held, ...bound };
    this.#socket = Descriptor.at(bound.listenFd);
    this.#handover?.update(this.#held);
    this.#moveServer();
  }

  /**
   * Replaces this claim, whose lock file another process has removed, by a new one. Then gives up
   * the old one: no process asks for that lock any more. Handovers are no longer served.
   *
   * Whatever throws, the new claim belongs to this hold, and its release gives it up.
   */
  replace(held: PathnameHold): void {
    const before = this.#held;
    const [socket, handover] = [this.#socket, this.#handover];
    this.#held = withSharedPins(held, socket);
    this.#socket = Descriptor.at(held.listenFd);
    this.#handover = undefined;
    const moves = this.#socket !== socket;
    inTurn(
      () => handover?.removeFile(),
      () => handover?.close(),
      // The old directory may still exist under another name. The descriptor that leads to it, and
      // the socket that pins the number of our file there, are closed next.
      () => moves && before.place !== undefined && removeSocket(before, socket),
      () => moves && this.#moveServer(),
      () => before.place !== undefined && kernel.close(before.lockFd),
      () => before.place !== undefined && unpin(before.place),
    );
  }

  /** Makes the server accept on the new socket, whatever becomes of the old one. */
  #moveServer(): void {
    try {
      this.acceptor.stop();
    } finally {
      void this.start().catch(() => undefined);
    }
  }

  /** The handover socket, which ends with the claim. */
  get handover(): HandoverSocket | undefined {
    return this.#handover;
  }

  /** Binds the handover socket, if one was requested. */
  bindHandover(): Refusal | undefined {
    const { address, handover } = this.request;
    if (!handover) return undefined;
    const socket = bindHandoverSocket(this.#held, address.kind === 'abstract' ? address : undefined);
    if (isRefusal(socket)) return socket;
    this.#handover = socket;
    return undefined;
  }

  /**
   * Serves handovers if they were requested. Otherwise ends the service that came with the claim.
   */
  serve(handedOver: () => void, readyTimeoutMs?: number): void {
    this.#hooks = { handOver: () => this.handOver(() => this.acceptor.drain()), handedOver, readyTimeoutMs };
    if (this.request.handover) this.#handover?.serve(this.#held, this.#hooks);
    else this.#endHandovers();
  }

  /** Does the same for a claim that has replaced the first one. */
  serveAgain(): void {
    if (this.bindHandover() === undefined && this.#hooks !== undefined) this.#handover?.serve(this.#held, this.#hooks);
  }

  /** Closes a handover socket that came with the claim, if handovers are not served. */
  #endHandovers(): void {
    this.#handover?.removeFile();
    this.#handover?.close();
    this.#handover = undefined;
  }

  /** Ends the hold after a handover: unlinks nothing, unlocks nothing. */
  handOver(closeSocket: () => void): void {
    this.#released = true;
    releasedBeforeExit(this);
    inTurn(
      // A listener of the program may throw in it.
      closeSocket,
      () => this.#unpin(),
      () => say(this.request.text, () => 'was handed over to another process'),
      () => publish('reuseaddr.handover', () => ({ address: this.request.text })),
    );
  }

  #unpin(): void {
    if (this.#held.place !== undefined) unpin(this.#held.place);
  }

  #isOpen(): boolean {
    return this.#socket?.isOpen === true;
  }

  /** Closes the listening socket, unless the program that was given its descriptor has done so. */
  closeSocket(): void {
    this.#socket?.close();
  }
}

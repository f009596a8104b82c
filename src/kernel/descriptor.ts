import { addon } from './addon.js';
import type { Errno } from './kernel.js';
import { errnoName } from './errno.js';

/**
 * A descriptor that this thread has to close. No other code closes descriptors.
 *
 * Each descriptor has one owner, which closes it exactly once. The addon owns all descriptors that
 * it has opened, received or inherited. At the end of the thread it closes the remaining ones
 * (native/owned.c). A listening socket that was lent to a handle of the runtime belongs to that
 * handle. libuv would abort if the descriptor were closed under it, so the handle is closed
 * instead.
 *
 * The protocol uses numbers. A number means a descriptor only while it is open: after a close it
 * may belong to any file. Code that keeps a descriptor across turns of the event loop keeps this
 * object, not its number.
 */
export class Descriptor {
  static readonly #open = new Map<number, Descriptor>();

  readonly fd: number;
  #handle: (() => void) | undefined;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Returns the object for a descriptor that the addon has just opened, received or inherited. */
  static opened(fd: number): Descriptor {
    const descriptor = new Descriptor(fd);
    // The kernel reuses a number only when it is free. The previous descriptor was closed behind
    // our back.
    Descriptor.#open.set(fd, descriptor);
    return descriptor;
  }

  /** Returns the descriptor that has this number now, or undefined if none of ours has it. */
  static at(fd: number): Descriptor | undefined {
    return Descriptor.#open.get(fd);
  }

  /**
   * Whether it is open, and still has its number. A framework that was given the number may have
   * closed it.
   */
  get isOpen(): boolean {
    return Descriptor.#open.get(this.fd) === this && (this.#handle !== undefined || addon().owns(this.fd) === 1);
  }

  /**
   * Lends the descriptor to a handle of the runtime.
   *
   * @param closeHandle closes that handle. If other code closes it, that code calls `closed`.
   */
  lend(closeHandle: () => void): void {
    if (Descriptor.#open.get(this.fd) !== this || this.#handle !== undefined) return;
    this.#handle = closeHandle;
    addon().give(this.fd);
  }

  /** Ends the ownership: the handle has closed the descriptor, or will close it by itself. */
  closed(): void {
    if (this.isOpen && this.#handle === undefined) addon().give(this.fd);
    if (Descriptor.#open.get(this.fd) === this) Descriptor.#open.delete(this.fd);
  }

  /** Calls close(2), or closes the handle. `EBADF`, and nothing is closed: that was done before. */
  close(): 0 | Errno {
    if (Descriptor.#open.get(this.fd) !== this) return 'EBADF';
    if (this.#handle !== undefined) {
      Descriptor.#open.delete(this.fd);
      this.#handle();
      return 0;
    }
    const result = addon().close(this.fd);
    Descriptor.#open.delete(this.fd);
    return result < 0 ? errnoName(result) : 0;
  }
}

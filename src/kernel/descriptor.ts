import { addon } from './addon.js';
import type { Errno } from './kernel.js';
import { errnoName } from './errno.js';

/**
 * A descriptor that this thread has to close: the one place where descriptors are closed.
 *
 * Each has one owner, which closes it exactly once. The addon owns all that it has opened, received or adopted; what it still owns when
 * the thread ends, it closes then (native/owned.c). A handle of the runtime's owns a listening socket that was lent to it: libuv would
 * abort if the descriptor were closed under it, so the handle is closed instead.
 *
 * The protocol speaks of numbers. A number means a descriptor only while that is open: after a close it may be anybody's. Whoever
 * keeps a descriptor across the event loop's turns keeps this object and not its number.
 */
export class Descriptor {
  static readonly #open = new Map<number, Descriptor>();

  readonly fd: number;
  #handle: (() => void) | undefined;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** One that the addon has just opened, received or adopted. */
  static opened(fd: number): Descriptor {
    const descriptor = new Descriptor(fd);
    // The kernel gives a number again only when it is free: one that had it was closed behind our back.
    Descriptor.#open.set(fd, descriptor);
    return descriptor;
  }

  /** The descriptor that has this number now. Undefined: none of ours. */
  static at(fd: number): Descriptor | undefined {
    return Descriptor.#open.get(fd);
  }

  /** Whether it is open, and its number is not another's. A framework that was given the number may have closed it. */
  get isOpen(): boolean {
    return Descriptor.#open.get(this.fd) === this && (this.#handle !== undefined || addon().owns(this.fd) === 1);
  }

  /**
   * A handle of the runtime's has it from here on.
   *
   * @param closeHandle closes that handle. When something else does, `closed` says so.
   */
  lend(closeHandle: () => void): void {
    if (Descriptor.#open.get(this.fd) !== this || this.#handle !== undefined) return;
    this.#handle = closeHandle;
    addon().give(this.fd);
  }

  /** Its handle was closed, and the descriptor with it; or its handle closes it some time, and we don't look after it any more. */
  closed(): void {
    if (this.isOpen && this.#handle === undefined) addon().give(this.fd);
    if (Descriptor.#open.get(this.fd) === this) Descriptor.#open.delete(this.fd);
  }

  /** close(2), or the close of its handle. Done before: `EBADF`, and nothing is closed. */
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

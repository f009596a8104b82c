import type { Acceptor } from './acceptor.js';

/** A server or socket of the program, whose close releases the claim. */
export abstract class OwnedAcceptor implements Acceptor {
  /** Runs around the close of the handle: it gets the function that closes it, and must call it. */
  onClose = (closeHandle: () => void): void => closeHandle();
  #closed = false;

  abstract start(fd: number, address: string, shared?: boolean): Promise<void> | void;
  abstract stop(): void;
  abstract drain(): void;

  /** Whether it has closed its handle since it started. */
  get closed(): boolean {
    return this.#closed;
  }

  protected closing(closeHandle: () => void): void {
    this.#closed = true;
    this.onClose(closeHandle);
  }
}

import type { Socket } from 'node:dgram';
import { throwLater } from '../kernel/throwLater.js';
import { errnoName } from '../kernel/errno.js';
import { Descriptor } from '../kernel/descriptor.js';
import { readDatagramSocket, unbound, type SocketState, type UdpHandle } from '../request/datagramSocket.js';
import { OwnedAcceptor } from './ownedAcceptor.js';
import { wrapClose } from './serverAcceptor.js';
import type { Pending } from './pending.js';

/**
 * A socket of node:dgram that reads from a claim's socket.
 *
 * `bind({ fd })` rejects a Unix socket by a check of its type. `bind(handle)`, with which a socket
 * that came from another process is bound, does not check, and libuv reads any datagram socket.
 */
export class DatagramAcceptor extends OwnedAcceptor {
  readonly #socket: Socket;
  readonly #state: SocketState;
  readonly #pending: Pending<Socket>;
  /** The first handle of this socket, with the functions that Node has set on it for its family. */
  readonly #outfit: UdpHandle;
  #closeHandle = (): void => undefined;

  constructor(pending: Pending<Socket>) {
    super();
    this.#socket = pending.owner;
    this.#state = readDatagramSocket(pending.owner);
    this.#outfit = this.#state.handle as UdpHandle;
    this.#pending = pending;
  }

  override start(fd: number, _address: string, shared = false): void {
    this.#pending.throwIfCancelled();
    this.#pending.end();
    const handle = this.#newHandle();
    const opened = handle.open(fd);
    if (opened < 0) throw Object.assign(new Error(`open ${errnoName(opened)}`), { code: errnoName(opened), syscall: 'open' });
    // Before the 'listening' listeners of the program, which are called in bind, can close it.
    this.#closeHandle = wrapClose(handle, Descriptor.at(fd), (closeHandle) => this.closing(closeHandle));
    this.#bind(handle);
    // The holder has not stopped yet, and now need not.
    if (shared && this.closed) throw this.#pending.closed();
  }

  #bind(handle: UdpHandle): void {
    try {
      this.#socket.bind(handle as unknown as number);
    } catch (error) {
      if (!this.#state.receiving && !this.closed) throw error;
      // A listener of 'listening' has thrown. That is an uncaught exception, as with a server, and
      // the start is complete.
      throwLater(error);
    }
  }

  #newHandle(): UdpHandle {
    const { constructor } = this.#outfit as unknown as { readonly constructor: new () => UdpHandle };
    return new constructor();
  }

  override stop(): void {
    this.#closeHandle();
    // The program has closed the socket, and it stays closed.
    if (this.#state.handle === null) return;
    const handle = this.#newHandle();
    const outfit = this.#outfit as unknown as Record<PropertyKey, unknown>;
    for (const key of Reflect.ownKeys(outfit)) (handle as unknown as typeof outfit)[key] = outfit[key];
    Object.assign(this.#state, { handle, bindState: unbound, receiving: false } satisfies SocketState);
    this.#pending.begin();
  }

  /** It has emitted all that it has read. The queue belongs to the next holder. */
  override drain(): void {
    this.#socket.close();
  }
}

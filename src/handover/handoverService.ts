import { createServer, type Server, type Socket } from 'node:net';
import { throwLater } from '../kernel/throwLater.js';
import { Descriptor } from '../kernel/descriptor.js';
import { descriptorOf } from '../kernel/descriptors.js';
import { runAsync, type AsyncKernel } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import { acceptOn } from './acceptOn.js';
import { hear, offer, type Offered } from './offer.js';

/**
 * How long a peer that has connected may take to ask for the claim, in milliseconds. A newcomer
 * asks at once.
 */
const requestTimeoutMs = 1000;

/**
 * How long a newcomer may take to say that it is ready, in milliseconds, unless the server sets
 * another limit.
 */
const readyTimeoutMsDefault = 5000;

/**
 * How many peers may be connected without having asked. Each is waited for on a thread. One more,
 * and the first of them is dropped.
 */
const silentMax = 16;

/** How many newcomers may wait in the queue of the socket. */
export const handoverBacklog = 128;

/** The effects of a handover on the server that owns the claim. */
export interface Hooks {
  /** Stops accepting, closes the listening socket, and unlinks nothing. */
  handOver(): void;
  /** The newcomer is the holder. */
  handedOver(): void;
  /** How long a newcomer may take to say that it is ready, in milliseconds. Default: 5 seconds. */
  readonly readyTimeoutMs?: number | undefined;
}

/**
 * Serves handovers of one claim, one after the other, until the claim is handed over or this is
 * closed. Keeps no process alive for long.
 */
export class HandoverService {
  #offered: Offered;
  readonly #socket: Descriptor | undefined;
  readonly #hooks: Hooks;
  readonly #server: Server;
  readonly #silent = new Set<Newcomer>();
  readonly #asking: Newcomer[] = [];
  /** The newcomer that has a share of the claim. */
  #offeringTo: Newcomer | undefined;
  #closed = false;

  constructor(offered: Offered, hooks: Hooks) {
    this.#offered = offered;
    this.#hooks = hooks;
    // Paused, because a flowing socket reads, and reading loses descriptors.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => void this.#hear(new Newcomer(socket)));
    // A failed accept(2) (EMFILE) affects only this newcomer, and it will ask again.
    this.#server.on('error', () => undefined);
    this.#socket = Descriptor.at(offered.handoverFd);
    acceptOn(this.#server, offered.handoverFd, handoverBacklog);
    if (this.#server.listening) this.#socket?.lend(() => this.#server.close());
    this.#server.unref();
  }

  set offered(offered: Offered) {
    this.#offered = offered;
  }

  /**
   * Whether a newcomer has a share of the claim at the moment. If so, nothing may be unlinked: it
   * may soon be the holder.
   */
  get offering(): boolean {
    return this.#offeringTo !== undefined;
  }

  /**
   * Closes the handover socket, and every connection. Newcomers that wait notice it and start
   * again. A newcomer with a share of the claim concludes that this process died, and is the
   * holder.
   */
  close(): void {
    this.#stop();
    this.#offeringTo?.destroy();
  }

  #stop(): void {
    this.#closed = true;
    this.#socket?.close();
    for (const newcomer of [...this.#silent, ...this.#asking.splice(0)]) newcomer.destroy();
  }

  async #hear(newcomer: Newcomer): Promise<void> {
    const [first] = this.#silent;
    if (first !== undefined && this.#silent.size >= silentMax) first.destroy();
    this.#silent.add(newcomer);
    let asks = false;
    try {
      asks = await runAsync(newcomer.kernel(), hear(newcomer.connection, requestTimeoutMs));
    } catch (error) {
      throwLater(error);
    }
    this.#silent.delete(newcomer);
    if (!asks || this.#closed) return newcomer.destroy();
    this.#asking.push(newcomer);
    await this.#serveAsking();
  }

  /**
   * Makes at most one offer at a time. Two newcomers would both have a share, and both would become
   * the holder.
   */
  async #serveAsking(): Promise<void> {
    if (this.#offeringTo !== undefined) return;
    const { readyTimeoutMs = readyTimeoutMsDefault } = this.#hooks;
    for (let newcomer = this.#asking.shift(); newcomer !== undefined; newcomer = this.#asking.shift()) {
      this.#offeringTo = newcomer;
      try {
        const outcome = await runAsync(this.#kernel(newcomer), offer(newcomer.connection, this.#offered, readyTimeoutMs));
        if (outcome === 'handed-over') this.#hooks.handedOver();
      } catch (error) {
        throwLater(error);
      } finally {
        this.#offeringTo = undefined;
      }
    }
  }

  /** Returns the newcomer's kernel, and the descriptors of the claim. */
  #kernel(newcomer: Newcomer): AsyncKernel {
    const kernel = newcomer.kernel();
    const { listenFd, lockFd, handoverFd } = this.#offered;
    // By the time that one is closed, a listener of the program may have closed it, and another
    // file may have its number.
    const given = new Map([listenFd, lockFd].map((fd) => [fd, Descriptor.at(fd ?? -1)]));
    return {
      ...kernel,
      accepting: () => {
        try {
          this.#hooks.handOver();
        } catch (error) {
          // From a listener of the program. The handover has to complete regardless.
          throwLater(error);
        }
        return 0;
      },
      close: (fd) => {
        if (fd !== handoverFd) return given.has(fd) ? (given.get(fd)?.close() ?? 'EBADF') : kernel.close(fd);
        this.#stop();
        return 0;
      },
    };
  }
}

/** A peer that has connected to the handover socket. */
class Newcomer {
  readonly connection: number;
  readonly #socket: Socket;
  readonly #destroyed = new AbortController();

  constructor(socket: Socket) {
    this.#socket = socket.on('error', () => undefined);
    this.connection = descriptorOf(socket);
  }

  /** Closes the connection. A pending wait or read ends with `ECANCELED`. */
  destroy(): void {
    this.#destroyed.abort();
    this.#socket.destroy();
  }

  kernel(): AsyncKernel {
    const { signal } = this.#destroyed;
    const kernel = waitingKernel(signal);
    return {
      ...kernel,
      // Another file may have the number by now.
      recvmsg: (...args) => (signal.aborted ? 'ECANCELED' : kernel.recvmsg(...args)),
      sendmsg: (...args) => (signal.aborted ? 'ECANCELED' : kernel.sendmsg(...args)),
      close: (fd) => {
        if (fd !== this.connection) return kernel.close(fd);
        this.destroy();
        return 0;
      },
    };
  }
}

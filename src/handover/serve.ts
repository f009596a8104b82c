import { createServer, type Server, type Socket } from 'node:net';
import { runAsync, type AsyncKernel } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import { offer, type Offered } from './offer.js';

/** How long a newcomer may take to say that it is ready, in milliseconds. */
const readyTimeoutMs = 5000;

/** What a hand-over does to the server whose claim it is. */
export interface Hooks {
  /** Stop accepting, close the listening socket, and unlink nothing. */
  leave(): void;
  /** The newcomer is the holder. */
  handedOver(): void;
}

/** Node's wrap of a socket. There is no documented way to its descriptor. */
interface InternalSocket {
  readonly _handle: { readonly fd: number } | null;
}

/** Serves hand-overs of one claim, one after the other, until it has handed it over or is closed. Keeps no process alive. */
export class HandoverService {
  #offered: Offered;
  readonly #hooks: Hooks;
  readonly #server: Server;
  readonly #waiting: Socket[] = [];
  #offering = false;

  constructor(offered: Offered, hooks: Hooks) {
    this.#offered = offered;
    this.#hooks = hooks;
    // Paused, because a socket that flows reads, and reading loses descriptors.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#connected(socket));
    // A failed accept(2) (EMFILE) concerns this newcomer only, and it will ask again.
    this.#server.on('error', () => undefined);
    this.#server.listen({ fd: offered.handoverFd });
    this.#server.unref();
  }

  set offered(offered: Offered) {
    this.#offered = offered;
  }

  /** Whether a newcomer has a share of our claim just now. Then nothing may be unlinked: it may be the holder in a moment. */
  get offering(): boolean {
    return this.#offering;
  }

  /** Closes the hand-over socket. Newcomers that wait see their connection closed, and start over. */
  close(): void {
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }

  #connected(socket: Socket): void {
    socket.on('error', () => undefined);
    this.#waiting.push(socket);
    void this.#serveWaiting();
  }

  /** Never more than one offer at a time: two newcomers would both have a share, and both would become the holder. */
  async #serveWaiting(): Promise<void> {
    if (this.#offering) return;
    for (let socket = this.#waiting.shift(); socket !== undefined; socket = this.#waiting.shift()) {
      this.#offering = true;
      const outcome = await this.#serve(socket);
      this.#offering = false;
      if (outcome === 'handed-over') return this.#hooks.handedOver();
    }
  }

  async #serve(socket: Socket): Promise<'kept' | 'handed-over'> {
    const connection = (socket as unknown as InternalSocket)._handle?.fd;
    if (connection === undefined || connection < 0) return 'kept';
    return await runAsync(this.#kernel(connection, socket), offer(connection, this.#offered, readyTimeoutMs));
  }

  /** The real kernel, but for the descriptors that belong to libuv: it must close those itself. */
  #kernel(connection: number, socket: Socket): AsyncKernel {
    const kernel = waitingKernel();
    const { listenFd, handoverFd } = this.#offered;
    return {
      ...kernel,
      epoll_ctl: () => {
        this.#hooks.leave();
        return 0;
      },
      close: (fd) => {
        if (fd === connection) socket.destroy();
        else if (fd === handoverFd) this.close();
        else if (fd !== listenFd) return kernel.close(fd);
        return 0;
      },
    };
  }
}

import { EventEmitter } from 'node:events';
import { beginAtCaller } from '../errors/caller.js';
import type { Credentials } from '../peers/credentials.js';
import { readRequest, type ListenOptions } from '../request/readRequest.js';
import { badOption, explainMistakes } from '../request/mistake.js';
import { requireNoCallback } from '../request/requireOptions.js';
import type { Acceptor } from './acceptor.js';
import type { Hold } from './hold.js';
import { acquireHold } from './acquireHold.js';
import { rebind } from './rebind.js';
import { publish, say } from './trace.js';
import { displacement, watchHold, type Displacement } from './displacement.js';

/** The view of a claim in `JSON.stringify` and `console.log`. */
export interface ClaimSummary {
  readonly address: string;
  readonly fd: number;
  /** Missing if there is no lock file: for an abstract name, and for an inherited socket. */
  readonly lockPath?: string;
  /** Whether the claim was released or handed over. */
  readonly released: boolean;
  /** Whether another process has removed or replaced the socket file or the lock file. */
  readonly displaced: boolean;
  /** Whether the socket was passed to this process by another one, which holds the claim. */
  readonly inherited: boolean;
  readonly deniedCount: number;
}

/** `util.inspect.custom`, without loading node:util. */
const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** The events of a `Claim`, with the arguments of their listeners. */
export interface ClaimEvents {
  /**
   * Another process now owns the claim. The server accepts no further connections, and finishes the
   * open ones.
   */
  handover: [];
  /**
   * Another process has removed or replaced the socket file (`socket`), so that clients do not
   * reach this server, or the lock file (`lock`), so that another process may claim the address.
   * Emitted once each time.
   */
  displaced: [what: Displacement];
  /**
   * `allow` has denied a peer. Undefined: it had gone before the kernel could report its
   * credentials.
   */
  denied: [peer: Credentials | undefined];
}

/**
 * The exclusive right to an address, until it is released or handed over, or the process ends in
 * any way.
 *
 * `listen` and `claim` return it. It works with `await using`.
 */
export class Claim extends EventEmitter<ClaimEvents> {
  /** The address for clients, as the caller wrote it or made absolute. */
  readonly address: string;
  readonly #hold: Hold;
  readonly #release: () => void;
  #unwatch: (() => void) | undefined;
  #deniedCount = 0;

  /** @internal */
  constructor(hold: Hold, release: () => void) {
    super();
    this.address = hold.address;
    this.#hold = hold;
    this.#release = release;
    // Only a program that listens to the event pays for the watch.
    if (hold.request.rebind) this.#watch();
    else (this as EventEmitter).on('newListener', (event) => event === 'displaced' && this.#watch());
  }

  /**
   * The listening socket, close-on-exec and non-blocking. The server owns it after `listen`, the
   * claim after `claim`. -1 for a server of node:http on Bun, whose socket Bun keeps.
   */
  get fd(): number {
    return this.#hold.listenFd;
  }

  /**
   * The lock file. Undefined for an abstract name, which needs none, and for an inherited socket,
   * whose claim another process holds.
   */
  get lockPath(): string | undefined {
    return this.#hold.place?.lockPath;
  }

  /**
   * Whether another process has removed or replaced the socket file or the lock file. Checked at
   * each call.
   */
  get displaced(): boolean {
    return !this.#hold.released && displacement(this.#hold.held) !== undefined;
  }

  /** How many peers were denied so far. */
  get deniedCount(): number {
    return this.#deniedCount;
  }

  /** @internal */
  deny(peer: Credentials | undefined): void {
    this.#deniedCount += 1;
    publish('reuseaddr.denial', () => ({ address: this.address, peer }));
    this.emit('denied', peer);
  }

  #watch(): void {
    if (this.#unwatch !== undefined) return;
    this.#unwatch = watchHold(this.#hold, (what, isNew) => {
      try {
        if (isNew) this.#tellDisplaced(what);
      } finally {
        if (this.#hold.request.rebind) rebind(this.#hold, what);
      }
    });
  }

  #tellDisplaced(what: Displacement): void {
    say(this.address, () => `another process has removed or replaced the ${what} file`);
    publish('reuseaddr.displacement', () => ({ address: this.address, what }));
    this.emit('displaced', what);
  }

  /** Returns the view of the claim in `JSON.stringify` and `console.log`. */
  toJSON(): ClaimSummary {
    const { address, fd, lockPath, displaced, deniedCount } = this;
    const { inherited, released } = this.#hold;
    return { address, fd, ...(lockPath !== undefined && { lockPath }), released, displaced, inherited, deniedCount };
  }

  /** @internal */
  [inspectCustom](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    return `Claim ${inspect(this.toJSON(), options)}`;
  }

  /**
   * Releases the claim: closes the server, removes the socket file, and unlocks.
   *
   * Open connections continue to their end, except idle ones of http servers, see
   * `http.Server.close`. When the promise is fulfilled, another process can claim the address. Does
   * nothing the second time, or after a handover.
   */
  release(): Promise<void> {
    try {
      this.#unwatch?.();
      return Promise.resolve(this.#release());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/**
 * Claims an address and listens on it without a server: `claim.fd` is bound and listening, for
 * frameworks that take `{ fd }`, and for child processes. Connections wait until a program accepts
 * them on that descriptor.
 *
 * A framework that was given `{ fd }` closes it at its own end: close the server first, then
 * release the claim. With `handover: true`, close the server in a `handover` listener: it is called
 * before the descriptor is closed.
 *
 * The program that accepts decides which peers may connect. An abstract name has no permissions, so
 * ask `peerCredentials` for each connection.
 *
 * @example
 * ```js
 * import { createServer } from 'node:net';
 * import { claim } from 'reuseaddr';
 *
 * const claimed = await claim('/run/app.sock');
 * const server = createServer((connection) => connection.end('hello\n'));
 * server.listen({ fd: claimed.fd }, () => console.log('listening')); // → listening
 * ```
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} as `listen` does
 * @see flock(2), unix(7)
 */
export async function claim(address: string, options: ListenOptions = {}): Promise<Claim> {
  try {
    return await claimWithoutServer(address, options, arguments[2]);
  } catch (error) {
    throw beginAtCaller(error, claim);
  }
}

async function claimWithoutServer(address: string, options: ListenOptions, callback: unknown): Promise<Claim> {
  const request = explainMistakes(address, 'listen on', () => {
    requireNoCallback(callback);
    const read = readRequest(address, options);
    if (read.rebind) throw badOption('onDisplaced', "'rebind' needs a server", 'use listen() or bind()');
    if (options.allow !== undefined) throw badOption('allow', 'needs a server', 'use listen()');
    return read;
  });
  const descriptor = new DescriptorAcceptor();
  const hold = await acquireHold(request, descriptor);
  return hold.finish(() => {
    const claimed = new Claim(hold, () => hold.release());
    descriptor.onDrain = () => {
      try {
        claimed.emit('handover');
      } finally {
        hold.closeSocket();
      }
    };
    hold.serve(() => undefined);
    return claimed;
  });
}

/** Accepts nothing itself: the program that uses `claim.fd` does. */
class DescriptorAcceptor implements Acceptor {
  onDrain = (): void => undefined;
  start(): void {}
  stop(): void {}
  drain(): void {
    this.onDrain();
  }
}

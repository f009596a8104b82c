import { EventEmitter } from 'node:events';
import { dirname } from 'node:path';
import { locate } from '../claim/locate.js';
import { isRefusal } from '../claim/refusal.js';
import { beginAtCaller } from '../errors/caller.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Credentials } from '../peers/credentials.js';

import { readRequest, type ListenOptions, type Request } from '../request/options.js';
import { badOption } from '../request/wrong.js';
import type { Acceptor } from './acceptor.js';
import { giveBack } from './begin.js';
import type { Hold } from './hold.js';
import { obtain } from './obtain.js';
import { publish, say } from './trace.js';
import { displacement, watchDirectory, type Displacement } from './watch.js';

/** A claim as `JSON.stringify` and `console.log` show it. */
export interface ClaimSummary {
  readonly address: string;
  readonly fd: number;
  /** Missing where there is no lock file: for an abstract name, and for an inherited socket. */
  readonly lockPath?: string;
  /** Whether the claim was released, or handed over. */
  readonly released: boolean;
  /** Whether the socket was passed to this process by another, which holds the claim. */
  readonly inherited: boolean;
  readonly deniedCount: number;
}

/** `util.inspect.custom`, without loading node:util. */
const inspectCustom: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/** The events of a `Claim`, with what their listeners are given. */
export interface ClaimEvents {
  /** The claim is another process's now. The server has stopped to accept; its open connections go on to their end. */
  handover: [];
  /**
   * Somebody has removed or replaced our socket file (`socket`), so that clients don't reach us any more, or our lock file (`lock`),
   * so that another process may claim the address. Emitted once for each time.
   */
  displaced: [what: Displacement];
  /** A peer was not let in, see the option `allow`. Undefined: it had gone before we could ask who it was. */
  denied: [peer: Credentials | undefined];
}

/**
 * The exclusive right to an address, held until it is released, or handed over, or the process ends in whatever way.
 *
 * Obtained from `listen` or `claim`; works with `await using`.
 */
export class Claim extends EventEmitter<ClaimEvents> {
  /** The address, for clients: as it was given, or made absolute. */
  readonly address: string;
  readonly #hold: Hold;
  readonly #release: () => void;
  readonly #rebind: (() => void) | undefined;
  #displacement: Displacement | undefined;
  #unwatch: (() => void) | undefined;
  #deniedCount = 0;

  /** @internal */
  constructor(address: string, hold: Hold, release: () => void, rebind?: () => void) {
    super();
    this.address = address;
    this.#hold = hold;
    this.#release = release;
    this.#rebind = rebind;
    // Watching costs a descriptor for each directory, so only who wants to know pays for it.
    if (rebind !== undefined) this.#watch();
    else (this as EventEmitter).on('newListener', (event) => event === 'displaced' && this.#watch());
  }

  /** The listening socket: close-on-exec, non-blocking. Owned by the server after `listen`, by the claim after `claim`. */
  get fd(): number {
    return this.#hold.listenFd;
  }

  /** The lock file. Undefined for an abstract name, which needs none, and for an inherited socket, whose claim another has. */
  get lockPath(): string | undefined {
    return this.#hold.place?.lockPath;
  }

  /** Whether somebody has removed or replaced our socket file or our lock file: looked up now. */
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
    const { place } = this.#hold;
    if (place === undefined || this.#unwatch !== undefined || this.#hold.released) return;
    const directories = new Set([place.directory, dirname(place.lockPath)]);
    const watches = [...directories].map((directory) => watchDirectory(directory, () => this.#look()));
    this.#unwatch = () => {
      for (const unwatch of watches) unwatch();
    };
    // Whoever did so before we watched has caused no event.
    process.nextTick(() => this.#look());
  }

  #look(): void {
    if (this.#hold.released) return this.#unwatch?.();
    const before = this.#displacement;
    this.#displacement = displacement(this.#hold.held);
    if (this.#displacement !== undefined && this.#displacement !== before) this.#tellDisplaced(this.#displacement);
    if (this.#displacement === 'socket') this.#rebind?.();
  }

  #tellDisplaced(what: Displacement): void {
    say(this.address, () => `another process has removed or replaced the ${what} file`);
    publish('reuseaddr.displacement', () => ({ address: this.address, what }));
    this.emit('displaced', what);
  }

  /** What a person wants to see of a claim: no descriptors of the event emitter, no internals. */
  toJSON(): ClaimSummary {
    const { address, fd, lockPath, deniedCount } = this;
    const { inherited, released } = this.#hold;
    return { address, fd, ...(lockPath !== undefined && { lockPath }), released, inherited, deniedCount };
  }

  /** @internal */
  [inspectCustom](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    return `Claim ${inspect(this.toJSON(), options)}`;
  }

  /**
   * Gives the claim up: closes the server, removes our own socket file, and unlocks. Connections that are open go on to their end,
   * but for idle ones of http servers, see `http.Server.close`. When the promise is fulfilled, another process can have the address. Does nothing the second time, or after a hand-over.
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
 * Claims an address, and listens on it without a server: `claim.fd` is bound and listening, for frameworks that take `{ fd }`,
 * and for children. Nobody accepts until somebody does so on that descriptor.
 *
 * A framework that was given `{ fd }` closes it at its own end: close the server first, then release the claim. With
 * `handover: true`, close the server in a `handover` listener: it is called before the descriptor is closed.
 *
 * Who may connect is up to whoever accepts: an abstract name has no permissions, so ask `peerCredentials` of each connection.
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} as `listen` does
 * @see flock(2), unix(7)
 */
export async function claim(address: string, options: ListenOptions = {}): Promise<Claim> {
  try {
    return await claimAddress(address, options);
  } catch (error) {
    throw beginAtCaller(error, claim);
  }
}

async function claimAddress(address: string, options: ListenOptions): Promise<Claim> {
  const request = readRequest(address, options);
  if (request.rebind) throw badOption(address, 'onDisplaced', "'rebind' needs a server", 'use listen()');
  if (options.allow !== undefined) throw badOption(address, 'allow', 'needs a server', 'use listen()');
  const descriptor = new DescriptorAcceptor();
  const claimable = publicAddress(request);
  const hold = await obtain(request, descriptor);
  const claimed = new Claim(claimable, hold, () => hold.surrender());
  descriptor.leave = () => {
    try {
      claimed.emit('handover');
    } finally {
      hold.closeSocket();
    }
  };
  serveHandovers(request, hold, descriptor, () => undefined);
  return claimed;
}

/** Nobody accepts for us: whoever uses `claim.fd` does. */
class DescriptorAcceptor implements Acceptor {
  leave = (): void => undefined;
  start(): void {}
  takeBack(): void {}
  drain(): void {
    this.leave();
  }
}

/** Serves hand-overs where that was asked for, and ends the service that came with a claim where it was not. */
export function serveHandovers(
  request: Request,
  hold: Hold,
  acceptor: Acceptor,
  handedOver: () => void,
  readyTimeoutMs?: number,
): void {
  try {
    if (request.handover)
      hold.handover?.serve(hold.held, { leave: () => hold.handOver(() => acceptor.drain()), handedOver, readyTimeoutMs });
    else hold.endHandovers();
  } catch (error) {
    hold.surrender(() => giveBack(hold, acceptor));
    throw error;
  }
}

/** What clients can use after a chdir(2) as well. */
export function publicAddress({ text, address }: Request): string {
  if (address.kind === 'abstract') return `@${address.name}`;
  if (address.kind === 'pipe' || text.startsWith('/')) return text;
  const place = run(kernel, locate(address, process.platform));
  return isRefusal(place) ? text : place.path;
}

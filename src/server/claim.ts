import { EventEmitter } from 'node:events';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { explain } from '../errors/explain.js';
import { findListener } from '../holder/find.js';
import type { Holder } from '../holder/holder.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { acquireRequest, Hold } from './hold.js';
import { readRequest, type ListenOptions, type Request } from '../request/options.js';

/**
 * The exclusive right to an address, held until it is released, or the process ends in whatever way.
 *
 * Obtained from `listen` or `claim`; works with `await using`.
 */
export class Claim extends EventEmitter {
  /** The address, for clients: as it was given, or made absolute. */
  readonly address: string;
  /** The listening socket: close-on-exec, non-blocking. Owned by the server after `listen`, by the claim after `claim`. */
  readonly fd: number;
  /** The lock file; undefined for an abstract name, which needs none. */
  readonly lockPath: string | undefined;
  readonly #release: () => void;

  /** @internal */
  constructor(address: string, hold: Hold, release: () => void) {
    super();
    this.address = address;
    this.fd = hold.listenFd;
    this.lockPath = hold.place?.lockPath;
    this.#release = release;
  }

  /**
   * Gives the claim up: stops listening, removes our own socket file, and unlocks. Connections that are open stay open. When the
   * promise is fulfilled, another process can have the address. Does nothing the second time.
   */
  release(): Promise<void> {
    try {
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
 * A framework that was given `{ fd }` closes it at its own end: close the server first, then release the claim.
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} as `listen` does
 * @see flock(2), unix(7)
 */
export function claim(address: string, options: ListenOptions = {}): Promise<Claim> {
  return Promise.resolve().then(() => {
    const request = readRequest(address, options);
    const hold = acquireNow(request);
    return new Claim(publicAddress(request, hold), hold, () => hold.surrender());
  });
}

/** Makes the claim at once, without waiting for anybody. */
export function acquireNow(request: Request): Hold {
  const held = run(kernel, acquireRequest(request));
  if (isRefusal(held)) throw explain(request.text, held, findUnrecorded(request, held));
  return new Hold(held);
}

/** Who has an address of which no lock file tells: a stray, or the holder of an abstract name. */
function findUnrecorded({ address }: Request, { refused, path }: Refusal): Holder | undefined {
  if (refused === 'stray' && path !== undefined) return findListener(path);
  if (refused === 'held' && address.kind === 'abstract') return findListener(`@${address.name}`);
  return undefined;
}

/** What clients can use after a chdir(2) as well. */
export function publicAddress({ text, address }: Request, { place }: Hold): string {
  if (address.kind === 'abstract') return `@${address.name}`;
  return place === undefined || text.startsWith('/') ? text : place.path;
}

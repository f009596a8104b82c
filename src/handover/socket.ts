import type { AbstractName } from '../address/address.js';
import { abstractHandover } from '../address/names.js';
import { acquireAbstract } from '../claim/acquire.js';
import { bindUnderLock, type Identity } from '../claim/bindUnderLock.js';
import type { Place } from '../claim/place.js';
import { isRefusal, refuse, type Refusal } from '../claim/refusal.js';
import { removeSocketFile } from '../claim/release.js';
import { failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Offered } from './offer.js';
import { handoverBacklog, HandoverService, type Hooks } from './handoverService.js';

/** A claim for which handovers are served. */
export interface Owned {
  readonly listenFd: number;
  readonly place?: Place | undefined;
  readonly lockFd?: number;
  readonly identity?: Identity;
}

/** Abstract names have no files. */
const noFile: Identity = { dev: 0n, ino: 0n };

const terms = { mode: 0o600, backlog: handoverBacklog, record: '' };

/** The handover socket of a claim: its descriptor, and its file. */
export class HandoverSocket {
  readonly fd: number;
  readonly #place: Place | undefined;
  readonly #identity: Identity;
  #service: HandoverService | undefined;

  constructor(fd: number, place: Place | undefined, identity: Identity) {
    this.fd = fd;
    this.#place = place;
    this.#identity = identity;
  }

  /** Serves handovers of this claim from now on. */
  serve(owned: Owned, hooks: Hooks): void {
    this.#service = new HandoverService(this.#offered(owned), hooks);
  }

  /** Sets the claim to hand over from now on: it has another listening socket. */
  update(owned: Owned): void {
    if (this.#service !== undefined) this.#service.offered = this.#offered(owned);
  }

  #offered({ listenFd, lockFd, identity = noFile }: Owned): Offered {
    return { listenFd, lockFd, identity, handoverFd: this.fd };
  }

  /**
   * Whether a newcomer has a share of the claim at the moment. If so, nothing may be unlinked: it
   * may soon be the holder.
   */
  get offering(): boolean {
    return this.#service?.offering ?? false;
  }

  /** Removes its file while it is still open: see claim/release.ts. */
  removeFile(): void {
    if (this.#place !== undefined) run(kernel, removeSocketFile(this.#place, { identity: this.#identity }));
  }

  close(): void {
    if (this.#service === undefined) kernel.close(this.fd);
    else this.#service.close();
  }
}

/**
 * Binds one for the holder of this claim. A dead one at its path is removed like any other socket,
 * under the lock.
 */
export function bindHandoverSocket(owned: Owned, abstract: AbstractName | undefined): HandoverSocket | Refusal {
  const bound = run(kernel, bindSocket(owned, abstract));
  return isRefusal(bound) ? bound : new HandoverSocket(bound.listenFd, bound.place, bound.identity);
}

/** Returns the one that came with a claim that was handed over to this process. */
export function receivedHandoverSocket({ handoverFd }: Offered, { place }: Owned): HandoverSocket {
  const at = place?.handover;
  const file = at === undefined ? 'ENOENT' : kernel.fstatat(at.directory.fd, at.name);
  if (at === undefined || failed(file)) return new HandoverSocket(handoverFd, undefined, noFile);
  return new HandoverSocket(handoverFd, at, file);
}

interface BoundSocket {
  readonly listenFd: number;
  readonly identity: Identity;
  readonly place?: Place;
}

function* bindSocket(owned: Owned, abstract: AbstractName | undefined): Operation<BoundSocket | Refusal> {
  if (owned.place === undefined) {
    // The process that passed the inherited socket has the claim.
    if (abstract === undefined) return refuse('system', 'ENOTSUP', 'bind');
    const bound = yield* acquireAbstract(abstractHandover(abstract.name, abstract.type), terms);
    return isRefusal(bound) ? bound : { ...bound, identity: noFile };
  }
  const place = owned.place.handover;
  if (place === undefined) return refuse('too-long', 'ENAMETOOLONG', 'bind', `${owned.place.path}.handover`);
  const bound = yield* bindUnderLock(place, terms);
  return isRefusal(bound) ? bound : { ...bound, place };
}

import { abstractHandover } from '../address/names.js';
import { acquireAbstract } from '../claim/acquire.js';
import { bindUnderLock, type Identity } from '../claim/bind.js';
import type { Place } from '../claim/place.js';
import { isRefusal, refuse, type Refusal } from '../claim/refusal.js';
import { removeSocketFile } from '../claim/release.js';
import { failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Offered } from './offer.js';
import { HandoverService, type Hooks } from './serve.js';

/** A claim for which hand-overs are served. */
export interface Owned {
  readonly listenFd: number;
  readonly place?: Place | undefined;
  readonly lockFd?: number;
  readonly identity?: Identity;
}

/** Of abstract names there are no files. */
const noFile: Identity = { dev: 0n, ino: 0n };

const terms = { mode: 0o600, backlog: 128, record: '' };

/** The hand-over socket of a claim: its descriptor, and its file. */
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

  /** Binds one, for the holder of this claim. A dead one at its path may be removed like any other socket, under the lock. */
  static bind(owned: Owned, abstract: string | undefined): HandoverSocket | Refusal {
    const bound = run(kernel, bindSocket(owned, abstract));
    return isRefusal(bound) ? bound : new HandoverSocket(bound.listenFd, bound.place, bound.identity);
  }

  /** The one that came with a claim that was handed over to us. */
  static received({ handoverFd }: Offered, { place }: Owned): HandoverSocket {
    const at = place?.handover;
    const file = at === undefined ? 'ENOENT' : kernel.fstatat(at.directory.fd, at.name);
    if (at === undefined || failed(file)) return new HandoverSocket(handoverFd, undefined, noFile);
    return new HandoverSocket(handoverFd, at, file);
  }

  /** Serves hand-overs of this claim from here on. */
  serve(owned: Owned, hooks: Hooks): void {
    this.#service = new HandoverService(this.#offered(owned), hooks);
  }

  /** What is handed over from here on: the claim has another listening socket. */
  update(owned: Owned): void {
    if (this.#service !== undefined) this.#service.offered = this.#offered(owned);
  }

  #offered({ listenFd, lockFd, identity = noFile }: Owned): Offered {
    return { listenFd, lockFd, identity, handoverFd: this.fd };
  }

  /** Whether a newcomer has a share of our claim just now. Then nothing may be unlinked: it may be the holder in a moment. */
  get offering(): boolean {
    return this.#service?.offering ?? false;
  }

  /** Removes its file, while it is still open: see claim/release.ts. */
  removeFile(): void {
    if (this.#place !== undefined) run(kernel, removeSocketFile(this.#place, { identity: this.#identity }));
  }

  close(): void {
    if (this.#service === undefined) kernel.close(this.fd);
    else this.#service.close();
  }
}

interface BoundSocket {
  readonly listenFd: number;
  readonly identity: Identity;
  readonly place?: Place;
}

function* bindSocket(owned: Owned, abstract: string | undefined): Operation<BoundSocket | Refusal> {
  if (owned.place === undefined) {
    // Whoever passed us an inherited socket has the claim.
    if (abstract === undefined) return refuse('system', 'ENOTSUP', 'bind');
    const bound = yield* acquireAbstract(abstractHandover(abstract), terms);
    return isRefusal(bound) ? bound : { ...bound, identity: noFile };
  }
  const place = owned.place.handover;
  if (place === undefined) return refuse('too-long', 'ENAMETOOLONG', 'bind', `${owned.place.path}.handover`);
  const bound = yield* bindUnderLock(place, terms);
  return isRefusal(bound) ? bound : { ...bound, place };
}

import { acquire, acquireAbstract } from '../claim/acquire.js';
import { locate } from '../claim/locate.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isDead, take } from '../claim/take.js';
import { library } from '../errors/advice.js';
import type { SocketAddressError } from '../errors/error.js';
import { explain } from '../errors/explain.js';
import { partsOf } from '../errors/message.js';
import { findListener, findLocker, listeningInode } from '../holder/find.js';
import { handoverPlace } from '../handover/socket.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { AT_FDCWD, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';
import { Hold, type Held } from './hold.js';
import { inheritedSocket } from './inherit.js';
import { publish, say, traceNow } from './trace.js';

/** Finds the place of an address and claims it. With `wait`, a lock that somebody has is waited for. */
export function* acquireRequest({ address, terms }: Request, wait = false): Operation<Held | Refusal> {
  if (address.kind === 'abstract') return yield* acquireAbstract(address.name, terms);
  if (address.kind === 'pipe') throw new Error('A Windows pipe is not claimed; Node listens on it by itself.');
  const place = yield* locate(address, process.platform);
  if (isRefusal(place)) return place;
  const claim = yield* acquire(place, terms, wait);
  if (isRefusal(claim)) return claim;
  // What a holder that served hand-overs left when it crashed. Nobody else removes it, and under the lock it may be removed.
  const handover = handoverPlace(place, process.platform);
  if (!isRefusal(handover)) yield* take(handover, isDead);
  return { ...claim, place };
}

/** The claim of whoever passed us a socket that is bound to the address: sd_listen_fds(3). No lock is taken. */
export function inherit(request: Request): Hold | undefined {
  const listenFd = inheritedSocket(request);
  if (isRefusal(listenFd)) throw refused(request, listenFd);
  return listenFd === undefined ? undefined : new Hold({ listenFd, inherited: true }, request.text);
}

/** Makes the claim at once, without waiting for anybody. */
export function acquireNow(request: Request): Hold {
  return traceNow(
    'reuseaddr.claim',
    () => ({ address: request.text }),
    () => acquireAtOnce(request),
  );
}

function acquireAtOnce(request: Request): Hold {
  const inherited = inherit(request);
  if (inherited !== undefined) return inherited;
  const held = run(kernel, acquireRequest(request));
  if (isRefusal(held)) throw refusedStart(request, held);
  return new Hold(held, request.text);
}

/** Somebody has the address, so that it may be free later. */
export function isInUse({ refused: why }: Refusal): boolean {
  return why === 'held' || why === 'starting' || why === 'stray';
}

/** The error for a request that was refused. Tells those that follow the refusals of this process. */
export function refused(request: Request, refusal: Refusal): SocketAddressError {
  const error = explainStart(request, refusal);
  say(request.text, () => `was refused, because ${whyRefused(request, refusal)}`);
  publish('reuseaddr.refusal', () => ({ address: request.text, error }));
  return error;
}

/** Why a start is refused, as a clause. */
export function whyRefused(request: Request, refusal: Refusal): string {
  return partsOf(explainStart(request, refusal).explanation, library).happened;
}

/** The error for a refusal, with whatever can be found out about the process that holds the address. */
export function explainStart(request: Request, refusal: Refusal): SocketAddressError {
  const found = isDisplaced(request, refusal) ? { ...refusal, refused: 'displaced' as const } : refusal;
  return explain(request.text, found, findUnrecorded(request, refusal));
}

/** Likewise, for a start to which the holder could hand over. Where that was asked for, the refusal says why it did not. */
export function refusedStart(request: Request, refusal: Refusal): SocketAddressError {
  const couldAsk = refusal.refused === 'held' && refusal.handover === undefined && servesHandovers(request);
  return refused(request, couldAsk ? { ...refusal, handover: 'served' } : refusal);
}

function servesHandovers({ address }: Request): boolean {
  if (address.kind === 'abstract') return listeningInode(`@${address.name}.handover`) !== undefined;
  const place = address.kind === 'pathname' ? run(kernel, locate(address, process.platform)) : undefined;
  const handover = place === undefined || isRefusal(place) ? place : handoverPlace(place, process.platform);
  return handover !== undefined && !isRefusal(handover) && typeof kernel.fstatat(AT_FDCWD, handover.path) === 'object';
}

/** Nothing was live at the path for some milliseconds, and yet the kernel knows a socket that listens under this name. */
function isDisplaced({ address }: Request, { refused: why }: Refusal): boolean {
  if (why !== 'starting' || address.kind !== 'pathname') return false;
  const place = run(kernel, locate(address, process.platform));
  return !isRefusal(place) && listeningInode(place.path) !== undefined && kernel.fstatat(AT_FDCWD, place.path) === 'ENOENT';
}

/**
 * The process that holds an address of which no lock file tells: a stray, the holder of an abstract name, one that listens since a
 * moment ago, one that has inherited the lock.
 */
function findUnrecorded({ address }: Request, { refused: why, path, record }: Refusal): Holder | undefined {
  if (why === 'stray' && path !== undefined) return findListener(path);
  if (!['held', 'starting', 'cancelled'].includes(why) || address.kind === 'pipe') return undefined;
  if (address.kind === 'abstract') return findListener(`@${address.name}`);
  if (holderOfRecord(record) !== undefined) return undefined;
  // It listens already, and has not come to write its record yet; or what we waited for was a stray.
  const place = run(kernel, locate(address, process.platform));
  return isRefusal(place) ? undefined : (findListener(place.path) ?? findLocker(place.lockPath));
}

const pauseMsMin = 5;
const pauseMsMax = 500;

/** The pauses between two looks at something that can't be waited for: 5 ms, and half as long again each time, up to 500 ms. */
export function* pauses(): Generator<number, never, unknown> {
  for (let ms = pauseMsMin; ; ms = Math.min(ms * 1.5, pauseMsMax)) yield ms;
}

import { abstractHandover } from '../address/names.js';
import { acquire, acquireAbstract } from '../claim/acquire.js';
import type { Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isDead, take } from '../claim/take.js';
import { library } from '../errors/advice.js';
import type { SocketAddressError } from '../errors/error.js';
import { explain } from '../errors/explain.js';
import { partsOf } from '../errors/message.js';
import { findListener, findLocker, listeningInode } from '../holder/find.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';
import { Hold, type Held } from './hold.js';
import { inheritedSocket } from './inherit.js';
import { closeTarget, resolveRequest } from './target.js';
import { publish, say, traceNow } from './trace.js';

/** Claims an address where it was found to be. With `wait`, a lock that another process has is waited for. */
export function* acquireTarget(target: Target, { terms }: Request, wait = false): Operation<Held | Refusal> {
  if ('abstract' in target) return yield* acquireAbstract(target.abstract, terms);
  const { place } = target;
  const claim = yield* acquire(place, terms, wait);
  if (isRefusal(claim)) return claim;
  // What a holder that served hand-overs left when it crashed. Nobody else removes it, and under the lock it may be removed.
  if (place.handover !== undefined) yield* take(place.handover, isDead);
  return { ...claim, place };
}

/** The claim of whoever passed us a socket that is bound to the address: sd_listen_fds(3). No lock is taken. */
export function inherit(request: Request, target: Target): Hold | undefined {
  const listenFd = inheritedSocket(target, request.mode);
  if (isRefusal(listenFd)) throw refused(request, target, listenFd);
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
  const target = resolveRequest(request);
  try {
    const inherited = inherit(request, target);
    if (inherited !== undefined) return inherited;
    const held = run(kernel, acquireTarget(target, request));
    if (isRefusal(held)) throw refusedStart(request, target, held);
    return new Hold(held, request.text);
  } finally {
    closeTarget(target);
  }
}

/** Somebody has the address, so that it may be free later. */
export function isInUse({ refused: why }: Refusal): boolean {
  return why === 'held' || why === 'starting' || why === 'stray';
}

/** The error for a request that was refused. Tells those that follow the refusals of this process. */
export function refused(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const error = explainStart(request, target, refusal);
  say(request.text, () => `was refused, because ${whyRefused(request, target, refusal)}`);
  publish('reuseaddr.refusal', () => ({ address: request.text, error }));
  return error;
}

/** Why a start is refused, as a clause. */
export function whyRefused(request: Request, target: Target, refusal: Refusal): string {
  return partsOf(explainStart(request, target, refusal).explanation, library).happened;
}

/** The error for a refusal, with whatever can be found out about the process that holds the address. */
export function explainStart(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const found = isDisplaced(target, refusal) ? { ...refusal, refused: 'displaced' as const } : refusal;
  return explain(request.text, found, findUnrecorded(target, refusal));
}

/** Likewise, for a start to which the holder could hand over. Where that was asked for, the refusal says why it did not. */
export function refusedStart(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const couldAsk = refusal.refused === 'held' && refusal.handover === undefined && servesHandovers(target);
  return refused(request, target, couldAsk ? { ...refusal, handover: 'served' } : refusal);
}

function servesHandovers(target: Target): boolean {
  if ('abstract' in target) return listeningInode(`@${abstractHandover(target.abstract)}`) !== undefined;
  const { handover } = target.place;
  return handover !== undefined && !failed(kernel.fstatat(handover.directory.fd, handover.name));
}

/** Nothing was live at the path for some milliseconds, and yet the kernel knows a socket that listens under this name. */
function isDisplaced(target: Target, { refused: why }: Refusal): boolean {
  if (why !== 'starting' || 'abstract' in target) return false;
  const { place } = target;
  return listeningInode(place.path) !== undefined && kernel.fstatat(place.directory.fd, place.name) === 'ENOENT';
}

/**
 * The process that holds an address of which no lock file tells: a stray, the holder of an abstract name, one that listens since a
 * moment ago, one that has inherited the lock.
 */
function findUnrecorded(target: Target, { refused: why, path, record }: Refusal): Holder | undefined {
  if (why === 'stray' && path !== undefined) return findListener(path);
  if (!['held', 'starting', 'cancelled'].includes(why)) return undefined;
  if ('abstract' in target) return findListener(`@${target.abstract}`);
  if (holderOfRecord(record) !== undefined) return undefined;
  // It listens already, and has not come to write its record yet; or what we waited for was a stray.
  return findListener(target.place.path) ?? findLocker(target.place.lockPath);
}

const pauseMsMin = 5;
const pauseMsMax = 500;

/** The pauses between two looks at something that can't be waited for: 5 ms, and half as long again each time, up to 500 ms. */
export function* pauses(): Generator<number, never, unknown> {
  for (let ms = pauseMsMin; ; ms = Math.min(ms * 1.5, pauseMsMax)) yield ms;
}

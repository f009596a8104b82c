import { abstractHandover } from '../address/names.js';
import { acquire, acquireAbstract } from '../claim/acquire.js';
import type { Place, Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isDead, take } from '../claim/take.js';
import { library } from '../errors/advice.js';
import type { SocketAddressError } from '../errors/error.js';
import { explain } from '../errors/explain.js';
import { partsOf } from '../errors/message.js';
import { boundTo, findListener, findLocker, listeningInode } from '../holder/find.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { failed, run, type FileStatus, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';
import { Hold, type Held } from './hold.js';
import { inheritedSocket } from './inherit.js';
import { closeTarget, resolveRequest } from './target.js';
import { publish, say, traceNow } from './trace.js';

/**
 * Claims an address in its resolved place. With `wait`, waits while another process has the lock.
 */
export function* acquireTarget(target: Target, { terms }: Request, wait = false): Operation<Held | Refusal> {
  if ('abstract' in target) return yield* acquireAbstract(target.abstract, terms);
  const { place } = target;
  const claim = yield* acquire(place, terms, wait);
  if (isRefusal(claim)) return asListed(place, claim);
  // A holder that served handovers left this when it crashed. No other code removes it, and the
  // lock permits it.
  if (place.handover !== undefined) yield* take(place.handover, isDead);
  return { ...claim, place };
}

/**
 * Returns a refusal as the kernel's list of sockets knows it. connect(2) does not tell whether a
 * socket is live to which this user may not connect. If it is listed, it is another user's server.
 */
export function asListed({ directory, name }: Place, refusal: Refusal): Refusal {
  if (refusal.syscall !== 'probe' || refusal.errno !== 'EACCES') return refusal;
  const file = kernel.fstatat(directory.fd, name);
  return failed(file) || boundTo(file) === undefined ? refusal : { ...refusal, refused: 'stray', errno: 'EADDRINUSE' };
}

/**
 * Returns the claim of the process that passed a socket bound to the address: sd_listen_fds(3). No
 * lock is taken.
 */
export function inherit(request: Request, target: Target): Hold | undefined {
  const listenFd = inheritedSocket(target, request.mode);
  if (isRefusal(listenFd)) throw refused(request, target, listenFd);
  return listenFd === undefined ? undefined : new Hold({ listenFd, inherited: true }, request.text);
}

/** Makes the claim at once, without waiting for another process. */
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

/** Whether another process has the address, so that it may become free. */
export function isInUse({ refused: why }: Refusal): boolean {
  return why === 'held' || why === 'starting' || why === 'stray';
}

/** Returns the error for a refused request, and publishes the refusal to its subscribers. */
export function refused(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const error = explainStart(request, target, refusal);
  say(request.text, () => `was refused, because ${whyRefused(request, target, refusal)}`);
  publish('reuseaddr.refusal', () => ({ address: request.text, error }));
  return error;
}

/** Returns the reason of a refused start, as a clause. */
export function whyRefused(request: Request, target: Target, refusal: Refusal): string {
  return partsOf(explainStart(request, target, refusal).explanation, library).happened;
}

/**
 * Returns the error for a refusal, with everything that can be learned about the process that holds
 * the address.
 */
export function explainStart(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const found = isDisplaced(target, refusal) ? { ...refusal, refused: 'displaced' as const } : refusal;
  return explain(request.text, found, findUnrecorded(target, refusal));
}

/**
 * Does the same for a start to which the holder could hand over. If a handover was requested, the
 * refusal says why it failed.
 */
export function refusedStart(request: Request, target: Target, refusal: Refusal): SocketAddressError {
  const couldAsk = refusal.refused === 'held' && refusal.handover === undefined && servesHandovers(target);
  return refused(request, target, couldAsk ? { ...refusal, handover: 'served' } : refusal);
}

function servesHandovers(target: Target): boolean {
  if ('abstract' in target) return listeningInode(`@${abstractHandover(target.abstract)}`) !== undefined;
  const { handover } = target.place;
  return handover !== undefined && !failed(kernel.fstatat(handover.directory.fd, handover.name));
}

/**
 * Whether the kernel knows a socket that listens under this name, although nothing was live at the
 * path for some milliseconds.
 */
function isDisplaced(target: Target, { refused: why }: Refusal): boolean {
  if (why !== 'starting' || 'abstract' in target) return false;
  const { place } = target;
  return listeningInode(place.path) !== undefined && kernel.fstatat(place.directory.fd, place.name) === 'ENOENT';
}

/**
 * Finds the process that holds an address without a record in a lock file: a stray, the holder of
 * an abstract name, a process that has just begun to listen, or one that inherited the lock.
 */
function findUnrecorded(target: Target, { refused: why, path, record }: Refusal): Holder | undefined {
  if (why === 'stray' && path !== undefined) return findListener(path, fileAt(target));
  if (!['held', 'starting', 'cancelled'].includes(why)) return undefined;
  if ('abstract' in target) return findListener(`@${target.abstract}`);
  if (holderOfRecord(record) !== undefined) return undefined;
  // Either it listens already and has not yet written its record, or the wait was for a stray.
  return findListener(target.place.path, fileAt(target)) ?? findLocker(target.place.lockPath);
}

function fileAt(target: Target): FileStatus | undefined {
  const file = 'abstract' in target ? 'ENOENT' : kernel.fstatat(target.place.directory.fd, target.place.name);
  return failed(file) ? undefined : file;
}

const pauseMsMin = 5;
const pauseMsMax = 500;

/**
 * The pauses between two looks at something that cannot be waited for: 5 ms, and half as long again
 * each time, up to 500 ms.
 */
export function* pauses(): Generator<number, never, unknown> {
  for (let ms = pauseMsMin; ; ms = Math.min(ms * 1.5, pauseMsMax)) yield ms;
}

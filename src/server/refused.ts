import { abstractHandover } from '../address/names.js';
import type { Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { library } from '../errors/advice.js';
import type { SocketAddressError } from '../errors/socketAddressError.js';
import { explain } from '../errors/explain.js';
import { partsOf } from '../errors/messageOf.js';
import { describeProcess, findListener, findLocker, listeningInode } from '../holder/find.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { failed, type FileStatus } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Attempt } from './attempt.js';
import { publish, say } from './trace.js';

/** The part of an attempt that explains its refusal. */
type Attempted = Pick<Attempt, 'request' | 'target'>;

/** Whether another process has the address, so that it may become free. */
export function isInUse(outcome: unknown): outcome is Refusal & { refused: 'held' | 'starting' | 'stray' } {
  return isRefusal(outcome) && ['held', 'starting', 'stray'].includes(outcome.refused);
}

/** Returns the error for a refused request, and publishes the refusal to its subscribers. */
export function refused(attempt: Attempted, refusal: Refusal): SocketAddressError {
  const { text } = attempt.request;
  const error = explainStart(attempt, refusal);
  say(text, () => `was refused, because ${happened(error)}`);
  publish('reuseaddr.refusal', () => ({ address: text, error }));
  return error;
}

/**
 * Does the same for a start to which the holder could hand over. If a handover was requested, the
 * refusal says why it failed.
 */
export function refusedStart(attempt: Attempted, refusal: Refusal): SocketAddressError {
  const { refused: why, handover, pid } = refusal;
  const couldAsk = why === 'held' && handover === undefined && pid === undefined && servesHandovers(attempt.target);
  return refused(attempt, couldAsk ? { ...refusal, handover: 'served' } : refusal);
}

/**
 * Returns the error for a refusal, with everything that can be learned about the process that holds
 * the address.
 */
export function explainStart({ request, target }: Attempted, refusal: Refusal): SocketAddressError {
  const found = isDisplaced(target, refusal) ? { ...refusal, refused: 'displaced' as const } : refusal;
  const holder = findUnrecorded(target, refusal);
  return explain(request.text, found, holder);
}

/** Returns the reason of a refused start, as a clause. */
export function happened({ explanation }: SocketAddressError): string {
  return partsOf(explanation, library).happened;
}

function servesHandovers(target: Target): boolean {
  if ('abstract' in target) return listeningInode(`@${abstractHandover(target.abstract, target.type)}`) !== undefined;
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
function findUnrecorded(target: Target, { refused: why, path, record, pid }: Refusal): Holder | undefined {
  if (pid !== undefined) return describeProcess(pid);
  if (why === 'stray' && path !== undefined) return findListener(path, fileAt(target));
  if (!['held', 'starting', 'cancelled'].includes(why)) return undefined;
  if ('abstract' in target) return findListener(`@${target.abstract}`, undefined, target.type);
  if (holderOfRecord(record) !== undefined) return undefined;
  // Either it listens already and has not yet written its record, or the wait was for a stray.
  return findListener(target.place.path, fileAt(target)) ?? findLocker(target.place.lockPath);
}

function fileAt(target: Target): FileStatus | undefined {
  const file = 'abstract' in target ? 'ENOENT' : kernel.fstatat(target.place.directory.fd, target.place.name);
  return failed(file) ? undefined : file;
}

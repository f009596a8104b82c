import { constants } from 'node:os';
import { basename, dirname } from 'node:path';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { pinDirectory, type Place } from '../claim/place.js';
import { findRefusal, unlinkUnclaimed } from '../claim/unlink.js';
import { describe } from '../errors/describe.js';
import { show } from '../errors/show.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { guardedPlace } from '../inspect/guardedPlace.js';
import { lockKey, readLocks } from '../inspect/locks.js';
import { AT_FDCWD, failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** A socket file that stays, because a live process holds its claim. */
export interface Kept {
  readonly place: Place;
  readonly holder: Holder | undefined;
}

/**
 * Removes a socket file for the program, or keeps it because its claim is held.
 *
 * Returns whether the program may consider it removed. If false, node:fs decides, as in plain Node,
 * and makes the error if there is one.
 */
export function removeSocket(path: string): boolean {
  const { place, outcome } = at(path, unlinkUnclaimed);
  if (place === undefined || outcome === undefined || !isRefusal(outcome)) return outcome === 0;
  const kept = keeping(place, outcome);
  if (kept !== undefined) warn(kept);
  return kept !== undefined;
}

/** Whether the lock file of a socket stays, because a live process holds the claim. */
export function keepLock(socket: string): boolean {
  const kept = findKept(socket);
  if (kept !== undefined) warn(kept);
  return kept !== undefined;
}

/**
 * Returns the error for a rename that would take a held name away or replace it, and undefined if
 * node:fs may rename.
 */
export function forbidRename(from: string, to: string): NodeJS.ErrnoException | undefined {
  const kept = findKept(from) ?? findKept(to);
  if (kept === undefined) return undefined;
  warn(kept);
  const message = `EBUSY: resource busy or locked, rename '${from}' -> '${to}'. ${whoServes(kept)}`;
  return Object.assign(new Error(message), {
    errno: -constants.errno.EBUSY,
    code: 'EBUSY',
    syscall: 'rename',
    path: from,
    dest: to,
  });
}

/** Returns the claim on a socket file, if a live process holds one. */
export function findKept(path: string): Kept | undefined {
  const { place, outcome: refusal } = at(path, findRefusal);
  return place && refusal && keeping(place, refusal);
}

/**
 * Only a lock that another descriptor holds keeps a name. A lock file that cannot be used (another
 * program's file, for instance) says nothing, so node:fs decides. If it may not be opened, the
 * kernel's list of locks tells whether it is held.
 */
function keeping(place: Place, { refused, record }: Refusal): Kept | undefined {
  const held = refused === 'held' || refused === 'starting' || (refused === 'lock-denied' && isLocked(place.lockPath));
  return held ? { place, holder: holderOfRecord(record) } : undefined;
}

function isLocked(path: string): boolean {
  const file = kernel.fstatat(AT_FDCWD, path);
  return !failed(file) && readLocks()?.has(lockKey(file)) === true;
}

/**
 * Calls `work` in the directory of a path, which is pinned meanwhile. The place is for messages.
 */
function at<Outcome>(
  path: string,
  operation: (place: Place) => Operation<Outcome>,
): { readonly place?: Place | undefined; readonly outcome?: Outcome | undefined } {
  const directory = run(kernel, pinDirectory(dirname(path)));
  if (isRefusal(directory)) return {};
  try {
    const place = guardedPlace(directory, basename(path));
    return { place, outcome: place && run(kernel, operation(place)) };
  } finally {
    kernel.close(directory.fd);
  }
}

let warned = false;

/** Warns once: a program that unlinks before each start would cause a warning each time. */
export function warn(kept: Kept): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    `The program tried to remove or rename ${show(kept.place.path)}, which stays. ${whoServes(kept)} ` +
      `Under reuseaddr/register, a program does not need to remove its socket file. Set REUSEADDR=off to allow it.`,
    { code: 'REUSEADDR_SOCKET_KEPT' },
  );
}

function whoServes({ place, holder }: Kept): string {
  const who = holder?.pid === process.pid && holder.pidNamespace === undefined ? 'this process' : describe(holder);
  return `${who.slice(0, 1).toUpperCase()}${who.slice(1)} holds ${show(place.path)}.`;
}

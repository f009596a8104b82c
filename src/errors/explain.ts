import type { Refusal } from '../claim/refusal.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import { userName } from '../holder/users.js';
import { SocketAddressError } from './error.js';

/** The error for a refused start: what happened, why, and what to do. */
export function explain(address: string, refusal: Refusal, known?: Holder): SocketAddressError {
  const holder = known ?? holderOfRecord(refusal.record);
  const message = `Cannot listen on ${show(address)}: ${sentence(refusal, holder)}`;
  return new SocketAddressError(message, {
    code: refusal.errno,
    reason: refusal.refused,
    syscall: refusal.syscall,
    address,
    holder,
  });
}

/** An address on one line: an abstract name has a NUL before it in Node's spelling, and may hold anything. */
export function show(address: string): string {
  return JSON.stringify(address.replace(/^\0/, '@'))
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"');
}

function sentence(refusal: Refusal, holder: Holder | undefined): string {
  const path = show(refusal.path ?? '');
  switch (refusal.refused) {
    case 'held':
      return `${describe(holder)} holds it${sinceWhen(holder)}. Stop it, wait for it with { wait: true }, or take it over with { takeover: true }.`;
    case 'starting':
      return `${describe(holder)} has locked it but does not listen: it is starting or stopping. Try again, or wait for it with { wait: true }.`;
    case 'cancelled':
      return `${describe(holder)} still holds it${sinceWhen(holder)}, and the wait for it has ended.`;
    case 'stray':
      return `${describe(holder)} listens there without holding the lock, so it does not use reuseaddr. Stop it first; it was left alone.`;
    case 'not-a-socket':
      return `there is something at that path that is not a socket. It was left alone: move it away, or choose another path.`;
    case 'aside-occupied':
      return `${path} is in the way: an interrupted start set it aside and something else has taken its place since. Look at it, and move it away.`;
    case 'lock-not-a-file':
      return `the lock file ${path} is not a regular file. It was left alone: move it away, or choose another with { lockPath }.`;
    case 'lock-is-symlink':
      return `the lock file ${path} is a symbolic link, which is never followed. It was left alone: remove it, or choose another with { lockPath }.`;
    case 'lock-has-links':
      return `the lock file ${path} has more than one name (hard links), so it may be somebody's file. It was left alone: remove it, or choose another with { lockPath }.`;
    case 'lock-foreign-owner':
      return `the lock file ${path} belongs to another user, in a directory that others may write to. It was left alone: have it removed, or use a directory of your own.`;
    case 'lock-foreign-content':
      return `${path} is not a lock file: it holds something else. It was left alone: move it away, or choose another with { lockPath }.`;
    case 'lock-denied':
      return `the lock file ${path} may not be opened for writing: it was made by another user. Run as that user, or choose another address.`;
    case 'lock-unstable':
      return `somebody keeps removing or replacing the lock file ${path}.`;
    case 'no-directory':
      return `there is no directory ${path}. Create it first.`;
    case 'too-long':
      return tooLong(path);
    case 'unstable':
      return `somebody keeps binding or removing ${path} at the same time.`;
    case 'system':
      return `${refusal.syscall} failed with ${refusal.errno}${refusal.path === undefined ? '' : ` on ${path}`}${advice(refusal.errno)}`;
  }
}

function tooLong(path: string): string {
  return process.platform === 'linux'
    ? `${path} is longer than a socket address, and its last part is longer than 85 bytes. Use a shorter name.`
    : `${path} is longer than the 103 bytes of a socket address. Use a shorter path.`;
}

function advice(errno: string): string {
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return ': this user may not do that. Look at the owner and mode of the directory and of the file.';
    case 'EROFS':
      return ': the file system is read-only.';
    case 'ENOSPC':
    case 'EDQUOT':
      return ': the file system is full.';
    case 'EMFILE':
    case 'ENFILE':
      return ': too many open files (ulimit -n).';
    case 'ENOLCK':
    case 'EOPNOTSUPP':
      return ': this file system has no locks. Put the lock file elsewhere with { lockPath }.';
    default:
      return '.';
  }
}

/** `process 412 (node server.js, user www-data)`, with what is known. */
export function describe(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process';
  const user = holder.user ?? (holder.uid === undefined ? undefined : (userName(holder.uid) ?? `uid ${holder.uid}`));
  const details = [holder.command, user === undefined ? undefined : `user ${user}`, holder.host && `on ${holder.host}`];
  const known = details.filter((detail) => detail !== undefined && detail !== '');
  return `process ${holder.pid}${known.length === 0 ? '' : ` (${known.join(', ')})`}`;
}

/** ` since 10:31`, with the date where it was not today. */
function sinceWhen(holder: Holder | undefined): string {
  if (holder?.since === undefined) return '';
  const since = holder.since;
  const local = new Date(since.getTime() - since.getTimezoneOffset() * 60_000).toISOString();
  const today = since.toDateString() === new Date().toDateString();
  return ` since ${today ? local.slice(11, 16) : local.slice(0, 16).replace('T', ' ')}`;
}

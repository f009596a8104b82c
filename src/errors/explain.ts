import type { Refusal } from '../claim/refusal.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import type { Errno } from '../kernel/kernel.js';
import { userName } from '../holder/users.js';
import { SocketAddressError, type Unreachable } from './error.js';

/** What was asked for, as it is said in a message: `Cannot listen on …`. */
export type Task = 'listen on' | 'connect to' | 'inspect' | 'clean';

/** The error for a refused start: what happened, why, and what to do. */
export function explain(address: string, refusal: Refusal, known?: Holder, task: Task = 'listen on'): SocketAddressError {
  const holder = known ?? holderOfRecord(refusal.record);
  const message = `Cannot ${task} ${show(address)}: ${sentence(refusal, holder)}`;
  return new SocketAddressError(message, {
    code: refusal.errno,
    reason: refusal.refused,
    syscall: refusal.syscall,
    address,
    holder,
  });
}

/** A connection that was not to be had, after the last try. */
export interface FailedConnect {
  readonly unreachable: Unreachable;
  readonly errno: Errno;
  readonly syscall: string;
}

/** The error for a connection that failed, and was tried again for so long. */
export function explainConnect(
  address: string,
  { unreachable, errno, syscall }: FailedConnect,
  triedMs: number,
  holder?: Holder,
): SocketAddressError {
  const tried = triedMs > 0 ? ` Gave up after ${triedMs < 1000 ? `${triedMs} ms` : `${Math.round(triedMs / 100) / 10} s`}.` : '';
  const message = `Cannot connect to ${show(address)}: ${connectSentence(show(address), unreachable, errno, syscall, holder)}${tried}`;
  return new SocketAddressError(message, { code: errno, reason: unreachable, syscall, address, holder });
}

function connectSentence(
  address: string,
  unreachable: Unreachable,
  errno: Errno,
  syscall: string,
  holder: Holder | undefined,
): string {
  switch (unreachable) {
    case 'absent':
      return 'nobody listens there. Start the server, or wait longer for it with { timeout }.';
    case 'no-directory':
      return 'its directory does not exist. Start the server, or wait longer for it with { timeout }.';
    case 'stale':
      return 'its server is gone and has left the socket file behind. Start the server again: it replaces the file.';
    case 'starting':
      return `${describe(holder)} has it but does not listen: it is starting or stopping. Try again, or wait longer with { timeout }.`;
    case 'backlog-full':
      return `its backlog is full: ${describe(holder)} does not accept connections fast enough, or has stopped. Give it a larger backlog, or wait longer with { timeout }.`;
    case 'denied':
      return 'this user may not. It takes write permission on the socket file, and search permission on every directory above it.';
    case 'not-a-socket':
      return 'what is at that path is not a socket.';
    case 'not-a-stream':
      return 'it is a datagram or seqpacket socket, and connect() makes stream connections.';
    case 'too-long':
      return `${address} is longer than this system allows.`;
    case 'system':
      return `${syscall} failed with ${errno}${advice(errno)}`;
  }
}

/**
 * An address on one line, fit for a terminal, and different for different addresses: an abstract name has a NUL before it in Node's
 * spelling, and names may hold anything. Also what JSON leaves as it is: C1 controls (U+009B begins an escape sequence, as ESC [ does)
 * and bidirectional marks.
 */
export function show(address: string): string {
  return JSON.stringify(address.replace(/^\0/, '@'))
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escape);
}

function escape(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

function sentence(refusal: Refusal, holder: Holder | undefined): string {
  const path = show(refusal.path ?? '');
  switch (refusal.refused) {
    case 'held':
      return `${describe(holder)} holds it${sinceWhen(holder)}. ${whatToDo(refusal.handover)}`;
    case 'starting':
      return `${describe(holder)} has locked it but does not listen: it is starting or stopping. Try again, or wait for it with { wait: true }.`;
    case 'displaced':
      return `${describe(holder)} holds it${sinceWhen(holder)}, but its socket file was removed, so nobody can connect to it. Start it again. With { onDisplaced: 'rebind' } a server makes its file again by itself.`;
    case 'cancelled':
      return `${describe(holder)} still holds it${sinceWhen(holder)}, and the wait for it has ended.`;
    case 'stray':
      return `${describe(holder)} listens there without holding the lock: it does not use reuseaddr, or its reuseaddr run was killed. Stop it first; it was left alone.`;
    case 'not-a-socket':
      return `there is something at that path that is not a socket. It was left alone: move it away, or choose another path.`;
    case 'aside-occupied':
      return `${path} is in the way: an interrupted start set it aside and something else has taken its place since. Look at it, and move it away.`;
    case 'lock-not-a-file':
      return `the lock file ${path} is not a regular file. It was left alone: move it away, or choose another with { lockPath }.`;
    case 'lock-is-symlink':
      return `the lock file ${path} is a symbolic link, which is never followed. It was left alone: remove it, or choose another with { lockPath }.`;
    case 'lock-is-address':
      return `the lock file ${path} has a name that the socket needs. Choose another with { lockPath }.`;
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

/** What to do about a holder, and why it did not hand over where it was asked to. */
function whatToDo(handover: string | undefined): string {
  switch (handover) {
    case undefined:
      return 'Stop it, wait for it with { wait: true }, or take it over with { takeover: true }.';
    case 'unserved':
      return 'It does not serve hand-overs: start it with { handover: true }, or stop it.';
    case 'late':
    case 'again':
      return 'It did not hand over in time. Try again, or stop it.';
    case 'denied':
      return 'A hand-over is made between processes of one user only, or with root. Stop it, or wait for it with { wait: true }.';
    default:
      return `The hand-over failed (${handover}). Stop it, or wait for it with { wait: true }.`;
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
    case 'ENOTSUP':
      return ': this file system has no locks. Put the lock file elsewhere with { lockPath }.';
    default:
      return '.';
  }
}

/** `process 412 (node server.js, user www-data)`, with what is known. */
export function describe(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process';
  const user = holder.user ?? (holder.uid === undefined ? undefined : (userName(holder.uid) ?? `uid ${holder.uid}`));
  const elsewhere = holder.pidNamespace === undefined ? undefined : 'the pid is that of another PID namespace';
  const details = [
    holder.command,
    user === undefined ? undefined : `user ${user}`,
    holder.host && `on ${holder.host}`,
    elsewhere,
  ];
  const known = details.filter((detail) => detail !== undefined && detail !== '');
  return `process ${holder.pid}${known.length === 0 ? '' : ` (${known.join(', ')})`}`;
}

/** ` since 10:31`, with the date where it was not today. */
export function sinceWhen(holder: Holder | undefined): string {
  if (holder?.since === undefined) return '';
  const since = holder.since;
  const local = new Date(since.getTime() - since.getTimezoneOffset() * 60_000).toISOString();
  const today = since.toDateString() === new Date().toDateString();
  return ` since ${today ? local.slice(11, 16) : local.slice(0, 16).replace('T', ' ')}`;
}

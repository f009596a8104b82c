import { basename, dirname } from 'node:path';
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
  const message = `Cannot ${task} ${quote(address)}: ${sentence(refusal, holder, task)}`;
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

/** An address in a message: an empty one is to be seen, too. */
export function quote(address: string): string {
  return address === '' ? "''" : show(address);
}

function escape(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

function sentence(refusal: Refusal, holder: Holder | undefined, task: Task): string {
  const path = show(refusal.path ?? '');
  switch (refusal.refused) {
    case 'held':
      return `${describe(holder)} holds it${sinceWhen(holder)}. ${whatToDo(refusal.handover)}`;
    case 'starting':
      return `${describe(holder)} has locked it but does not listen: it is starting or stopping. Try again, or wait for it with { wait: true }.`;
    case 'displaced':
      return `${describe(holder)} holds it${sinceWhen(holder)}, but its socket file was removed, so nobody can connect to it. Start it again.`;
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
      return noDirectory(refusal.path ?? '', refusal.errno, task);
    case 'too-long':
      return tooLong(refusal.path ?? '');
    case 'unstable':
      return `somebody keeps binding or removing ${path} at the same time.`;
    case 'system':
      return denial(refusal, task) ?? `${refusal.syscall} failed with ${refusal.errno}${onPath(refusal)}${advice(refusal.errno)}`;
  }
}

/** What to do about a holder, and why it did not hand over where it was asked to. */
function whatToDo(handover: string | undefined): string {
  switch (handover) {
    case undefined:
      return 'Stop it, or wait for it with { wait: true }.';
    case 'served':
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

function noDirectory(given: string, errno: string, task: Task): string {
  const path = show(tidy(given));
  if (errno === 'ENOTDIR') return `a part of ${path} is not a directory.`;
  return `there is no directory ${path}.${task === 'listen on' ? ' Create it first.' : ''}`;
}

/** As realpath(3) was asked it is `/a/./sub/`. Not path.normalize: it takes the `..` of a symlink for the directory that the link is in. */
function tidy(path: string): string {
  return path.replaceAll(/\/\.(?=\/|$)/g, '').replace(/(?<=.)\/$/, '') || '/';
}

function tooLong(path: string): string {
  if (process.platform !== 'linux') return `the whole path, ${show(path)}, is over 103 bytes long. Use a shorter one.`;
  const nameBytes = Buffer.byteLength(basename(path));
  return `the file name is ${nameBytes} bytes long, and where the whole path is over 107 bytes at most 85 are possible. Use a shorter name; the directory may be as long as you like.`;
}

/** Which user may not do what, where a system call was refused for want of permission. */
function denial({ errno, syscall, path: refused }: Refusal, task: Task): string | undefined {
  if ((errno !== 'EACCES' && errno !== 'EPERM') || refused === undefined) return undefined;
  const call: string = syscall;
  const [path, directory] = [show(refused), show(dirname(refused))];
  switch (call) {
    case 'open':
    case 'bind':
      return `${thisUser()} may not create files in ${directory}.${task === 'listen on' ? ' Choose a directory where it may, or have one made for it.' : ''}`;
    case 'chown':
      return `only root may give ${path} to another user; others may only give it to a group that they are in. Leave owner and group out, or run as root.`;
    case 'unlink':
    case 'rename':
      return `${thisUser()} may not remove ${path}. It takes write permission on ${directory}; in a sticky directory, such as /tmp, the file must be that user's, too.`;
    case 'realpath':
    case 'lstat':
      return `${thisUser()} may not search ${show(tidy(refused))}, or a directory above it.`;
    case 'probe':
      return `${thisUser()} may not connect to ${path}, and so cannot tell whether a server still has it. Run as its owner, or have it removed.`;
    default:
      return `${thisUser()} may not do ${call} on ${path} (${errno}).`;
  }
}

/** `user www-data`. */
function thisUser(): string {
  const uid = process.geteuid?.();
  return uid === undefined ? 'this user' : `user ${show(userName(uid) ?? String(uid))}`;
}

function onPath({ path }: Refusal): string {
  return path === undefined ? '' : ` on ${show(path)}`;
}

function advice(errno: string): string {
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return `: ${thisUser()} may not do that.`;
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
  const user = holder.user ?? (holder.uid === undefined ? undefined : (userName(holder.uid) ?? String(holder.uid)));
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

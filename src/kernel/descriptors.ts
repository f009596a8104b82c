import { constants } from 'node:fs';
import type { Socket } from 'node:net';
import type { SocketType } from '../address/socketType.js';
import { addon } from './addon.js';
import { failed, type Errno } from './kernel.js';
import { Descriptor } from './descriptor.js';
import { errnoName } from './errno.js';
import { kernel } from './posix.js';

const { O_NONBLOCK } = constants;

/*
 * Descriptors that come from another process, and those that are left to another one:
 * sd_listen_fds(3), `reuseaddr run`.
 */

/**
 * The description of a descriptor that this process did not open, such as an inherited one:
 * getsockname(2), SO_TYPE and SO_ACCEPTCONN.
 */
export interface SocketDescription {
  readonly type: SocketType;
  /** Whether listen(2) was called on it. */
  readonly listening: boolean;
  /** A pathname, or a NUL and an abstract name. Empty: the socket is not bound. */
  readonly name: string;
}

/** Describes a Unix domain socket. `EAFNOSUPPORT`: another family. `ENOTSOCK`: not a socket. */
export function describeSocket(fd: number): SocketDescription | Errno {
  const name = addon().getsockname(fd);
  if (typeof name === 'number') return errnoName(name);
  const socket = kernel.socketType(fd);
  if (failed(socket)) return socket;
  const accepting = addon().getsockopt(fd, 'SO_ACCEPTCONN');
  return accepting < 0 ? errnoName(accepting) : { ...socket, listening: accepting !== 0, name };
}

/**
 * Returns the descriptor of a socket of Node, or -1 if it is closed. No documented way leads to it.
 */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1;
}

/**
 * shutdown(2). The other end learns that no more comes. SHUT_RDWR also ends a read that waits in
 * another thread.
 */
export function shutdown(fd: number, how: 'SHUT_WR' | 'SHUT_RDWR'): 0 | Errno {
  const result = addon().shutdown(fd, how);
  return result < 0 ? errnoName(result) : 0;
}

/** fcntl(2): makes a duplicate, which is close-on-exec. `close` of the kernel closes it. */
export function fcntl(fd: number, command: 'F_DUPFD_CLOEXEC'): number | Errno;
/** fcntl(2): whether children get the descriptor. */
export function fcntl(fd: number, command: 'F_SETFD', flags: 'FD_CLOEXEC' | ''): 0 | Errno;
/**
 * fcntl(2): whether calls wait. This affects every process that shares the open file description.
 * Other flags stay as they are.
 */
export function fcntl(fd: number, command: 'F_SETFL', flags: 'O_NONBLOCK' | ''): 0 | Errno;
export function fcntl(
  fd: number,
  command: 'F_DUPFD_CLOEXEC' | 'F_SETFD' | 'F_SETFL',
  flags?: 'FD_CLOEXEC' | 'O_NONBLOCK' | '',
): number | Errno {
  if (command === 'F_DUPFD_CLOEXEC') {
    const duplicate = addon().fcntl(fd, command, 0);
    return duplicate < 0 ? errnoName(duplicate) : Descriptor.opened(duplicate).fd;
  }
  let result = command === 'F_SETFD' ? 0 : addon().fcntl(fd, 'F_GETFL', 0);
  if (result >= 0) {
    const [flag, others] = command === 'F_SETFD' ? [FD_CLOEXEC, 0] : [O_NONBLOCK, result & ~O_NONBLOCK];
    result = addon().fcntl(fd, command, flags === '' ? others : others | flag);
  }
  return result < 0 ? errnoName(result) : 0;
}

/** The only flag of F_SETFD, 1 on every system. */
const FD_CLOEXEC = 1;

/**
 * Whether a number from 3 on, with which this process was started, still refers to the same file as
 * when a thread of the process first asked; and whether this call is the first. `EBADF`: it was
 * closed, and another file may have its number.
 */
export function seeInherited(fd: number): { readonly first: boolean } | Errno {
  const seen = addon().seeInherited(fd);
  return seen < 0 ? errnoName(seen) : { first: seen === 1 };
}

/**
 * Makes such a descriptor this thread's own. `EBUSY`: a thread of this process has it, or had it.
 */
export function markInherited(fd: number): Descriptor | Errno {
  const result = addon().markInherited(fd);
  return result < 0 ? errnoName(result) : Descriptor.opened(result);
}

/**
 * Whether a thread of this process has inherited such a descriptor, and has it open. `ENOENT`: no
 * thread has asked about this number, nor about a higher one.
 */
export function isInherited(fd: number): boolean | Errno {
  const result = addon().isInherited(fd);
  return result < 0 ? errnoName(result) : result === 1;
}

/**
 * pidfd_open(2): returns the number of this process that no other process has, LISTEN_PIDFDID.
 * `ENOSYS`: not on this kernel.
 */
export function ownPidfdInode(): bigint | Errno {
  const words = new Uint32Array(2);
  const result = addon().pidfdInode(words);
  return result < 0 ? errnoName(result) : (new BigUint64Array(words.buffer)[0] ?? 0n);
}

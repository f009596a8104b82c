import fs from 'node:fs';

import { numberOfSocketType, socketTypeOf } from '../address/socketType.js';
import { addon, type Credentials, type FileIdentity, type FileStatusWords } from './addon.js';
import { Descriptor } from './descriptor.js';
import { errnoName } from './errno.js';
import { failed, type Errno, type FileStatus, type FileType, type Kernel, type OpenFlags } from './kernel.js';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = fs.constants;

/** fs.constants lacks O_PATH. This is its value in Linux on every processor that Node runs on. */
const O_PATH = process.platform === 'linux' ? 0o10000000 : undefined;

/** O_TMPFILE likewise. It contains O_DIRECTORY, which differs between processors. */
const O_TMPFILE = process.platform === 'linux' ? 0o20000000 | O_DIRECTORY : undefined;

/**
 * Without O_CLOEXEC, which the addon adds to every open(2). On other systems than Linux, a
 * directory is opened for reading.
 */
const openFlags: { readonly [Flags in OpenFlags]: number | undefined } = {
  'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK,
  'O_RDWR|O_TMPFILE|O_CLOEXEC': O_TMPFILE && O_RDWR | O_TMPFILE,
  'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  'O_PATH|O_NOFOLLOW|O_CLOEXEC': O_PATH && O_PATH | O_NOFOLLOW,
  'O_PATH|O_DIRECTORY|O_CLOEXEC': (O_PATH ?? O_RDONLY) | O_DIRECTORY,
  'O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC': (O_PATH ?? O_RDONLY) | O_DIRECTORY | O_NOFOLLOW,
};

/** The same numbers on every system that has flock(2). */
const LOCK_EX = 2;
const LOCK_NB = 4;

const RENAME_NOREPLACE = 1;

/** Lent to the addon during one call, so that not every call allocates new ones. */
const file = new Uint32Array(2) as FileIdentity;
const status = new Uint32Array(10) as FileStatusWords;
const statusLong = new BigUint64Array(status.buffer, 0, 2) as BigUint64Array & { readonly [Number in 0 | 1]: bigint };
const credentials = new Uint32Array(3) as Credentials;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** The real kernel. Every method is synchronous and takes microseconds, except `sleep`. */
export const kernel: Kernel = {
  openat(directory, name, flags, mode) {
    const number = openFlags[flags];
    if (number === undefined) return 'ENOSYS';
    return opened(addon().openat(directory, name, number, mode));
  },
  close: (fd) => Descriptor.at(fd)?.close() ?? 'EBADF',
  fstat(fd) {
    const result = addon().fstat(fd, status);
    return result === 0 ? statusOfWords() : errnoName(result);
  },
  fstatat(directory, name) {
    const result = addon().fstatat(directory, name, status);
    return result === 0 ? statusOfWords() : errnoName(result);
  },
  readlink(path) {
    const target = addon().readlink(path);
    return typeof target === 'number' ? errnoName(target) : { path: target };
  },
  realpath(path) {
    const real = addon().realpath(path);
    return typeof real === 'number' ? errnoName(real) : { path: real };
  },
  flock(fd, operation) {
    // A wait would stop the whole thread, and could not be cancelled.
    if (operation !== 'LOCK_EX|LOCK_NB') return 'ENOSYS';
    return done(addon().flock(fd, LOCK_EX | LOCK_NB));
  },
  pread(fd, bytesMax) {
    const text = addon().pread(fd, bytesMax);
    return typeof text === 'number' ? errnoName(text) : { text };
  },
  pwrite: (fd, text) => value(addon().pwrite(fd, text)),
  mmap: (fd, text) => done(addon().mmap(fd, text)),
  ftruncate: (fd, length) => done(addon().ftruncate(fd, length)),
  unlinkat: (directory, name) => done(addon().unlinkat(directory, name)),
  linkat: (directory, from, to, flags) => done(addon().linkat(directory, from, to, flags === undefined ? 0 : 1)),
  renameat2: (directory, from, to, flags) => done(addon().renameat2(directory, from, to, flags === '' ? 0 : RENAME_NOREPLACE)),
  socket: (type) => opened(addon().socket(numberOfSocketType(type))),
  socketType(fd) {
    const number = addon().getsockopt(fd, 'SO_TYPE');
    const type = socketTypeOf(number);
    return type === undefined ? (number < 0 ? errnoName(number) : 'EPROTOTYPE') : { type };
  },
  fchmod: (fd, mode) => done(addon().fchmod(fd, mode)),
  fchmodat: (directory, name, mode) => done(addon().fchmodat(directory, name, mode)),
  fchownat: (directory, name, uid, gid) => done(addon().fchownat(directory, name, uid, gid)),
  bind: (fd, name) => done(addon().bind(fd, name)),
  listen: (fd, backlog) => done(addon().listen(fd, backlog)),
  probe: (name) => done(addon().probe(name)),
  sock_diag(fd) {
    return addon().unixFile(fd, file) < 0 ? diagnose(fd) : boundFile();
  },
  connect(name, type) {
    const fd = kernel.socket(type);
    if (failed(fd)) return fd;
    let connected: 0 | Errno = 'ECANCELED';
    try {
      connected = done(addon().connect(fd, name));
      return connected === 0 ? fd : connected;
    } finally {
      if (connected !== 0) kernel.close(fd);
    }
  },
  peerCredentials(fd) {
    const result = addon().peerCredentials(fd, credentials);
    return result < 0 ? errnoName(result) : { pid: credentials[0], uid: credentials[1], gid: credentials[2] };
  },
  // This would wait, too.
  poll: () => 'ENOSYS',
  sendmsg: (fd, text, fds) => value(addon().sendmsg(fd, text, Uint32Array.from(fds))),
  recvmsg(fd, bytesMax, fdsMax) {
    const received = new Uint32Array(1 + fdsMax);
    const text = addon().recvmsg(fd, bytesMax, received);
    if (typeof text === 'number') return errnoName(text);
    return { text, fds: Array.from(received.subarray(1, 1 + (received[0] ?? 0)), (each) => Descriptor.opened(each).fd) };
  },
  accepting: () => 'ENOSYS',
  geteuid: () => addon().geteuid(),
  sleep(milliseconds) {
    Atomics.wait(sleeper, 0, 0, milliseconds);
    return 0;
  },
};

/** The limit of setgroups(2), NGROUPS_MAX. */
const groupsMax = 65_536;

/** SO_PEERGROUPS: returns the supplementary groups of the other end. `ENOSYS`: not Linux. */
export function peerGroups(fd: number): readonly number[] | Errno {
  let groups = new Uint32Array(64);
  let count = addon().peerGroups(fd, groups);
  if (count < 0 && errnoName(count) === 'ERANGE') {
    groups = new Uint32Array(groupsMax);
    count = addon().peerGroups(fd, groups);
  }
  return count < 0 ? errnoName(count) : Array.from(groups.subarray(0, count));
}

/**
 * Sends a signal to the process that made a connection, and not to a later one with its pid. Signal
 * 0 only asks. `ESRCH`: it has ended. `ENOSYS`: not before Linux 6.5.
 */
export function signalPeer(fd: number, signal: number): 0 | Errno {
  return done(addon().signalPeer(fd, signal));
}

/**
 * readdir(3): returns the entries of an open directory, which may be O_PATH, in no particular
 * order. Type `unknown`: the file system does not tell.
 */
export function readdir(directory: number): readonly { readonly name: string; readonly type: FileType | 'unknown' }[] | Errno {
  const entries = addon().readdir(directory);
  if (typeof entries === 'number') return errnoName(entries);
  return entries.map((entry) => ({ name: entry.slice(1), type: entryTypes[entry[0] ?? ''] ?? 'unknown' }));
}

const entryTypes: Readonly<Record<string, FileType>> = {
  d: 'directory',
  s: 'socket',
  f: 'file',
  l: 'symlink',
  p: 'fifo',
  c: 'device',
};

/** getpwnam(3): returns the uid of a user. `ENOENT`: the name is unknown. */
export function getpwnam(name: string): number | Errno {
  const uid = addon().getpwnam(name);
  return uid < 0 ? errnoName(uid) : uid;
}

/** getgrnam(3): returns the gid of a group. `ENOENT`: the name is unknown. */
export function getgrnam(name: string): number | Errno {
  const gid = addon().getgrnam(name);
  return gid < 0 ? errnoName(gid) : gid;
}

/** getpwuid(3): returns the name of a user. `ENOENT`: the uid has no name. */
export function getpwuid(uid: number): { readonly name: string } | Errno {
  const name = addon().getpwuid(uid);
  return typeof name === 'number' ? errnoName(name) : { name };
}

/** Returns the result of a call, or the name of its errno. */
function value(result: number): number | Errno {
  return result < 0 ? errnoName(result) : result;
}

/** Returns a descriptor that the addon opened, or the name of an errno. */
function opened(result: number): number | Errno {
  return result < 0 ? errnoName(result) : Descriptor.opened(result).fd;
}

function done(result: number): 0 | Errno {
  return result < 0 ? errnoName(result) : 0;
}

/**
 * Asks over netlink, as any user. The kernel searches the list of all sockets for that: among ten
 * thousand it takes a tenth of a millisecond.
 *
 * @internal
 */
export function diagnose(fd: number): { readonly dev: bigint; readonly ino: bigint } | Errno {
  const socket = kernel.fstat(fd);
  if (failed(socket)) return socket;
  // sock_diag searches by inode number, and the number of a regular file may also be that of a
  // socket.
  if (socket.type !== 'socket') return 'ENOTSOCK';
  const result = addon().sockDiag(Number(socket.ino), file);
  return result < 0 ? errnoName(result) : boundFile();
}

/** Reads the file that the addon has filled in. */
function boundFile(): { readonly dev: bigint; readonly ino: bigint } {
  return { dev: BigInt(file[0]), ino: BigInt(file[1]) };
}

/** Reads the status that the addon has filled in. */
function statusOfWords(): FileStatus {
  const mode = status[6];
  return {
    dev: statusLong[0],
    ino: statusLong[1],
    type: typeOf(mode),
    mode: mode & 0o7777,
    uid: status[8],
    gid: status[9],
    nlink: status[7],
    size: status[4] + status[5] * 2 ** 32,
  };
}

function typeOf(mode: number): FileType {
  return fileTypes[(mode & 0o170000) >> 12] ?? 'device';
}

/** The types by the S_IFMT bits of the mode: inode(7). */
const fileTypes: Readonly<Record<number, FileType>> = {
  0o01: 'fifo',
  0o02: 'device',
  0o04: 'directory',
  0o06: 'device',
  0o10: 'file',
  0o12: 'symlink',
  0o14: 'socket',
};

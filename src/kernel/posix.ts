import fs from 'node:fs';
import os from 'node:os';
import { getSystemErrorName } from 'node:util';

import { addon, type Credentials, type FileIdentity, type FileStatusWords } from './addon.js';
import { failed, type Errno, type FileStatus, type FileType, type Kernel, type OpenFlags } from './kernel.js';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = fs.constants;

/** O_PATH is not in fs.constants; this is its value in Linux on every processor that Node runs on. */
const O_PATH = process.platform === 'linux' ? 0o10000000 : undefined;

/** Without O_CLOEXEC, which libuv adds to every open(2). */
const openFlags: { readonly [Flags in OpenFlags]: number | undefined } = {
  'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK,
  'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC': O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  'O_PATH|O_NOFOLLOW|O_CLOEXEC': O_PATH && O_PATH | O_NOFOLLOW,
  'O_PATH|O_DIRECTORY|O_CLOEXEC': O_PATH && O_PATH | O_DIRECTORY,
};

/** The same numbers on every system that has flock(2). */
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * The descriptors that Node opened for us, which Node has to close: it counts those of a worker thread, warns when one that it
 * doesn't know is closed, and closes what is left when the thread ends. All others (sockets, and what was received or
 * inherited) are closed by the addon, which opened them.
 *
 * It is these that are remembered and not the sockets, because only these can't be closed behind our back: a socket that
 * `server.listen({ fd })` was given is closed by libuv, its number is given to somebody else, and a note "ours, a socket" would
 * be wrong from then on. A number is judged anew whenever it is opened.
 */
const openedByNode = new Set<number>();

/**
 * A descriptor that the addon has opened, or received.
 *
 * @internal
 */
export function openedByAddon(fd: number): number {
  openedByNode.delete(fd);
  return fd;
}

/**
 * What Deno's node:fs, which knows only the descriptors that it has opened itself, can reach another one by: a file in /proc, of a
 * socket too. Undefined everywhere else.
 */
function nameOf(fd: number): string | undefined {
  return isDeno && !openedByNode.has(fd) ? `/proc/self/fd/${fd}` : undefined;
}

const isDeno = 'deno' in process.versions;

const bigint = { bigint: true } as const;
const bigintOrUndefined = { bigint: true, throwIfNoEntry: false } as const;

/** Lent to the addon for the time of one call, so that not every call makes new ones. */
const file = new Uint32Array(2) as FileIdentity;
const status = new Uint32Array(10) as FileStatusWords;
const statusLong = new BigUint64Array(status.buffer, 0, 3) as BigUint64Array & { readonly [Number in 0 | 1 | 2]: bigint };
const credentials = new Uint32Array(3) as Credentials;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** The real kernel. Every method is synchronous and takes microseconds, but for `nanosleep`. */
export const kernel: Kernel = {
  open(path, flags, mode) {
    const number = openFlags[flags];
    if (number === undefined) return 'ENOSYS';
    try {
      const fd = fs.openSync(path, number, mode);
      openedByNode.add(fd);
      return fd;
    } catch (error) {
      return errnoOf(error);
    }
  },
  close(fd) {
    if (!openedByNode.delete(fd)) return done(addon().close(fd));
    return attempt(() => fs.closeSync(fd));
  },
  fstat(fd) {
    const result = addon().fstat(fd, status);
    if (result === 0) return statusOfWords();
    const errno = errnoName(result);
    return errno === 'ENOSYS' ? fstatOfNode(fd) : errno;
  },
  lstat(path) {
    const result = addon().lstat(path, status);
    if (result === 0) return statusOfWords();
    const errno = errnoName(result);
    return errno === 'ENOSYS' ? lstatOfNode(path) : errno;
  },
  realpath(path) {
    try {
      return { path: fs.realpathSync.native(path) };
    } catch (error) {
      return errnoOf(error);
    }
  },
  flock(fd, operation) {
    // Waiting would stop the whole thread, and nobody could call it off.
    if (operation !== 'LOCK_EX|LOCK_NB') return 'ENOSYS';
    return done(addon().flock(fd, LOCK_EX | LOCK_NB));
  },
  pread(fd, bytesMax) {
    try {
      const name = nameOf(fd);
      if (name !== undefined) return { text: fs.readFileSync(name).toString('utf8', 0, bytesMax) };
      const bytes = Buffer.allocUnsafe(bytesMax);
      return { text: bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, bytesMax, 0)) };
    } catch (error) {
      return errnoOf(error);
    }
  },
  pwrite(fd, text) {
    try {
      const name = nameOf(fd);
      if (name === undefined) return fs.writeSync(fd, text, 0, 'utf8');
      fs.writeFileSync(name, text, { flag: 'r+' }); // Over what is there, from its beginning.
      return Buffer.byteLength(text);
    } catch (error) {
      return errnoOf(error);
    }
  },
  ftruncate(fd, length) {
    const name = nameOf(fd);
    return attempt(() => (name === undefined ? fs.ftruncateSync(fd, length) : fs.truncateSync(name, length)));
  },
  unlink: (path) => attempt(() => fs.unlinkSync(path)),
  link: (from, to) => attempt(() => fs.linkSync(from, to)),
  rename: (from, to, flags) =>
    flags === 'RENAME_NOREPLACE' ? done(addon().renameNoReplace(from, to)) : attempt(() => fs.renameSync(from, to)),
  socket() {
    const fd = addon().socket();
    return fd < 0 ? errnoName(fd) : openedByAddon(fd);
  },
  fchmod(fd, mode) {
    const name = nameOf(fd);
    return attempt(() => (name === undefined ? fs.fchmodSync(fd, mode) : fs.chmodSync(name, mode)));
  },
  chmod: (path, mode) => attempt(() => fs.chmodSync(path, mode)),
  chown: (path, uid, gid) => attempt(() => fs.chownSync(path, uid, gid)),
  bind: (fd, name) => done(addon().bind(fd, name)),
  listen: (fd, backlog) => done(addon().listen(fd, backlog)),
  probe: (name) => done(addon().probe(name)),
  sock_diag(fd) {
    const opened = addon().unixFile(fd);
    return opened < 0 ? diagnose(fd) : identityOf(opened);
  },
  connect(name) {
    const fd = addon().socket();
    if (fd < 0) return errnoName(fd);
    const result = addon().connect(fd, name);
    if (result === 0) return openedByAddon(fd);
    addon().close(fd);
    return errnoName(result);
  },
  peerCredentials(fd) {
    const result = addon().peerCredentials(fd, credentials);
    return result < 0 ? errnoName(result) : { pid: credentials[0], uid: credentials[1], gid: credentials[2] };
  },
  // Waiting, again.
  poll: () => 'ENOSYS',
  sendmsg(fd, text, fds) {
    const sent = addon().sendmsg(fd, text, Uint32Array.from(fds));
    return sent < 0 ? errnoName(sent) : sent;
  },
  recvmsg(fd, bytesMax, fdsMax) {
    const received = new Uint32Array(1 + fdsMax);
    const text = addon().recvmsg(fd, bytesMax, received);
    if (typeof text === 'number') return errnoName(text);
    return { text, fds: Array.from(received.subarray(1, 1 + (received[0] ?? 0)), openedByAddon) };
  },
  epoll_ctl: () => 'ENOSYS',
  // Windows alone has none, and this kernel is not for Windows.
  geteuid: () => process.geteuid?.() ?? -1,
  nanosleep(milliseconds) {
    Atomics.wait(sleeper, 0, 0, milliseconds);
    return 0;
  },
};

/** setgroups(2) allows no more than this, NGROUPS_MAX. */
const groupsMax = 65_536;

/** SO_PEERGROUPS: the supplementary groups of the other end. Elsewhere than on Linux `ENOSYS`. */
export function peerGroups(fd: number): readonly number[] | Errno {
  let groups = new Uint32Array(64);
  let count = addon().peerGroups(fd, groups);
  if (count < 0 && errnoName(count) === 'ERANGE') {
    groups = new Uint32Array(groupsMax);
    count = addon().peerGroups(fd, groups);
  }
  return count < 0 ? errnoName(count) : Array.from(groups.subarray(0, count));
}

/** getpwnam(3): the uid of a user. `ENOENT`: there is none of this name. */
export function getpwnam(name: string): number | Errno {
  const uid = addon().getpwnam(name);
  return uid < 0 ? errnoName(uid) : uid;
}

/** getgrnam(3): the gid of a group. `ENOENT`: there is none of this name. */
export function getgrnam(name: string): number | Errno {
  const gid = addon().getgrnam(name);
  return gid < 0 ? errnoName(gid) : gid;
}

/** getpwuid(3): the name of a user. `ENOENT`: nobody has this uid. */
export function getpwuid(uid: number): { readonly name: string } | Errno {
  const name = addon().getpwuid(uid);
  return typeof name === 'number' ? errnoName(name) : { name };
}

function attempt(call: () => void): 0 | Errno {
  try {
    call();
    return 0;
  } catch (error) {
    return errnoOf(error);
  }
}

function done(result: number): 0 | Errno {
  return result < 0 ? errnoName(result) : 0;
}

/**
 * Over netlink, as any user. The kernel looks through the list of all sockets for that: beside ten thousand others it takes a tenth of
 * a millisecond.
 *
 * @internal
 */
export function diagnose(fd: number): { readonly dev: bigint; readonly ino: bigint } | Errno {
  const socket = kernel.fstat(fd);
  if (failed(socket)) return socket;
  // sock_diag goes by inode number: that of a file may well be that of somebody's socket too.
  if (socket.type !== 'socket') return 'ENOTSOCK';
  const result = addon().sockDiag(Number(socket.ino), file);
  return result < 0 ? errnoName(result) : { dev: BigInt(file[0]), ino: BigInt(file[1]) };
}

/** Closes the descriptor, and gives of its file what sock_diag(7) would. */
function identityOf(fd: number): { readonly dev: bigint; readonly ino: bigint } | Errno {
  const found = kernel.fstat(fd);
  addon().close(fd);
  return failed(found) ? found : { dev: found.dev, ino: BigInt.asUintN(32, found.ino) };
}

/** What the addon has filled in. */
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
    size: Number(statusLong[2]),
  };
}

/** @internal On systems without statx(2). */
export function fstatOfNode(fd: number): FileStatus | Errno {
  try {
    return statusOfNode(fs.fstatSync(fd, bigint));
  } catch (error) {
    return errnoOf(error);
  }
}

/** @internal */
export function lstatOfNode(path: string): FileStatus | Errno {
  try {
    // No exception for ENOENT, the answer that is wanted most: it would take five times as long.
    const stats = fs.lstatSync(path, bigintOrUndefined);
    return stats === undefined ? 'ENOENT' : statusOfNode(stats);
  } catch (error) {
    return errnoOf(error);
  }
}

function statusOfNode(stats: fs.BigIntStats): FileStatus {
  const mode = Number(stats.mode);
  return {
    dev: stats.dev,
    ino: stats.ino,
    type: typeOf(mode),
    mode: mode & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    nlink: Number(stats.nlink),
    size: Number(stats.size),
  };
}

function typeOf(mode: number): FileType {
  return fileTypes[(mode & 0o170000) >> 12] ?? 'device';
}

/** By the S_IFMT bits of the mode: inode(7). */
const fileTypes: Readonly<Record<number, FileType>> = {
  0o01: 'fifo',
  0o02: 'device',
  0o04: 'directory',
  0o06: 'device',
  0o10: 'file',
  0o12: 'symlink',
  0o14: 'socket',
};

const errnoNames = new Map<number, Errno>();

/**
 * The name of an errno that was negated. Node's own name where it has one; it has none for ENOLCK, ESTALE and EDQUOT.
 *
 * @internal
 */
export function errnoName(negated: number): Errno {
  let name = errnoNames.get(negated);
  if (name === undefined) {
    const known = getSystemErrorName(negated);
    const named = /^E[A-Z0-9]+$/.test(known)
      ? known
      : Object.entries(os.constants.errno).find(([, number]) => number === -negated)?.[0];
    name = (named ?? `E${-negated}`) as Errno;
    errnoNames.set(negated, name);
  }
  return name;
}

/** The errno of what node:fs threw. Anything but a failed system call is a mistake of the caller, and is thrown on. */
function errnoOf(error: unknown): Errno {
  const { errno, syscall } = error as NodeJS.ErrnoException;
  if (typeof errno !== 'number' || typeof syscall !== 'string') throw error;
  return errnoName(-Math.abs(errno));
}

import { loadAddon } from './loadAddon.js';

/**
 * native/: the system calls that Node lacks. Numbers below zero are errnos, negated. A wrong type of argument throws
 * a TypeError, nothing else throws.
 *
 * @internal Only `./posix.ts` talks to it.
 */
export interface Addon {
  /** flock(2), with LOCK_SH 1, LOCK_EX 2, LOCK_NB 4, LOCK_UN 8. Without LOCK_NB it blocks the thread, and can't be called off. */
  flock(fd: number, operation: number): number;
  /**
   * flock(2) with LOCK_EX, on a thread of its own and on a duplicate of the descriptor. `done` is called once, not before this
   * returns, and not at all when the wait can't begin. Gives the function that calls the wait off; then `done` is told a negated
   * ECANCELED, or 0 where the lock had come just before. ENOSYS: not on this system.
   */
  waitFlock(fd: number, done: (result: number) => void): CallOff | number;
  /** poll(2) for input, likewise. `timeoutMs` -1: for ever. `done` is told 0, or a negated ETIMEDOUT or ECANCELED. */
  waitPoll(fd: number, done: (result: number) => void, timeoutMs: number): CallOff | number;
  /** fstat(2). */
  fstat(fd: number, status: FileStatusWords): number;
  /** fstatat(2), AT_SYMLINK_NOFOLLOW. The number of AT_FDCWD is -100 here, on every system. */
  fstatat(directory: number, name: string, status: FileStatusWords): number;
  /** openat(2), close-on-exec. */
  openat(directory: number, name: string, flags: number, mode: number): number;
  /** unlinkat(2), without AT_REMOVEDIR. */
  unlinkat(directory: number, name: string): number;
  /** linkat(2) within a directory; `follow`: with AT_SYMLINK_FOLLOW. */
  linkat(directory: number, from: string, to: string, follow: number): number;
  /** renameat2(2) within a directory; `flags` 1: RENAME_NOREPLACE. */
  renameat2(directory: number, from: string, to: string, flags: number): number;
  /** fchmodat2(2), AT_SYMLINK_NOFOLLOW; an empty name: AT_EMPTY_PATH. */
  fchmodat(directory: number, name: string, mode: number): number;
  /** fchownat(2), likewise. */
  fchownat(directory: number, name: string, uid: number, gid: number): number;
  readlink(path: string): string | number;
  /** realpath(3). */
  realpath(path: string): string | number;
  /** readdir(3), of a descriptor that may be O_PATH: names, each behind a letter for its type. */
  readdir(directory: number): readonly string[] | number;
  /** pread(2) of text, from the start of a file. */
  pread(fd: number, bytesMax: number): string | number;
  /** pwrite(2) of text, at the start of a file. */
  pwrite(fd: number, text: string): number;
  /** mmap(2): text at the start of a file, and NULs after it up to its end. */
  mmap(fd: number, text: string): number;
  ftruncate(fd: number, length: number): number;
  fchmod(fd: number, mode: number): number;
  /**
   * close(2), of a descriptor that one of these functions gave this thread. EBADF, and nothing is closed: it is no such descriptor, or
   * its number is another's by now. The end of the thread closes what is left. Only `./descriptor.ts` closes.
   */
  close(fd: number): number;
  /** A handle of the runtime has the descriptor from here on: it is not closed here any more. */
  give(fd: number): number;
  /** 1 where the descriptor is this thread's, and still refers to what it did when it came to be. */
  owns(fd: number): number;
  /**
   * Whether a number from 3 on, with which this process was started, still refers to what it did when a thread first asked: 1 the first
   * time in the process, 0 after that, or EBADF.
   */
  seePassed(fd: number): number;
  /** Makes such a descriptor this thread's. EBUSY: it is one's already, or was. */
  adopt(fd: number): number;
  /** The number that no other process has, as LISTEN_PIDFDID says it: two words. ENOSYS: this kernel has none. */
  pidfdInode(filled: Uint32Array): number;
  /** fcntl(2), with its constants by their names. */
  fcntl(fd: number, command: FcntlCommand, argument: number): number;
  /** socket(2): AF_UNIX, SOCK_STREAM, close-on-exec and non-blocking. */
  socket(): number;
  /** bind(2): a pathname, or a leading NUL and an abstract name. */
  bind(fd: number, name: string): number;
  listen(fd: number, backlog: number): number;
  /** connect(2), likewise. */
  connect(fd: number, name: string): number;
  /** getsockname(2). '': no name. A socket of another family: EAFNOSUPPORT. */
  getsockname(fd: number): string | number;
  /** getsockopt(2), of SOL_SOCKET. */
  getsockopt(fd: number, option: 'SO_TYPE' | 'SO_ACCEPTCONN'): number;
  /** sendmsg(2), without waiting and without a signal: how many bytes were sent. */
  sendmsg(fd: number, text: string, fds: Uint32Array): number;
  /** recvmsg(2), without waiting. Fills in how many descriptors came, then the descriptors; as many as the array has room for. */
  recvmsg(fd: number, bytesMax: number, received: Uint32Array): string | number;
  /** socket(2) of datagrams, close-on-exec and non-blocking, with SO_PASSCRED. ENOSYS: not on this system. */
  notifySocket(): number;
  /**
   * recvmsg(2), without waiting, of the next datagram that one of these processes sent; drops others. Fills in the sender. Descriptors
   * that come along are closed. -EBUSY: others were dropped, and there may be more.
   */
  receiveNotification(fd: number, sender: Credentials, pids: Uint32Array): string | number;
  /** connect(2) of a new datagram socket that is closed again. An abstract name: ENOTSUP, it would always look dead. */
  probe(name: string): number;
  /** sock_diag(7): fills in device and inode of the file that the socket with this inode is bound to. */
  sockDiag(inode: number, file: FileIdentity): number;
  /** ioctl(2), SIOCUNIXFILE: a descriptor of the file that a socket is bound to. EPERM: it takes CAP_NET_ADMIN. */
  unixFile(fd: number): number;
  /** sock_diag(7), NLM_F_DUMP: the kernel's messages about all Unix sockets in one of these states, with these attributes. */
  sockDiagDump(states: number, show: number): ArrayBuffer | number;
  /** Fills in pid, uid and gid. */
  peerCredentials(fd: number, credentials: Credentials): number;
  /** Fills in the supplementary groups and gives how many there are; ERANGE when they don't fit. */
  peerGroups(fd: number, groups: Uint32Array): number;
  /** The uid. */
  getpwnam(name: string): number;
  /** The gid. */
  getgrnam(name: string): number;
  /** The name. */
  getpwuid(uid: number): string | number;
}

export type CallOff = () => void;

export type FcntlCommand = 'F_DUPFD_CLOEXEC' | 'F_GETFD' | 'F_SETFD' | 'F_GETFL' | 'F_SETFL';

/** Device, inode and size, of two words each, as the processor has numbers of 64 bits; then mode, links, uid and gid. */
export type FileStatusWords = Uint32Array & { readonly [Word in 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9]: number };

/** Device and inode. */
export type FileIdentity = Uint32Array & { readonly 0: number; readonly 1: number };

/** pid, uid and gid. */
export type Credentials = Uint32Array & { readonly 0: number; readonly 1: number; readonly 2: number };

let loaded: Addon | undefined;

/**
 * The addon, loaded at its first use: importing the package costs nothing.
 *
 * @throws Error with the code `ERR_REUSEADDR_ADDON`, see loadAddon
 */
export function addon(): Addon {
  return (loaded ??= loadAddon() as Addon);
}

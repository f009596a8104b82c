import { failure } from './addonFailure.js';
import { loadAddon } from './loadAddon.js';

/**
 * The functions of native/: the system calls that Node lacks. A negative number is a negated errno.
 * An argument of the wrong type throws a TypeError; nothing else throws.
 *
 * @internal Only `./posix.ts` and its neighbours in this folder use it.
 */
export interface Addon {
  /**
   * flock(2), with LOCK_SH 1, LOCK_EX 2, LOCK_NB 4, LOCK_UN 8. Without LOCK_NB it blocks the
   * thread, and cannot be cancelled.
   */
  flock(fd: number, operation: number): number;
  /**
   * flock(2) with LOCK_EX, on a thread of its own and on a duplicate of the descriptor.
   *
   * `done` is called once, and not before this returns. If the wait cannot begin, it is not called
   * at all. Returns the function that cancels the wait: `done` then gets a negated ECANCELED, or 0
   * if the lock had arrived just before. ENOSYS: not on this system.
   */
  waitFlock(fd: number, done: (result: number) => void): CallOff | number;
  /**
   * poll(2) for input, likewise. `timeoutMs` -1 waits indefinitely. `done` gets 0, or a negated
   * ETIMEDOUT or ECANCELED.
   */
  waitPoll(fd: number, done: (result: number) => void, timeoutMs: number): CallOff | number;
  /** fstat(2). */
  fstat(fd: number, status: FileStatusWords): number;
  /** fstatat(2), AT_SYMLINK_NOFOLLOW. AT_FDCWD is -100 here, on every system. */
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
  /** readdir(3), of a descriptor that may be O_PATH. Each name follows a letter for its type. */
  readdir(directory: number): readonly string[] | number;
  /** pread(2) of text, from the start of a file, less the NULs at its end. */
  pread(fd: number, bytesMax: number): string | number;
  /** pwrite(2) of text, at the start of a file. */
  pwrite(fd: number, text: string): number;
  /**
   * mmap(2): text at the start of a file, and NULs after it up to its end. The mapping stays until
   * the descriptor is closed.
   */
  mmap(fd: number, text: string): number;
  ftruncate(fd: number, length: number): number;
  fchmod(fd: number, mode: number): number;
  /**
   * close(2), of a descriptor that one of these functions returned to this thread.
   *
   * EBADF, and nothing is closed: it is no such descriptor, or another file has its number by now.
   * The end of the thread closes all remaining ones. Only `./descriptor.ts` calls this.
   */
  close(fd: number): number;
  /** Leaves the descriptor to a handle of the runtime: the addon does not close it any more. */
  give(fd: number): number;
  /**
   * Returns 1 if the descriptor is this thread's, and still refers to the same file as at the
   * beginning.
   */
  owns(fd: number): number;
  /**
   * Whether a number from 3 on, with which this process was started, still refers to the same file
   * as when a thread first asked. Returns 1 for the first call in the process, 0 after that, or
   * EBADF.
   */
  seeInherited(fd: number): number;
  /** Makes such a descriptor this thread's. EBUSY: a thread has it, or had it. */
  markInherited(fd: number): number;
  /**
   * Whether a thread has inherited such a descriptor and has it open: 1 or 0. ENOENT: none was
   * asked about from here on.
   */
  isInherited(fd: number): number;
  /**
   * Fills in the number that no other process has, as in LISTEN_PIDFDID: two words. ENOSYS: this
   * kernel has none.
   */
  pidfdInode(filled: Uint32Array): number;
  /** fcntl(2), with its constants by their names. */
  fcntl(fd: number, command: FcntlCommand, argument: number): number;
  /** socket(2): AF_UNIX, of the type with this number, close-on-exec and non-blocking. */
  socket(type: number): number;
  /** bind(2): a pathname, or a leading NUL and an abstract name. */
  bind(fd: number, name: string): number;
  listen(fd: number, backlog: number): number;
  /** connect(2), likewise. */
  connect(fd: number, name: string): number;
  shutdown(fd: number, how: 'SHUT_WR' | 'SHUT_RDWR'): number;
  /** getsockname(2). '': no name. EAFNOSUPPORT: a socket of another family. */
  getsockname(fd: number): string | number;
  /** getsockopt(2), of SOL_SOCKET. */
  getsockopt(fd: number, option: 'SO_TYPE' | 'SO_ACCEPTCONN'): number;
  /** sendmsg(2), without waiting and without a signal. Returns how many bytes were sent. */
  sendmsg(fd: number, text: string, fds: Uint32Array): number;
  /**
   * recvmsg(2), without waiting. Fills in how many descriptors came, then the descriptors, as many
   * as the array has room for.
   */
  recvmsg(fd: number, bytesMax: number, received: Uint32Array): string | number;
  /**
   * socket(2) of datagrams, close-on-exec and non-blocking, with SO_PASSCRED. ENOSYS: not on this
   * system.
   */
  notifySocket(): number;
  /**
   * recvmsg(2), without waiting, of the next datagram that one of these processes sent. Drops the
   * datagrams of other processes, and closes descriptors that come with one. Fills in the sender.
   * -EBUSY: only others were dropped, and there may be more.
   */
  receiveNotification(fd: number, sender: Credentials, pids: Uint32Array): string | number;
  /**
   * connect(2) of a new datagram socket that is closed again. ENOTSUP for an abstract name: it
   * would always look dead.
   */
  probe(name: string): number;
  /**
   * sock_diag(7): fills in device and inode of the file that the socket with this inode is bound
   * to.
   */
  sockDiag(inode: number, file: FileIdentity): number;
  /**
   * ioctl(2), SIOCUNIXFILE: fills in the same for this socket. EPERM: CAP_NET_ADMIN is missing.
   */
  unixFile(fd: number, bound: FileIdentity): number;
  /**
   * sock_diag(7), NLM_F_DUMP: the kernel's messages about all Unix sockets in one of these states,
   * with these attributes.
   */
  sockDiagDump(states: number, show: number): ArrayBuffer | number;
  /** Fills in pid, uid and gid. */
  peerCredentials(fd: number, credentials: Credentials): number;
  /** Fills in the supplementary groups, and returns how many there are. ERANGE: they do not fit. */
  peerGroups(fd: number, groups: Uint32Array): number;
  /**
   * Sends a signal to the process that made the connection; 0 only asks. ESRCH: it has ended.
   * ENOSYS: the kernel cannot tell it from a later process with its pid.
   */
  signalPeer(fd: number, signal: number): number;
  /** Returns the uid. */
  getpwnam(name: string): number;
  /** Returns the gid. */
  getgrnam(name: string): number;
  /** Returns the name. */
  getpwuid(uid: number): string | number;
  geteuid(): number;
}

export type CallOff = () => void;

export type FcntlCommand = 'F_DUPFD_CLOEXEC' | 'F_GETFD' | 'F_SETFD' | 'F_GETFL' | 'F_SETFL';

/**
 * Device, inode and size as 64-bit numbers in the processor's order, two words each; then mode,
 * links, uid and gid.
 */
export type FileStatusWords = Uint32Array & { readonly [Word in 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9]: number };

/** Device and inode. */
export type FileIdentity = Uint32Array & { readonly 0: number; readonly 1: number };

/** pid, uid and gid. */
export type Credentials = Uint32Array & { readonly 0: number; readonly 1: number; readonly 2: number };

let loaded: Addon | undefined;

/**
 * Returns the addon, which is loaded at its first use: importing the package costs nothing.
 *
 * @throws Error with the code `ERR_REUSEADDR_ADDON`, see loadAddon
 */
export function addon(): Addon {
  return (loaded ??= checked(loadAddon()));
}

/**
 * Makes an absent function an error that says why. An addon of another version, or another addon,
 * would load, and then fail with "is not a function".
 */
function checked(found: unknown): Addon {
  const get = (_target: object, name: string | symbol): never => {
    throw failure(`it has no function "${String(name)}", so it is of another version. Copy that of the installed package again.`);
  };
  return Object.setPrototypeOf({ ...(found as Addon) }, new Proxy({}, { get })) as Addon;
}

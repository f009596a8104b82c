import type { SocketType } from '../address/socketType.js';

/**
 * The kernel, as a claim sees it: one method for each system call, by its own name. The few methods
 * that are not system calls describe what they do.
 *
 * There are two kernels: the real one (`./posix.ts`), and the simulated one of the tests, which
 * runs the same protocol one call at a time in every order. A call returns its value, or the name
 * of its errno: `typeof result === 'string'` is a failure. Names are used because numbers differ
 * between systems, and are harder to read.
 */
export interface ClaimKernel {
  /**
   * openat(2). Descriptors are close-on-exec. `ENOSYS` without O_PATH (not on Linux), except for a
   * directory, which is then opened for reading.
   */
  openat(directory: number, name: string, flags: OpenFlags, mode: number): number | Errno;
  /** close(2). */
  close(fd: number): 0 | Errno;
  /** fstat(2). */
  fstat(fd: number): FileStatus | Errno;
  /** fstatat(2), AT_SYMLINK_NOFOLLOW: a symlink is never followed. */
  fstatat(directory: number, name: string): FileStatus | Errno;
  /** readlink(2). */
  readlink(path: string): { readonly path: string } | Errno;
  /** realpath(3). */
  realpath(path: string): { readonly path: string } | Errno;
  /**
   * flock(2). Only `LOCK_EX` alone waits, and only an asynchronous runner may perform it. The wait
   * ends with `ECANCELED` if it is cancelled, and with `ESTALE` if another lock file has replaced
   * the one on which it sleeps.
   */
  flock(fd: number, operation: 'LOCK_EX|LOCK_NB' | 'LOCK_EX'): 0 | Errno;
  /**
   * pread(2) of text from the start of the file: at most `bytesMax` bytes, less the NULs at their
   * end.
   */
  pread(fd: number, bytesMax: number): { readonly text: string } | Errno;
  /** pwrite(2) of text at the start of the file. */
  pwrite(fd: number, text: string): number | Errno;
  /**
   * mmap(2), MAP_SHARED: text at the start of the file, and NULs after it up to its end. Such a
   * write raises no inotify(7) event. `EFBIG`: the file is shorter than the text, or longer than a
   * lock file can be. `ENOSYS`: not Linux.
   */
  mmap(fd: number, text: string): 0 | Errno;
  /** ftruncate(2). */
  ftruncate(fd: number, length: number): 0 | Errno;
  /** unlinkat(2), never of a directory. */
  unlinkat(directory: number, name: string): 0 | Errno;
  /**
   * linkat(2), within a directory: makes another name, and never replaces one. With
   * AT_SYMLINK_FOLLOW and `/proc/self/fd/N` as `from`, gives a first name to a file that O_TMPFILE
   * opened.
   */
  linkat(directory: number, from: string, to: string, flags?: 'AT_SYMLINK_FOLLOW'): 0 | Errno;
  /**
   * renameat2(2), within a directory. `EINVAL` or `ENOSYS`: RENAME_NOREPLACE is unavailable here.
   */
  renameat2(directory: number, from: string, to: string, flags: 'RENAME_NOREPLACE' | ''): 0 | Errno;
  /** socket(2): AF_UNIX, close-on-exec and non-blocking. A stream if no type is given. */
  socket(type?: SocketType): number | Errno;
  /** getsockopt(2), SO_TYPE. `EPROTOTYPE`: another type than those. */
  socketType(fd: number): { readonly type: SocketType } | Errno;
  /**
   * fchmod(2). On Linux, on a socket that is not bound yet, it sets the mode (less the umask) of
   * the file that bind(2) makes.
   */
  fchmod(fd: number, mode: number): 0 | Errno;
  /**
   * fchmodat2(2), AT_SYMLINK_NOFOLLOW. With an empty name, it acts on the file of the descriptor
   * itself, which may be O_PATH. `ENOSYS`: Linux before 6.6, without /proc.
   */
  fchmodat(directory: number, name: string, mode: number): 0 | Errno;
  /** fchownat(2), likewise. -1 leaves an id unchanged. */
  fchownat(directory: number, name: string, uid: number, gid: number): 0 | Errno;
  /**
   * bind(2), to a pathname that fits sun_path, or to an abstract name (a leading NUL, and its exact
   * length).
   */
  bind(fd: number, name: string): 0 | Errno;
  /** listen(2). */
  listen(fd: number, backlog: number): 0 | Errno;
  /**
   * connect(2) with a new SOCK_DGRAM socket, closed at once. The socket at the other end, of
   * whatever type, sees nothing of it. A live one answers `EPROTOTYPE`, or 0 if it is SOCK_DGRAM
   * itself, and a dead one (like a regular file) `ECONNREFUSED`.
   */
  probe(name: string): 0 | Errno;
  /**
   * sock_diag(7), UNIX_DIAG_VFS: the file that this socket is bound to. `ino` has only 32 bits.
   * `ENOSYS`: not Linux. With the privilege for it, the real kernel uses ioctl(2), SIOCUNIXFILE.
   */
  sock_diag(fd: number): { readonly dev: bigint; readonly ino: bigint } | Errno;
  /** geteuid(2). */
  geteuid(): number;
  /** Lets this many milliseconds pass. Other work continues in an asynchronous runner. */
  sleep(milliseconds: number): 0;
}

/**
 * The calls of a conversation with another process: to ask for a claim, to hand it over, or to be a
 * client.
 */
export interface ConversationKernel {
  /**
   * connect(2) with a new socket, close-on-exec and non-blocking: a stream if no type is given.
   * `EAGAIN` at once if the backlog is full. `EPROTOTYPE`: a socket of another type is there.
   */
  connect(name: string, type?: SocketType): number | Errno;
  /** SO_PEERCRED: the process at the other end of a connection, as of its connect(2). */
  peerCredentials(fd: number): PeerCredentials | Errno;
  /**
   * poll(2) for input, or for the other end's close. Only an asynchronous runner may perform it.
   * `ETIMEDOUT` after `timeoutMs`, `ECANCELED` if the wait is cancelled.
   */
  poll(fd: number, timeoutMs: number): 0 | Errno;
  /**
   * sendmsg(2): text, and descriptors as SCM_RIGHTS. A closed connection is `EPIPE`, without a
   * signal.
   */
  sendmsg(fd: number, text: string, fds: readonly number[]): number | Errno;
  /**
   * recvmsg(2) without waiting: at most `bytesMax` bytes and `fdsMax` descriptors, which are
   * close-on-exec from the start. An empty text means that the other end has closed. `EMSGSIZE`:
   * more descriptors came, and all were closed again.
   */
  recvmsg(fd: number, bytesMax: number, fdsMax: number): { readonly text: string; readonly fds: readonly number[] } | Errno;
  /**
   * Starts or stops accepting on the listening socket. The event loop does this, so only a runner
   * with a server may perform it.
   */
  accepting(operation: 'start' | 'stop', fd: number): 0 | Errno;
}

/** Both kinds of calls. The real kernel has them, and so has the kernel of a runner. */
export interface Kernel extends ClaimKernel, ConversationKernel {}

/**
 * The working directory of the process, in place of a directory's descriptor: names are then
 * ordinary paths. openat(2).
 */
export const AT_FDCWD = -100;

/**
 * The flag combinations that the protocol uses, spelt as in strace(1). O_TMPFILE and O_PATH exist
 * on Linux.
 */
export type OpenFlags =
  | 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC'
  | 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC'
  | 'O_RDWR|O_TMPFILE|O_CLOEXEC'
  | 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC'
  | 'O_PATH|O_NOFOLLOW|O_CLOEXEC'
  | 'O_PATH|O_DIRECTORY|O_CLOEXEC'
  | 'O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC';

/**
 * An errno by its name (errno(3)): `ENOENT`, `EADDRINUSE`. EWOULDBLOCK is spelt `EAGAIN`, as in
 * Node.
 */
export type Errno = `E${string}`;

export type FileType = 'socket' | 'file' | 'directory' | 'symlink' | 'fifo' | 'device';

/** The fields of stat(2) that the protocol reads. */
export interface FileStatus {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly type: FileType;
  /** The permission bits with set-id and sticky: `st_mode & 0o7777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly size: number;
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

type CallOf<Interface extends Partial<Kernel>> = {
  [Name in keyof Interface & keyof Kernel]: { readonly name: Name; readonly args: Parameters<Kernel[Name]> };
}[keyof Interface & keyof Kernel];

/** One call that a step of a claim asks for. */
export type ClaimCall = CallOf<ClaimKernel>;

/** One call that a protocol step asks for. */
export type SystemCall = CallOf<Kernel>;

/**
 * A piece of the protocol: it yields system calls, receives their results, and returns its outcome.
 * It has no effect of its own.
 */
export type Operation<Outcome> = Generator<ClaimCall, Outcome, unknown>;

/** A piece of the protocol with calls of a conversation in it. */
export type Conversation<Outcome> = Generator<SystemCall, Outcome, unknown>;

type ClaimCalls = {
  readonly [Name in keyof ClaimKernel]: (...args: Parameters<Kernel[Name]>) => Operation<ReturnType<Kernel[Name]>>;
};

type ConversationCalls = {
  readonly [Name in keyof ConversationKernel]: (...args: Parameters<Kernel[Name]>) => Conversation<ReturnType<Kernel[Name]>>;
};

/**
 * The system calls as operations: `const fd = yield* sys.openat(directory, name, flags, 0)`. They
 * are spelled out, because a Proxy would slow down each call.
 */
export const sys: ClaimCalls = {
  openat: systemCall('openat'),
  close: systemCall('close'),
  fstat: systemCall('fstat'),
  fstatat: systemCall('fstatat'),
  readlink: systemCall('readlink'),
  realpath: systemCall('realpath'),
  flock: systemCall('flock'),
  pread: systemCall('pread'),
  pwrite: systemCall('pwrite'),
  mmap: systemCall('mmap'),
  ftruncate: systemCall('ftruncate'),
  unlinkat: systemCall('unlinkat'),
  linkat: systemCall('linkat'),
  renameat2: systemCall('renameat2'),
  socket: systemCall('socket'),
  socketType: systemCall('socketType'),
  fchmod: systemCall('fchmod'),
  fchmodat: systemCall('fchmodat'),
  fchownat: systemCall('fchownat'),
  bind: systemCall('bind'),
  listen: systemCall('listen'),
  probe: systemCall('probe'),
  sock_diag: systemCall('sock_diag'),
  geteuid: systemCall('geteuid'),
  sleep: systemCall('sleep'),
};

/** Those of a conversation: `yield* talk.sendmsg(connection, text, [])`. */
export const talk: ConversationCalls = {
  connect: systemCall('connect'),
  peerCredentials: systemCall('peerCredentials'),
  poll: systemCall('poll'),
  sendmsg: systemCall('sendmsg'),
  recvmsg: systemCall('recvmsg'),
  accepting: systemCall('accepting'),
};

function systemCall<Name extends keyof Kernel>(name: Name): (ClaimCalls & ConversationCalls)[Name] {
  // A generator, although an iterator would do: the simulation watches the generators.
  const operation = function* (...args: unknown[]): Generator<unknown, unknown, unknown> {
    return yield { name, args };
  };
  return operation as unknown as (ClaimCalls & ConversationCalls)[Name];
}

/**
 * Runs an operation to its end, every system call at once and in turn.
 *
 * If a call throws (a mistake of ours, no memory), nothing is left behind. The operation may close
 * what it was given, and everything that it has opened and not closed is closed here.
 */
export function run<Outcome>(kernel: Kernel, operation: Conversation<Outcome>): Outcome {
  return runPromptly(kernel, operation) as Outcome;
}

/** A kernel, some of whose calls take time. */
export type AsyncKernel = {
  readonly [Name in keyof Kernel]: (
    ...args: Parameters<Kernel[Name]>
  ) => ReturnType<Kernel[Name]> | Promise<ReturnType<Kernel[Name]>>;
};

/** Runs an operation to its end like `run`, and waits if a system call waits. */
export async function runAsync<Outcome>(kernel: AsyncKernel, operation: Conversation<Outcome>): Promise<Outcome> {
  return await runPromptly(kernel, operation);
}

/** Does the same, but returns the outcome itself if no system call had to wait. */
export function runPromptly<Outcome>(kernel: AsyncKernel, operation: Conversation<Outcome>): Outcome | Promise<Outcome> {
  const opened = new Opened();
  const resume = (call: SystemCall, answer: unknown): IteratorResult<SystemCall, Outcome> => {
    opened.note(call, answer);
    return operation.next(answer);
  };
  const goOn = (begin: () => IteratorResult<SystemCall, Outcome>): Outcome | Promise<Outcome> => {
    try {
      for (let step = begin(); ;) {
        if (step.done === true) return step.value;
        const call = step.value;
        let result: unknown;
        try {
          result = perform(kernel as Kernel, call);
        } catch (error) {
          step = operation.throw(error);
          continue;
        }
        if (result instanceof Promise)
          return result.then(
            (answer) => goOn(() => resume(call, answer)),
            (error: unknown) => goOn(() => operation.throw(error)),
          );
        step = resume(call, result);
      }
    } catch (error) {
      opened.closeAll(kernel);
      throw error;
    }
  };
  return goOn(() => operation.next());
}

/** The descriptors that one run of an operation has opened and not closed. */
class Opened {
  #fds: readonly number[] = [];

  note({ name, args }: SystemCall, result: unknown): void {
    if (name === 'close') this.#fds = this.#fds.filter((fd) => fd !== args[0]);
    else if (opens.has(name) && typeof result === 'number') this.#fds = [...this.#fds, result];
    // In reverse order, so that the listening socket of a claim is closed before its lock.
    else if (name === 'recvmsg' && !failed(result)) this.#fds = [...this.#fds, ...(result as Received).fds.toReversed()];
  }

  /**
   * Closes the newest first: a lock is older than the socket that it protects, and a connection is
   * older than the descriptors that came over it.
   */
  closeAll(kernel: AsyncKernel): void {
    for (const fd of this.#fds.toReversed()) {
      try {
        void kernel.close(fd);
      } catch {
        // The operation ended for another reason, which its caller gets to know.
      }
    }
  }
}

const opens: ReadonlySet<keyof Kernel> = new Set(['openat', 'socket', 'connect']);

type Received = Exclude<ReturnType<Kernel['recvmsg']>, Errno>;

/** Makes one system call. */
export function perform(kernel: Kernel, call: SystemCall): unknown {
  return (kernel[call.name] as (...args: readonly unknown[]) => unknown)(...call.args);
}

/** Whether a result is a failure. */
export function failed(result: unknown): result is Errno {
  return typeof result === 'string';
}

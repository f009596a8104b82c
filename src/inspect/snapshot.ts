import { childrenSockets, describeProcess, findProcesses } from '../holder/find.js';
import type { Holder } from '../holder/holder.js';
import { AT_FDCWD, failed, type FileStatus } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { fileKey, isAddress, isServing, unixSockets, type UnixSocket } from '../kernel/sockets.js';
import { lockKey, readLocks } from './locks.js';

/** How often the table of locks is read for one snapshot. */
const lockReadingsMax = 3;

/**
 * The kernel's view of all sockets and all locks, read when first needed. Ten thousand sockets cost
 * no more system calls than one, and none of them is connected to.
 */
export class Snapshot {
  readonly #locks = new Set<string>();
  #lockReadings = 0;
  #sockets: readonly UnixSocket[] | undefined;
  #byFile: ReadonlyMap<string, UnixSocket> | undefined;
  #byName: ReadonlyMap<string, UnixSocket> | undefined;
  #processes: ReadonlyMap<string, number> | undefined;
  readonly #holders = new Map<number, Holder>();
  readonly #children = new Map<number, ReadonlyMap<number, ReadonlySet<string>>>();
  readonly #shared = new Map<string, boolean>();

  /**
   * Whether a process has locked this file with flock(2). Undefined: this system does not tell.
   *
   * The table is read in pieces, and a lock that is released in between can hide another one. So
   * "no" is believed only after several readings.
   */
  isLocked(file: Pick<FileStatus, 'dev' | 'ino'>): boolean | undefined {
    const key = lockKey(file);
    while (!this.#locks.has(key) && this.#lockReadings < lockReadingsMax) {
      const locks = readLocks();
      if (locks === undefined) return undefined;
      this.#lockReadings++;
      for (const locked of locks) this.#locks.add(locked);
    }
    return this.#locks.has(key);
  }

  /**
   * The sockets that have a name, without accepted connections, which have the name of their
   * listener.
   */
  get sockets(): readonly UnixSocket[] {
    if (this.#sockets !== undefined) return this.#sockets;
    const all = unixSockets();
    this.#sockets = failed(all) ? [] : all.filter(isAddress);
    return this.#sockets;
  }

  /**
   * Returns the socket that is bound to this file, by the file's number.
   *
   * Falls back to the name if the kernel does not report the number, or numbers devices differently
   * from stat(2) (btrfs, some overlays).
   */
  boundTo(path: string, file: Pick<FileStatus, 'dev' | 'ino'>): UnixSocket | undefined {
    this.#byFile ??= new Map(this.sockets.flatMap((socket) => (socket.file === undefined ? [] : [[socket.file, socket]])));
    const named = this.named(path);
    return this.#byFile.get(fileKey(file)) ?? (named !== undefined && !isOnDevice(named, file) ? named : undefined);
  }

  /** Returns the socket of this name, preferably one that clients reach. */
  named(name: string): UnixSocket | undefined {
    // The later of two entries with one name stays.
    this.#byName ??= new Map(
      [...this.sockets].sort(servingLast).flatMap((socket) => (socket.name === undefined ? [] : [[socket.name, socket]])),
    );
    return this.#byName.get(name);
  }

  /** Whether a process serves clients of this name. */
  isServed(name: string): boolean {
    const socket = this.named(name);
    return socket !== undefined && isServing(socket);
  }

  /** Returns a process that has this socket open, as far as this user may see. */
  holderOf({ inode }: UnixSocket): Holder | undefined {
    this.#processes ??= findProcesses(new Set(this.sockets.map((socket) => String(socket.inode))));
    const pid = this.#processes.get(String(inode));
    if (pid === undefined) return undefined;
    const known = this.#holders.get(pid) ?? describeProcess(pid);
    this.#holders.set(pid, known);
    return known;
  }

  /** Returns the children of the holder that have the socket open, too, if there are any. */
  instancesOf(holder: Holder | undefined, socket: UnixSocket | undefined): { readonly instances?: readonly number[] } {
    if (holder === undefined || holder.pidNamespace !== undefined || socket === undefined) return {};
    const children = this.#children.get(holder.pid) ?? childrenSockets(holder.pid);
    this.#children.set(holder.pid, children);
    const instances = [...children].flatMap(([pid, inodes]) => (inodes.has(String(socket.inode)) ? [pid] : []));
    return instances.length === 0 ? {} : { instances };
  }

  /**
   * Whether others may replace a socket in this directory: they may write to it, and it is not
   * sticky.
   */
  isShared(directory: string): boolean {
    let shared = this.#shared.get(directory);
    if (shared === undefined) {
      const status = kernel.fstatat(AT_FDCWD, directory);
      shared = !failed(status) && (status.mode & 0o022) !== 0 && (status.mode & 0o1000) === 0;
      this.#shared.set(directory, shared);
    }
    return shared;
  }
}

/**
 * Whether the kernel reports the same device for the socket's file as for this file. Only then can
 * their numbers be compared.
 */
export function isOnDevice({ file }: UnixSocket, { dev }: Pick<FileStatus, 'dev'>): boolean {
  return file !== undefined && file.startsWith(`${dev}:`);
}

function servingLast(one: UnixSocket, other: UnixSocket): number {
  return Number(isServing(one)) - Number(isServing(other));
}

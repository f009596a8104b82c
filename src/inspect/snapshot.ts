import { describeProcess, findProcesses } from '../holder/find.js';
import type { Holder } from '../holder/holder.js';
import { AT_FDCWD, failed, type FileStatus } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { fileKey, isAddress, unixSockets, type UnixSocket } from '../kernel/sockets.js';
import { lockKey, readLocks } from './locks.js';

/** How often the table of locks is read for one snapshot. */
const lockReadingsMax = 3;

/**
 * What the kernel says of all sockets and all locks, asked when it is first needed. So ten thousand sockets cost as few questions as
 * one, and nobody is connected to.
 */
export class Snapshot {
  readonly #locks = new Set<string>();
  #lockReadings = 0;
  #sockets: readonly UnixSocket[] | undefined;
  #byFile: ReadonlyMap<string, UnixSocket> | undefined;
  #byName: ReadonlyMap<string, UnixSocket> | undefined;
  #processes: ReadonlyMap<string, number> | undefined;
  readonly #holders = new Map<number, Holder>();
  readonly #shared = new Map<string, boolean>();

  /**
   * Whether somebody has this file flock(2)ed. Undefined: this system doesn't tell. The table is read in pieces, and a lock that is
   * given up in between can make the reader miss another: "no" is believed only after it was read again.
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

  /** The sockets that have a name, without those that are connections: an accepted one has the name of its listener. */
  get sockets(): readonly UnixSocket[] {
    if (this.#sockets !== undefined) return this.#sockets;
    const all = unixSockets();
    this.#sockets = failed(all) ? [] : all.filter(isAddress);
    return this.#sockets;
  }

  /**
   * The socket that is bound to this file. By the file's number; where the kernel doesn't give that, or numbers devices otherwise than
   * stat(2) (btrfs, some overlays), by the name.
   */
  boundTo(path: string, file: Pick<FileStatus, 'dev' | 'ino'>): UnixSocket | undefined {
    this.#byFile ??= new Map(this.sockets.flatMap((socket) => (socket.file === undefined ? [] : [[socket.file, socket]])));
    const named = this.named(path);
    return this.#byFile.get(fileKey(file)) ?? (named !== undefined && !isOnDevice(named, file) ? named : undefined);
  }

  /** The socket of this name, a listening one first. */
  named(name: string): UnixSocket | undefined {
    // Of two with one name the later entry stays.
    this.#byName ??= new Map(
      [...this.sockets].sort(listeningLast).flatMap((socket) => (socket.name === undefined ? [] : [[socket.name, socket]])),
    );
    return this.#byName.get(name);
  }

  /** Who has this socket open, as far as this user may see. */
  holderOf({ inode }: UnixSocket): Holder | undefined {
    this.#processes ??= findProcesses(new Set(this.sockets.map((socket) => String(socket.inode))));
    const pid = this.#processes.get(String(inode));
    if (pid === undefined) return undefined;
    const known = this.#holders.get(pid) ?? describeProcess(pid);
    this.#holders.set(pid, known);
    return known;
  }

  /** Others may replace a socket where they may write to its directory, unless that is sticky (and then only what is theirs). */
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

/** Whether the kernel says that the socket's file is on the same device as this one: then their numbers can be compared. */
export function isOnDevice({ file }: UnixSocket, { dev }: Pick<FileStatus, 'dev'>): boolean {
  return file !== undefined && file.startsWith(`${dev}:`);
}

function listeningLast(one: UnixSocket, other: UnixSocket): number {
  return Number(one.state === 'listening') - Number(other.state === 'listening');
}

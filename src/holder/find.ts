import { basename } from 'node:path';
import { commandCharactersMax, printable } from '../claim/record.js';
import type { SocketType } from '../address/socketType.js';
import { AT_FDCWD, failed, type FileStatus, type OpenFlags } from '../kernel/kernel.js';
import { kernel, readdir } from '../kernel/posix.js';
import { fileKey, isAddress, isServing, unixSockets, type UnixSocket } from '../kernel/sockets.js';
import type { Holder } from './holder.js';
import { isStopped } from './self.js';
import { userName } from './users.js';

/**
 * Looks in /proc for a process that has the listening socket of this name open.
 *
 * Finds what this user may see: its own processes, or as root those of every user. Returns
 * undefined if there is none to be seen, or no /proc.
 *
 * @param name the path as it was bound, or `@` and an abstract name
 * @param file what is at the path: it finds a socket that was bound by a relative path, too
 * @param type of an abstract name; undefined: any
 */
export function findListener(name: string, file?: Pick<FileStatus, 'dev' | 'ino'>, type?: SocketType): Holder | undefined {
  const inode = (file && boundTo(file)?.inode.toString()) ?? listeningInode(name, type);
  return inode === undefined ? undefined : findByInode(inode);
}

/**
 * Looks for the process that clients of an address reach.
 *
 * @param name a path, which the server may have bound in another spelling, or `@` and an abstract
 *   name
 */
export function findServer(name: string): Holder | undefined {
  return findListener(name, fileAt(name));
}

/** Returns the socket that is bound to a file, as the kernel tells every user. */
export function boundTo(file: Pick<FileStatus, 'dev' | 'ino'>): UnixSocket | undefined {
  const sockets = unixSockets();
  const key = fileKey(file);
  return failed(sockets) ? undefined : sockets.find((socket) => socket.file === key && isAddress(socket));
}

/**
 * Returns the inode of the socket that clients reach under this name in this network namespace.
 *
 * @param type of the socket; undefined: any
 */
export function listeningInode(name: string, type?: SocketType): string | undefined {
  const sockets = unixSockets();
  if (failed(sockets)) return undefined;
  // The table in /proc shows a NUL inside an abstract name as `@`.
  const names = [name, name.replaceAll('\0', '@')];
  const found = sockets.find(
    (socket) =>
      isServing(socket) &&
      socket.name !== undefined &&
      names.includes(socket.name) &&
      (type === undefined || socket.type === type),
  );
  return found?.inode.toString();
}

/**
 * Returns the type of the socket at a path, or of one with this abstract name, `@app`, if it is not
 * the type `unlike`.
 */
export function findType(name: string, unlike: SocketType): SocketType | undefined {
  const file = fileAt(name);
  const inode = file && fileKey(file);
  const sockets = unixSockets();
  if (failed(sockets)) return undefined;
  const isThere = (socket: UnixSocket): boolean => (inode === undefined ? socket.name === name : socket.file === inode);
  return sockets.find((socket) => isAddress(socket) && isThere(socket) && socket.type !== unlike)?.type;
}

/** Returns the file that clients of a path reach, and undefined for an abstract name, `@app`. */
function fileAt(name: string): FileStatus | undefined {
  const path = name.startsWith('@') ? 'ENOENT' : kernel.realpath(name);
  const file = failed(path) ? path : kernel.fstatat(AT_FDCWD, path.path);
  return failed(file) ? undefined : file;
}

function findByInode(inode: string): Holder | undefined {
  const pid = findProcesses(new Set([inode])).get(inode);
  return pid === undefined ? undefined : describeProcess(pid);
}

/**
 * Finds the process that has each of these sockets open. If there are several, the lowest pid wins:
 * that is usually the parent. Reads /proc once for all of them, and stops when all are found.
 */
export function findProcesses(inodes: ReadonlySet<string>): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const pids = list('/proc').filter((name) => /^\d+$/.test(name));
  for (const pid of pids.map(Number).sort((one, other) => one - other)) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode === undefined || !inodes.has(inode) || found.has(inode)) continue;
      found.set(inode, pid);
      if (found.size === inodes.size) return found;
    }
  }
  return found;
}

/**
 * Looks in /proc for a process that has this file open and locked with flock(2), such as one that
 * inherited the lock from a process that is gone. Processes that wait for the lock also have the
 * file open, but no lock on it: proc(5), fdinfo.
 */
export function findLocker(lockPath: string): Holder | undefined {
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    const fds = list(`/proc/${pid}/fd`).filter((fd) => readLink(`/proc/${pid}/fd/${fd}`) === lockPath);
    if (fds.some((fd) => /^lock:.*FLOCK/m.test(read(`/proc/${pid}/fdinfo/${fd}`)))) return describeProcess(Number(pid));
  }
  return undefined;
}

/** Returns the children of a process, and the inodes of the sockets that each has open. */
export function childrenSockets(pid: number): ReadonlyMap<number, ReadonlySet<string>> {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
  const inodes = (child: string): string[] =>
    list(`/proc/${child}/fd`).flatMap((fd) => /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${child}/fd/${fd}`))?.[1] ?? []);
  return new Map(children.map((child) => [Number(child), new Set(inodes(child))]));
}

/** Returns the working directory of a process, as far as this user may see it. */
export function workingDirectory(holder: Holder | undefined): string | undefined {
  return (holder && readLink(`/proc/${holder.pid}/cwd`)) || undefined;
}

/** Describes a process by what /proc reports. */
export function describeProcess(pid: number): Holder {
  const uid = owner(`/proc/${pid}`);
  const words = read(`/proc/${pid}/cmdline`)
    .split('\0')
    .filter((word) => word !== '');
  const command = words.length === 0 ? read(`/proc/${pid}/comm`).trim() : [basename(words[0] ?? ''), ...words.slice(1)].join(' ');
  const holder = {
    pid,
    uid,
    user: uid === undefined ? undefined : userName(uid),
    command: printable(command, commandCharactersMax),
  };
  return isStopped(pid) ? { ...holder, stopped: true } : holder;
}

function owner(path: string): number | undefined {
  const status = kernel.fstatat(AT_FDCWD, path);
  return failed(status) ? undefined : status.uid;
}

// A process may end at any moment, and those of other users may be invisible. The addon looks, so
// that Deno's permissions for files do not matter.

/** More than is shown of a command, and than a line of fdinfo has. */
const bytesMax = 16 * 1024;

function read(path: string): string {
  return (
    opened(path, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', (fd) => {
      const content = kernel.pread(fd, bytesMax);
      return failed(content) ? '' : content.text;
    }) ?? ''
  );
}

function list(path: string): string[] {
  return (
    opened(path, 'O_PATH|O_DIRECTORY|O_CLOEXEC', (fd) => {
      const entries = readdir(fd);
      return failed(entries) ? [] : entries.map(({ name }) => name);
    }) ?? []
  );
}

function opened<Content>(path: string, flags: OpenFlags, use: (fd: number) => Content): Content | undefined {
  const fd = kernel.openat(AT_FDCWD, path, flags, 0);
  if (failed(fd)) return undefined;
  try {
    return use(fd);
  } finally {
    kernel.close(fd);
  }
}

function readLink(path: string): string {
  const link = kernel.readlink(path);
  return failed(link) ? '' : link.path;
}

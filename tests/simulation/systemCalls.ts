import { hasConnections, socketTypeDefault, type SocketType } from '#dist/address/socketType.js';
import { AT_FDCWD, type ClaimKernel, type ConversationKernel, type Errno, type FileStatus } from '#dist/kernel/kernel.js';
import {
  copyWorld,
  openAt,
  firstFd,
  newInode,
  settle,
  socketBoundTo,
  type OpenFile,
  type OpenSocket,
  type World,
} from './world.js';

/** The call cannot continue now: it waits for a lock, or for the directory. */
export const waits: unique symbol = Symbol('waits');
/** The call has done a first part; making it again does the rest. */
export const halfway: unique symbol = Symbol('halfway');

/** The further calls of the pid file scheme and the outsiders. */
export interface OtherCalls {
  /** kill(2) with signal 0. A process that has nothing open counts as gone. */
  kill(pid: number): 0 | Errno;
  getpid(): number;
  /** symlink(2). */
  symlink(target: string, path: string): 0 | Errno;
}

/** A world that may be changed, and the process that calls. */
interface Caller {
  readonly world: World;
  readonly process: number;
}

/** Conversations are not simulated here, but that a stranger connects. */
type Calls = ClaimKernel & Pick<ConversationKernel, 'connect'> & OtherCalls;
type Answer<Name extends keyof Calls> = ReturnType<Calls[Name]> | typeof waits | typeof halfway;
type Table = { readonly [Name in keyof Calls]: (caller: Caller, ...args: Parameters<Calls[Name]>) => Answer<Name> };

const umask = 0o022;
const device = 1n;
const uid = 1000;

/** Makes one system call. The world that is passed stays as it is. */
export function systemCall(
  world: World,
  process: number,
  name: string,
  args: readonly unknown[],
): { answer: unknown; world: World } {
  const next = copyWorld(world);
  const call = table[name as keyof Calls] as (caller: Caller, ...args: readonly unknown[]) => unknown;
  const answer = call({ world: next, process }, ...args);
  return { answer, world: settle(next) };
}

/**
 * Whether a call concerns its process alone: no other process's call, and no guarantee, depends on
 * whether it was made, it never fails or waits because of another, and a crash after it leaves just
 * what a crash before it leaves.
 */
export function isLocal(world: World, process: number, name: string, args: readonly unknown[]): boolean {
  if (name === 'socket' || name === 'geteuid' || name === 'sleep' || name === 'getpid') return true;
  // The owner and mode of the directory never change.
  if (name === 'fstat' && args[0] === AT_FDCWD) return true;
  if (name !== 'fchmod' && name !== 'sock_diag') return false;
  const socket = openAt(world, process, args[0] as number);
  // A bound socket pins its inode, so what sock_diag(7) says of it never changes.
  return socket?.kind === 'socket' && (name === 'sock_diag' || socket.ino === 0);
}

const table: Table = {
  openat(caller, directory, name, flags, mode) {
    const { world } = caller;
    if (flags.includes('O_TMPFILE')) {
      const nameless = newInode(world, { type: 'file', mode: mode & ~umask, text: '' });
      return newDescriptor(caller, { kind: 'file', ino: nameless, path: '', locked: false });
    }
    const path = flags.includes('O_DIRECTORY') ? pathOfDirectory(caller, directory, name) : pathAt(caller, directory, name);
    const creates = flags.includes('O_CREAT');
    if (creates && isDirectoryBusy(caller)) return waits;
    const named = lookup(caller, path);
    if (named === undefined && !creates) return 'ENOENT';
    if (named !== undefined && creates) return 'EEXIST';
    if (named === undefined && !hasDirectory(world, path)) return 'ENOENT';
    const ino = named ?? newInode(world, { type: 'file', mode: mode & ~umask, text: '' });
    world.names[path] = ino;
    if (!flags.includes('O_PATH')) {
      const { type } = world.inodes[ino]!;
      if (type === 'symlink') return 'ELOOP';
      if (type === 'socket') return 'ENXIO';
      if (type === 'directory' && flags.includes('O_RDWR')) return 'EISDIR';
    }
    return newDescriptor(caller, { kind: 'file', ino, path, locked: false });
  },
  close({ world, process }, fd) {
    if (!openAt(world, process, fd)) return 'EBADF';
    world.descriptors[process]![fd - firstFd] = -1;
    return 0;
  },
  fstat({ world, process }, fd) {
    if (fd === AT_FDCWD) return status(world, 1);
    const opened = openAt(world, process, fd);
    return opened ? status(world, opened.ino) : 'EBADF';
  },
  fstatat(caller, directory, name) {
    if (directory === AT_FDCWD && name === '') return status(caller.world, 1);
    const ino = lookup(caller, pathAt(caller, directory, name));
    return ino === undefined ? 'ENOENT' : status(caller.world, ino);
  },
  readlink({ world, process }, path) {
    const through = /^\/proc\/self\/fd\/(\d+)$/.exec(path);
    const opened = through ? openAt(world, process, Number(through[1])) : undefined;
    return opened?.kind === 'file' ? { path: nameOfInode(world, opened.ino) ?? `${opened.path} (deleted)` } : 'ENOENT';
  },
  realpath(caller, path) {
    const plain = path.replace(/(.)\/$/, '$1');
    return lookup(caller, plain) === undefined ? 'ENOENT' : { path: plain };
  },
  flock({ world, process }, fd, operation) {
    const opened = openAt(world, process, fd);
    if (opened?.kind !== 'file') return 'EBADF';
    if (world.flockErrno) return world.flockErrno;
    const taken = world.open.some(
      (other) => other !== opened && other.kind === 'file' && other.locked && other.ino === opened.ino,
    );
    if (!taken) opened.locked = true;
    if (!taken) return 0;
    if (operation === 'LOCK_EX|LOCK_NB') return 'EAGAIN';
    return world.names[opened.path] === opened.ino ? waits : 'ESTALE';
  },
  pread({ world, process }, fd, bytesMax) {
    const opened = openAt(world, process, fd);
    return opened?.kind === 'file' ? { text: world.inodes[opened.ino]!.text.slice(0, bytesMax).replace(/\0+$/, '') } : 'EBADF';
  },
  pwrite({ world, process }, fd, text) {
    const opened = openAt(world, process, fd);
    if (opened?.kind !== 'file') return 'EBADF';
    const inode = world.inodes[opened.ino]!;
    inode.text = text + inode.text.slice(text.length);
    return text.length;
  },
  mmap({ world, process }, fd, text) {
    const opened = openAt(world, process, fd);
    if (opened?.kind !== 'file') return 'EBADF';
    const inode = world.inodes[opened.ino]!;
    if (text.length > inode.text.length) return 'EFBIG';
    inode.text = text.padEnd(inode.text.length, '\0');
    return 0;
  },
  ftruncate({ world, process }, fd, length) {
    const opened = openAt(world, process, fd);
    if (opened?.kind !== 'file') return 'EBADF';
    const inode = world.inodes[opened.ino]!;
    inode.text = inode.text.slice(0, length).padEnd(length, '\0');
    return 0;
  },
  unlinkat(caller, directory, name) {
    const path = pathAt(caller, directory, name);
    if (isDirectoryBusy(caller)) return waits;
    const ino = caller.world.names[path];
    if (ino === undefined) return 'ENOENT';
    if (caller.world.inodes[ino]!.type === 'directory') return 'EISDIR';
    delete caller.world.names[path];
    return 0;
  },
  linkat(caller, directory, first, second) {
    if (isDirectoryBusy(caller)) return waits;
    const [from, to] = [pathAt(caller, directory, first), pathAt(caller, directory, second)];
    const { names } = caller.world;
    const ino = lookup(caller, from);
    if (ino === undefined) return 'ENOENT';
    if (names[to] !== undefined) return 'EEXIST';
    names[to] = ino;
    return 0;
  },
  renameat2(caller, directory, first, second, flags) {
    if (isDirectoryBusy(caller)) return waits;
    const [from, to] = [pathAt(caller, directory, first), pathAt(caller, directory, second)];
    const { names } = caller.world;
    const ino = names[from];
    if (ino === undefined) return 'ENOENT';
    if (names[to] !== undefined && flags === 'RENAME_NOREPLACE') return 'EEXIST';
    for (const [below, file] of Object.entries(names)) {
      if (!below.startsWith(`${from}/`)) continue;
      delete names[below];
      names[`${to}${below.slice(from.length)}`] = file;
    }
    if (names[to] === ino) return 0; // rename(2): two names of one inode both stay.
    delete names[from];
    names[to] = ino;
    return 0;
  },
  socket: (caller, type = socketTypeDefault) =>
    newDescriptor(caller, { kind: 'socket', type, ino: 0, name: '', mode: 0o777, listening: false, visited: false }),
  socketType({ world, process }, fd) {
    const opened = openAt(world, process, fd);
    return opened?.kind === 'socket' ? { type: opened.type } : opened ? 'ENOTSOCK' : 'EBADF';
  },
  fchmod({ world, process }, fd, mode) {
    const opened = openAt(world, process, fd);
    if (!opened) return 'EBADF';
    if (opened.kind === 'file') world.inodes[opened.ino]!.mode = mode;
    else opened.mode = mode; // Only the mode that bind(2) will give: after it, the file has its own.
    return 0;
  },
  fchmodat(caller, directory, name, mode) {
    const ino = itself(caller, directory, name);
    if (ino === undefined) return 'ENOENT';
    caller.world.inodes[ino]!.mode = mode;
    return 0;
  },
  fchownat: (caller, directory, name) => (itself(caller, directory, name) === undefined ? 'ENOENT' : 0),
  /**
   * In two halves, as Linux does it: the file is there, and only then the socket is found behind
   * it. The directory stays locked from the one to the other, so others may look at the file in
   * between, but can't remove it, rename it or bind.
   */
  bind(caller, fd, name) {
    const { world, process } = caller;
    const socket = openAt(world, process, fd);
    if (socket?.kind !== 'socket') return 'EBADF';
    if (name.startsWith('\0')) return bindAbstract(world, socket, name);
    if (world.binding === process) {
      socket.ino = socket.binding!;
      delete socket.binding;
      world.binding = -1;
      return 0;
    }
    if (isDirectoryBusy(caller)) return waits;
    const path = pathAt(caller, AT_FDCWD, name);
    if (!hasDirectory(world, path)) return 'ENOENT';
    if (world.names[path] !== undefined) return 'EADDRINUSE';
    if (socket.ino !== 0 || socket.name !== '') return 'EINVAL';
    world.names[path] = socket.binding = newInode(world, { type: 'socket', mode: socket.mode & ~umask, text: '' });
    world.binding = process;
    return halfway;
  },
  listen({ world, process }, fd) {
    const socket = openAt(world, process, fd);
    if (socket?.kind !== 'socket') return 'EBADF';
    if (!hasConnections(socket.type)) return 'ENOTSUP';
    if (socket.ino === 0 && socket.name === '') return 'EINVAL';
    socket.listening = true;
    return 0;
  },
  probe(caller, name) {
    if (name.startsWith('\0')) return 'ENOTSUP'; // Each type has abstract names of its own.
    const socket = socketNamed(caller, name);
    if (typeof socket === 'string') return socket;
    return socket.type === 'datagram' ? 0 : 'EPROTOTYPE';
  },
  /** The socket is a stream: no other type is simulated. */
  connect(caller, name) {
    const socket = socketNamed(caller, name, socketTypeDefault);
    if (typeof socket === 'string') return socket;
    if (socket.type !== socketTypeDefault) return 'EPROTOTYPE';
    if (!socket.listening) return 'ECONNREFUSED';
    socket.visited = true;
    return table.socket(caller);
  },
  sock_diag({ world, process }, fd) {
    const socket = openAt(world, process, fd);
    if (socket?.kind !== 'socket' || socket.ino === 0) return 'ENOENT';
    return { dev: device, ino: BigInt(socket.ino) };
  },
  geteuid: () => uid,
  getpid: ({ process }) => process,
  kill: ({ world }, pid) => (world.descriptors[pid]?.length ? 0 : 'ESRCH'),
  sleep: () => 0,
  symlink({ world }, target, path) {
    if (world.names[path] !== undefined) return 'EEXIST';
    world.names[path] = newInode(world, { type: 'symlink', mode: 0o777, text: target });
    return 0;
  },
};

function bindAbstract(world: World, socket: OpenSocket, name: string): 0 | Errno {
  if (world.open.some((other) => other.kind === 'socket' && other.name === name && other.type === socket.type))
    return 'EADDRINUSE';
  if (socket.ino !== 0 || socket.name !== '') return 'EINVAL';
  socket.name = name;
  return 0;
}

function socketNamed(caller: Caller, name: string, type?: SocketType): OpenSocket | Errno {
  const { open } = caller.world;
  if (name.startsWith('\0'))
    return (
      (open.find((other) => other.kind === 'socket' && other.name === name && other.type === type) as OpenSocket) ??
      'ECONNREFUSED'
    );
  const ino = followed(caller, name);
  return ino === undefined ? 'ENOENT' : (socketBoundTo(caller.world, ino) ?? 'ECONNREFUSED');
}

/** The path of a name in an open directory. */
function pathAt({ world, process }: Caller, directory: number, name: string): string {
  const through = /^\/proc\/self\/fd\/(\d+)\/(.+)$/.exec(name);
  if (through) return pathAt({ world, process }, Number(through[1]), through[2]!);
  if (directory !== AT_FDCWD && !name.startsWith('/'))
    return `${nameOfInode(world, openAt(world, process, directory)?.ino) ?? '(deleted)'}/${name}`;
  // A symlink in place of the directory is followed.
  const slash = name.lastIndexOf('/');
  const above = world.inodes[world.names[name.slice(0, slash)] ?? 0];
  return above?.type === 'symlink' ? `${above.text}${name.slice(slash)}` : name;
}

/** The path of a directory, where a symlink leads to it. */
function pathOfDirectory(caller: Caller, directory: number, name: string): string {
  const { world } = caller;
  const path = name === '.' ? nameOfInode(world, openAt(world, caller.process, directory)?.ino) : name.replace(/(.)\/$/, '$1');
  const there = world.inodes[world.names[path ?? ''] ?? 0];
  return there?.type === 'symlink' ? there.text : (path ?? '(deleted)');
}

function nameOfInode({ names }: World, ino: number | undefined): string | undefined {
  return Object.entries(names).find(([, named]) => named === ino)?.[0];
}

/** The inode that a call of AT_EMPTY_PATH means, or one that a name has, without following it. */
function itself(caller: Caller, directory: number, name: string): number | undefined {
  if (name === '') return openAt(caller.world, caller.process, directory)?.ino;
  return lookup(caller, pathAt(caller, directory, name));
}

/** The inode that a path names; a symlink itself, but what is behind `/proc/self/fd/…`. */
function lookup({ world, process }: Caller, path: string): number | undefined {
  const through = /^\/proc\/self\/fd\/(\d+)$/.exec(path);
  return through ? openAt(world, process, Number(through[1]))?.ino : world.names[pathAt({ world, process }, AT_FDCWD, path)];
}

function followed(caller: Caller, path: string): number | undefined {
  const ino = lookup(caller, path);
  const inode = ino === undefined ? undefined : caller.world.inodes[ino];
  return inode?.type === 'symlink' ? followed(caller, inode.text) : ino;
}

function hasDirectory({ names }: World, path: string): boolean {
  return names[path.slice(0, path.lastIndexOf('/'))] !== undefined;
}

/** Whether another process has the directory locked, halfway through its bind(2). */
function isDirectoryBusy({ world, process }: Caller): boolean {
  return world.binding !== -1 && world.binding !== process;
}

function newDescriptor({ world, process }: Caller, opened: OpenFile | OpenSocket): number {
  const fds = world.descriptors[process]!;
  const free = fds.indexOf(-1);
  const at = free < 0 ? fds.length : free;
  fds[at] = world.open.push(opened) - 1;
  return at + firstFd;
}

function status(world: World, ino: number): FileStatus {
  const { type, mode, text } = world.inodes[ino]!;
  const nlink = Object.values(world.names).filter((named) => named === ino).length;
  return { dev: device, ino: BigInt(ino), type, mode, uid, gid: uid, nlink, size: type === 'file' ? text.length : 0 };
}
